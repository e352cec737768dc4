"""Starting child processes that cannot outlive their parent, and ending them for certain (Linux).

The death signal is set by `setpriv` (util-linux) and not by a `preexec_fn`: no Python runs between fork and exec, so a
parent with threads cannot deadlock its child, and the process id stays the program's own, since setpriv execs in place.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_REAP_SECONDS = 2.0
_DEAD_STATES = ("Z", "X")  # a zombie still answers os.kill(pid, 0)


def start(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    log: Path | None,
    death_signal: signal.Signals | None = signal.SIGTERM,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own; it gets `death_signal` when this process ends in any way, even SIGKILL.

    `log` is appended to; None shares this process's own standard output and error. Only the main thread may start
    children: the kernel sends the death signal when the creating *thread* ends. Raises FileNotFoundError for a missing
    program; one that is named with a folder (`./start.sh`) is looked for from `cwd` on.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{command[0]} must be started from the main thread: its death signal follows the thread")
    words = [str(word) for word in command]
    _must_be_there(words[0], environment.get("PATH", os.defpath), cwd or Path())
    with contextlib.ExitStack() as opened:
        output = None if log is None else opened.enter_context(log.open("ab"))
        return subprocess.Popen(
            [*_guard(death_signal), *words],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )


def _must_be_there(program: str, path: str, cwd: Path) -> None:
    has_folder = os.sep in program
    if shutil.which(cwd / program if has_folder else program, path=path) is None:
        where = f"in {cwd.resolve()}" if has_folder else "on PATH"
        raise FileNotFoundError(f"{program}: no such program {where}")


def _guard(death_signal: signal.Signals | None) -> list[str]:
    if death_signal is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise FileNotFoundError("setpriv is not installed: apt-get install util-linux")
    return [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--"]


def stop(popen: subprocess.Popen[bytes], grace: float = 5.0, first: signal.Signals = signal.SIGTERM) -> int:
    """End a child made by `start`: `first` to it alone, SIGKILL to its session after `grace` seconds; its exit code."""
    if popen.poll() is None:
        popen.send_signal(first)
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(grace)
    kill_group(popen.pid)
    return popen.wait()


def kill_group(group: int) -> None:
    """SIGKILL to every process of a group; a group that has gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies, so that none is lost to process 1."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def kill_children() -> None:
    """SIGKILL and reap every child, adopted ones included, until none is left; for two seconds at most."""
    deadline = time.monotonic() + _REAP_SECONDS
    while (pids := children(os.getpid())) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def children(parent: int) -> list[int]:
    """The process ids whose parent is `parent`, zombies included."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if (fields := _stat(pid)) and int(fields[1]) == parent]


def is_alive(pid: int) -> bool:
    """True for a process that runs or can run again: a zombie is dead."""
    fields = _stat(pid)
    return fields is not None and fields[0] not in _DEAD_STATES


def age_order(pid: int) -> tuple[int, int]:
    """Sorts processes by their age, oldest first: process ids alone wrap around (at 32,768, often)."""
    fields = _stat(pid)
    return (int(fields[19]) if fields else 0, pid)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (the third): the name before it may hold blanks and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
