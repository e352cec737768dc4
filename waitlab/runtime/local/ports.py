"""Ports: whether one is free, and who holds it when it is not."""

import contextlib
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from waitlab.errors import LabError

_LISTEN = "0A"


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port; its command as one line."""

    pid: int
    command: str


def require_free(ports: Mapping[str, int]) -> None:
    """LabError 106 unless each of `ports` (setting -> number) can be bound now; 2 when two settings name one port."""
    for setting, port in ports.items():
        twin = next((other for other in ports if other != setting and ports[other] == port), None)
        if twin is not None:
            raise LabError(f"{setting} and {twin} are both {port}", "give each part a port of its own", 2)
    taken = [_explain(setting, port) for setting, port in ports.items() if not _is_free(port)]
    if taken:
        settings = " ".join(f"{setting}=..." for setting, port in ports.items() if not _is_free(port))
        raise LabError("\n".join(taken), f"stop what holds it, or choose another port: {settings or 'try again'}", 106)


def free() -> int:
    """A port of loopback that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def holder(port: int) -> Holder | None:
    """Who listens on `port`. None when nobody does, or the owner may not be looked at (another user's process)."""
    inodes = {inode for listening, inode in listeners() if listening == port}
    for process in Path("/proc").glob("[0-9]*"):
        if inodes & sockets(int(process.name)):
            return Holder(int(process.name), _command(process))
    return None


def listeners() -> list[tuple[int, str]]:
    """(port, socket inode) of every listening TCP socket of this machine."""
    rows = [line.split() for table in ("tcp", "tcp6") for line in _lines(Path("/proc/net") / table)]
    return [(int(row[1].rpartition(":")[2], 16), row[9]) for row in rows if row[3] == _LISTEN]


def sockets(pid: int) -> set[str]:
    """The inodes of the sockets a process holds; empty when it may not be looked at."""
    held = set()
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed since it was listed
                held.add(str(descriptor.readlink()))
    return {match[1] for link in held if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: a port whose last connections are still in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _explain(setting: str, port: int) -> str:
    who = holder(port)
    by = f"process {who.pid} ({who.command})" if who else "a process that this user may not look at"
    return f"port {port} ({setting}) is taken by {by}"


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "ended meanwhile"
    line = b" ".join(words).decode(errors="replace").strip()
    return line if len(line) <= 80 else f"{line[:77]}..."


def _lines(table: Path) -> list[str]:
    return table.read_text().splitlines()[1:] if table.exists() else []
