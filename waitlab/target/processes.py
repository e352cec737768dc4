"""A service seen from outside: the tree of its processes, and the accept queue of its port, by /proc."""

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from waitlab.runtime.local import ports
from waitlab.telemetry import costs

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_PARENT, _OWN, _REAPED, _THREADS, _BEGAN = 1, slice(11, 13), slice(13, 15), 17, 19  # fields of stat, from the state on
_LISTEN = "0A"
_EPOLL = "anon_inode:[eventpoll]"
_CAUGHT = re.compile(r"^SigCgt:\s*([0-9a-f]+)", re.MULTILINE)


class Process(NamedTuple):
    """One process; `began` tells it from a later one of the same number."""

    pid: int
    began: int


@dataclass(frozen=True)
class Tree:
    """A process and all below it that live now.

    `cpu_s` is of all of them and of those that they have reaped since they began, so that the difference of two trees
    holds what ended meanwhile too. `began`: when the first of them did.
    """

    pids: tuple[int, ...]
    cpu_s: float
    threads: int
    began: int


def known(pid: int) -> Process | None:
    """The process that has this number now; None when there is none that lives."""
    fields = _fields(pid)
    return Process(pid, int(fields[_BEGAN])) if fields and not _is_dead(fields) else None


def lives(one: Process) -> bool:
    """Whether it is this very process that has its number now."""
    return known(one.pid) == one


def tree(root: int) -> Tree | None:
    """None when the root is gone."""
    rows = _rows()
    if root not in rows or _is_dead(rows[root]):
        return None
    below = _below(root, rows)
    alive = [pid for pid in below if not _is_dead(rows[pid])]
    return Tree(
        pids=tuple(sorted(alive)),
        cpu_s=sum(_cpu_s(pid, rows[pid]) for pid in below),
        threads=sum(int(rows[pid][_THREADS]) for pid in alive),
        began=int(rows[root][_BEGAN]),
    )


def pss_bytes(pids: Iterable[int]) -> int | None:
    """Their proportional set sizes together; None when none of them may be looked at."""
    found = [facts.pss_bytes for pid in pids if (facts := costs.facts(pid))]
    return sum(found) if found else None


def accept_queue(port: int, of: int | str = "self") -> int | None:
    """Connections that wait to be accepted on this port, in the network namespace of process `of`; None where nobody
    listens there.
    """
    waiting = [int(row[4].rpartition(":")[2], 16) for row in _listening(port, of)]
    return sum(waiting) if waiting else None


def doors(port: int, of: int | str = "self") -> frozenset[str]:
    """The inodes of the sockets that listen on this port, in the network namespace of process `of`."""
    return frozenset(row[9] for row in _listening(port, of))


def holders(port: int, of: int | str = "self") -> tuple[int, ...]:
    """The processes that hold one of them; none when they may not be looked at."""
    inodes = doors(port, of)
    return tuple(sorted(pid for pid in _pids() if inodes & ports.sockets(pid))) if inodes else ()


def master(port: int, of: int | str = "self") -> int | None:
    """The one of them that none of the others is the parent of: what its workers are children of."""
    parents = parents_of(holders(port, of))
    return next((pid for pid, parent in parents.items() if parent not in parents), None)


def parents_of(pids: Iterable[int]) -> dict[int, int]:
    """Process -> the one that it is a child of; of those that are there."""
    return {pid: int(fields[_PARENT]) for pid in pids if (fields := _fields(pid))}


def server(pid: int, parents: Mapping[int, int], port: int, of: int | str = "self") -> int:
    """Whose workers accept below `pid`: it alone, or what it starts and hands the socket to, as `lab serve` does.
    `parents`: those that hold the socket, each with its parent. A worker that was forked, or that accepts by a loop of
    its own, is no server, whatever it forks itself.
    """
    while len(below := [one for one, parent in parents.items() if parent == pid]) == 1:
        has_workers = below[0] in parents.values()
        if not has_workers or _was_forked(below[0], pid) or has_loop(below[0], port, of):
            break
        pid = below[0]
    return pid


def has_loop(pid: int, port: int, of: int | str = "self") -> bool | None:
    """Whether it accepts on this port with what an event loop waits with; None when it may not be looked at.

    Others that it holds say nothing: a worker inherits its master's, and a view may run a loop of its own.
    """
    listening = {f"ino:{int(inode):x}" for inode in doors(port, of)}
    try:
        return any(not listening.isdisjoint(words(Path(f"/proc/{pid}/fdinfo/{loop}"))) for loop in _loops(pid))
    except OSError:
        return None


def accepting(port: int, of: int) -> frozenset[Process]:
    """Who accepts on this port: the children of its server that hold it, or it alone where it has none there."""
    parents = parents_of(holders(port, of))
    serving = server(of, parents, port, of)
    children = [pid for pid, parent in parents.items() if parent == serving]
    return frozenset(Process(pid, int(fields[_BEGAN])) for pid in children or [of] if (fields := _fields(pid)))


def workers(port: int, of: int) -> int:
    """How many they are."""
    return len(accepting(port, of)) or 1


def catches(pid: int, signal: int) -> bool:
    """Whether a process handles a signal itself: TTIN would stop one that does not, for ever."""
    try:
        found = _CAUGHT.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return False
    return found is not None and bool(int(found[1], 16) >> (signal - 1) & 1)


def words(file: Path) -> list[str]:
    """Of a file of /proc; none when what it is about has ended."""
    with suppress(OSError):
        return file.read_text().split()
    return []


def _was_forked(pid: int, parent: int) -> bool:
    """Whether it still is what its parent was, and no program of its own: each start lays its vector elsewhere."""
    try:
        return Path(f"/proc/{pid}/auxv").read_bytes() == Path(f"/proc/{parent}/auxv").read_bytes()
    except OSError:
        return True


def _pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _rows() -> dict[int, list[bytes]]:
    """Process -> the fields of its stat, from the state on; of all there are."""
    return {pid: fields for pid in _pids() if (fields := _fields(pid))}


def _fields(pid: int) -> list[bytes]:
    """Those of one process; none of one that is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return []


def _below(root: int, rows: dict[int, list[bytes]]) -> set[int]:
    found, new = {root}, {root}
    while new:
        new = {pid for pid, fields in rows.items() if int(fields[_PARENT]) in new} - found
        found |= new
    return found


def _is_dead(fields: list[bytes]) -> bool:
    return fields[0] in (b"Z", b"X")


def _cpu_s(pid: int, fields: list[bytes]) -> float:
    reaped = sum(map(int, fields[_REAPED])) * _TICK_SECONDS
    return costs.cpu_seconds(pid, sum(map(int, fields[_OWN]))) + reaped


def _listening(port: int, of: int | str) -> list[list[str]]:
    """The rows of its listening sockets."""
    rows = [row for table in ("tcp", "tcp6") for row in _lines(Path(f"/proc/{of}/net/{table}"))]
    return [row for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def _lines(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:  # its process has ended, or there is no IPv6
        return []


def _loops(pid: int) -> set[str]:
    """The descriptors by which a process waits for events."""
    return {found.name for found in Path(f"/proc/{pid}/fd").iterdir() if _link(found) == _EPOLL}


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed since it was listed
        return ""
