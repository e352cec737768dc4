"""What one process costs, read from /proc; needs only the standard library."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_SCHEDULED = 2  # of a process' clocks the one that counts what the scheduler gave it
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SWITCHES = re.compile(rb"^(?:non)?voluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)
_PSS = re.compile(rb"^Pss:\s*(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class ProcessFacts:
    """One process, all its threads together, since it started."""

    cpu_seconds: float
    pss_bytes: int
    voluntary_switches: int
    involuntary_switches: int
    threads: int


def facts(pid: int) -> ProcessFacts | None:
    """The facts of a process; None when it is gone. PSS is the resident size where the kernel hides the shares."""
    folder = Path(f"/proc/{pid}")
    try:
        fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        switches = [_switches(task) for task in (folder / "task").iterdir()]
        return ProcessFacts(
            cpu_seconds=cpu_seconds(pid, int(fields[11]) + int(fields[12])),
            pss_bytes=_pss_bytes(folder),
            voluntary_switches=sum(voluntary for voluntary, _ in switches),
            involuntary_switches=sum(involuntary for _, involuntary in switches),
            threads=len(switches),
        )
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_seconds(pid: int, ticks: int) -> float:
    """By the process' own CPU clock: nanoseconds of all its threads, ended ones too, where ticks are of 10 ms.

    Its number is the one that clock_getcpuclockid(3) makes; a kernel without such a clock has ticks.
    """
    try:
        return time.clock_gettime(~pid << 3 | _SCHEDULED)
    except OSError:
        return ticks * _TICK_SECONDS


def _switches(task: Path) -> tuple[int, int]:
    """A thread's voluntary and involuntary switches; a thread that has just ended counts none."""
    try:
        found = _SWITCHES.findall((task / "status").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return (int(found[0]), int(found[1])) if len(found) == 2 else (0, 0)


def _pss_bytes(folder: Path) -> int:
    try:
        found = _PSS.search((folder / "smaps_rollup").read_bytes())
    except PermissionError:
        found = None
    if found:
        return int(found[1]) * 1024
    return int((folder / "statm").read_bytes().split()[1]) * _PAGE_BYTES
