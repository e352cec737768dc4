"""What the kernel shows of a worker's and of a generator's process: where its main thread is, what its threads use."""

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from waitlab import process
from waitlab.runtime.local import ports
from waitlab.target import processes

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
# epoll_wait, epoll_pwait and epoll_pwait2, by which every event loop of Linux waits.
_WAITS = {"x86_64": ("232", "281", "441"), "aarch64": ("22", "441")}.get(platform.machine(), ())
_WAITS_IN = ("ep_poll", "do_epoll_wait")  # the function of the kernel, by its releases
_LOCK = {"x86_64": "202", "aarch64": "98"}.get(platform.machine(), "")  # futex, by which threads wait for each other
_LOCK_IN = "futex_"


def workers(port: int, of: int | str = "self") -> list[int]:
    """The processes that accept connections on a port, in the network of process `of`: the children of its server that
    hold it, or it alone.

    A master whose own loop accepts is alone, too: what it has forked holds the socket, and never uses it.
    """
    parents = processes.parents_of(processes.holders(port, of))
    masters = {processes.server(pid, parents, port, of) for pid, parent in parents.items() if parent not in parents}
    alone = {pid for pid in masters if processes.has_loop(pid, port, of)}
    return sorted([*alone, *(pid for pid, parent in parents.items() if parent in masters - alone)] or masters)


def workers_inside(root: int, port: int | None) -> list[int]:
    """Those of a container whose first process is `root`, and which listens there on `port`; where that is not known,
    or may not be looked at, what was forked below whatever only starts it.
    """
    if port and (found := workers(port, root)):
        return found
    while len(below := [pid for pid in process.children(root) if process.is_alive(pid)]) == 1:
        root = below[0]
    return sorted(below) or [root]


def is_in_loop(pid: int) -> bool | None:
    """Whether its main thread waits for events now; None when it may not be looked at."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/syscall").read_text().split()
        return words[0] in _WAITS if words and _WAITS else None
    with suppress(OSError):  # where Yama keeps that for debuggers, as Ubuntu has it, this is still shown
        place = Path(f"/proc/{pid}/wchan").read_text()
        return place in _WAITS_IN if place not in ("", "0") else None
    return None


def at_work(pid: int) -> tuple[int, int] | None:
    """How many threads beside the main one compute now, or wait for anything but each other; and how many there are.
    None when they may not be looked at.
    """
    waits = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it ends while we look
                waits += [_waits_for_a_lock(task)] if task.name != str(pid) else []
    except OSError:
        return None
    return waits.count(False), len(waits)


def _waits_for_a_lock(task: Path) -> bool:
    """PermissionError when it may not be looked at."""
    with suppress(PermissionError):
        return bool(_LOCK) and task.joinpath("syscall").read_text().startswith(f"{_LOCK} ")
    if (place := task.joinpath("wchan").read_text()) in ("", "0"):
        raise PermissionError(f"{task}: neither its call nor its place in the kernel is shown")
    return place.startswith(_LOCK_IN)


def cpu_s(pid: int) -> float | None:
    """CPU seconds of a process and of all below it; None when it is gone."""
    found = processes.tree(pid)
    return found.cpu_s if found else None


def ready_s(pid: int) -> dict[str, float]:
    """Thread -> seconds for which it computed or waited for a core; nothing where the kernel does not count them."""
    with suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return {
            task.name: sum(map(int, row[:2])) / 1e9 for task in tasks if (row := processes.words(task / "schedstat"))
        }
    return {}


def sockets(pids: Iterable[int]) -> set[int]:
    """The inodes of all that these processes hold, of those that may be looked at."""
    return {int(inode) for pid in pids for inode in ports.sockets(pid)}


def listens(pids: Iterable[int]) -> frozenset[int]:
    """The ports on which any of these processes listens."""
    held = sockets(pids)
    return frozenset(port for port, inode in ports.listeners() if int(inode) in held)


def holding(inodes: set[int], but: Iterable[int]) -> list[int]:
    """The processes that hold any of these sockets, without those of `but`."""
    wanted, mine = {str(inode) for inode in inodes}, {*but, os.getpid()}
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")] if wanted else []
    return [pid for pid in pids if pid not in mine and wanted & ports.sockets(pid)]


def thread_seconds(pid: int) -> dict[str, float]:
    """Thread -> CPU seconds, of a process; nothing of one that is gone. Python's take turns (its GIL): they are one."""
    found = {}
    process = Path(f"/proc/{pid}")
    with suppress(OSError):
        is_python = (process / "exe").readlink().name.startswith(("python", "pypy"))
        for task in [process] if is_python else (process / "task").iterdir():
            with suppress(OSError):  # it ends while we look
                fields = (task / "stat").read_bytes().rpartition(b")")[2].split()
                found[task.name] = (int(fields[11]) + int(fields[12])) * _TICK_SECONDS
    return found


def name(pid: int) -> str:
    """What it was started as, short: the program and the first words behind it."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return f"process {pid}"
    told = " ".join(" ".join(word.rpartition("/")[2] for word in words[:3]).split())
    return f"{told[:40]} (process {pid})"
