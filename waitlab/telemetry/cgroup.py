"""What a process's control group allows and has used, cgroup v1 and v2; needs only the standard library.

Every group above it limits it too, as far as it can be seen from here: in a container usually one group, which is the
root of what is mounted there. The tightest limit is the one that counts, and its group's figures are the ones shown.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 1 << 60  # what v1 calls unlimited is the largest whole number of pages
_NOT_UNDERSTOOD = (ValueError, LookupError, ArithmeticError)  # no service may end for want of a figure
_ROOT = Path("/")


@dataclass(frozen=True)
class Cpu:
    """A CPU quota, in CPUs, and how long its group's threads were kept from running because it was used up."""

    cpus: float
    throttled_seconds: float


@dataclass(frozen=True)
class Memory:
    """A memory limit, what counts towards it (file pages that the kernel would give back do not), and its OOM kills."""

    limit_bytes: int
    used_bytes: int
    oom_kills: int


def usable_cpus(cores: frozenset[int] | None = None, root: Path = _ROOT, of: int | str = "self") -> float:
    """How many CPUs' worth of time this process, or process `of` that is held to `cores`, can get: a fraction where a
    quota says so.
    """
    counted = len(cores or os.sched_getaffinity(0))
    quota = cpu(root, of)
    usable = min(counted, round(quota.cpus, 3)) if quota else counted
    return int(usable) if usable == int(usable) else usable


def cpu(root: Path = _ROOT, of: int | str = "self") -> Cpu | None:
    """The tightest CPU quota of process `of`; None when there is none. `root` holds proc and sys."""
    with suppress(*_NOT_UNDERSTOOD):
        quotas = (_cpu(group) for group in _groups("cpu", root, of))
        return min(filter(None, quotas), key=lambda quota: quota.cpus, default=None)
    return None


def memory(root: Path = _ROOT) -> Memory | None:
    """The tightest memory limit; None when there is none."""
    with suppress(*_NOT_UNDERSTOOD):
        limits = (_memory(group) for group in _groups("memory", root))
        return min(filter(None, limits), key=lambda limit: limit.limit_bytes, default=None)
    return None


def _cpu(group: Path) -> Cpu | None:
    text = _read(group / "cpu.max") or f"{_read(group / 'cpu.cfs_quota_us')} {_read(group / 'cpu.cfs_period_us')}"
    quota, period = text.split()
    if not quota.isdecimal():  # max; -1; no such file
        return None
    spent = _table(group / "cpu.stat")
    throttled = spent.get("throttled_usec", 0) / 1e6 + spent.get("throttled_time", 0) / 1e9
    return Cpu(int(quota) / int(period), throttled)


def _memory(group: Path) -> Memory | None:
    limit = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes") or "max"
    if limit == "max" or int(limit) >= _NO_LIMIT:
        return None
    used = int(_read(group / "memory.current") or _read(group / "memory.usage_in_bytes") or 0)
    pages = _table(group / "memory.stat")
    spare = pages.get("total_inactive_file", pages.get("inactive_file", 0))
    kills = {**_table(group / "memory.oom_control"), **_table(group / "memory.events")}.get("oom_kill", 0)
    return Memory(int(limit), max(0, used - spare), kills)


def _groups(controller: str, root: Path, of: int | str = "self") -> Iterator[Path]:
    """The folder of a process's group for a controller, and of each group above it that is mounted here."""
    paths: dict[str, str] = {}
    for line in (_read(root / f"proc/{of}/cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), group)
    for line in (_read(root / "proc/self/mountinfo") or "").splitlines():
        fields, _, tail = line.partition(" - ")
        mounted, point = map(Path, fields.split()[3:5])
        kind, _, options = tail.split(" ", 2)
        key = controller if kind == "cgroup" and controller in options.split(",") else ""
        if (kind == "cgroup2" or key) and key in paths:
            top, own = root / point.relative_to("/"), Path(paths[key])
            if own.is_relative_to(mounted):  # a container may see its host's path, and no more of it than its own group
                folder = top / own.relative_to(mounted)
                yield folder
                yield from (above for above in folder.parents if above.is_relative_to(top))
            elif ".." in mounted.parts:  # seen from a cgroup namespace: a group above all that it names
                yield top


def _table(file: Path) -> dict[str, int]:
    """A file of names and numbers; empty when there is none."""
    rows = (line.split() for line in (_read(file) or "").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
