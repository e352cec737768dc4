"""Where a service runs whose lab.toml leaves its port open: its processes were started as the file says."""

import re
import shlex
from contextlib import suppress
from pathlib import Path

from waitlab.errors import LabError
from waitlab.runtime.local import ports
from waitlab.target.settings import PLACEHOLDERS
from waitlab.target.target import PLACEHOLDER, Target

REMEDY = "say where it runs: ./lab diagnose http://127.0.0.1:PORT"


def url(target: Target) -> str:
    """Its address. LabError 122 where no process, or more than one, is what it could be."""
    found = sorted(_listening(target))
    if not found:
        message = f"no process that listens was started in {target.directory} with the command of {target.name}"
        raise LabError(message, f"start it, or {REMEDY}", 122)
    if len(found) > 1:
        message = f"{target.name} could be what listens on {' and on '.join(map(str, found))}"
        raise LabError(message, REMEDY, 122)
    return target.url.replace("{port}", str(found[0]))


def _listening(target: Target) -> set[int]:
    """The ports of processes that were started in its folder, with its command, with whatever was chosen."""
    program, *others = shlex.split(target.words)
    pattern = re.compile("\0".join(map(_pattern, (program.rpartition("/")[2], *others))))
    doors = {inode: port for port, inode in ports.listeners()}
    found = set[int]()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ends while we look, or is another user's
            words = (folder / "cmdline").read_bytes().decode(errors="replace").rstrip("\0")
            told = _match(pattern, words)
            if told and (folder / "cwd").readlink() == target.directory:
                held = {doors[inode] for inode in ports.sockets(int(folder.name)) if inode in doors}
                found |= held & {int(port) for port in told.groups()} if pattern.groups else held
    return found


def _match(pattern: re.Pattern[str], words: str) -> re.Match[str] | None:
    """A command at the end of the words of a process: an interpreter may stand before it, and its folder."""
    places = (match.end() for match in re.finditer(r"(?:^|\0)(?:[^\0]*/)?", words))
    return next((told for at in places if (told := pattern.fullmatch(words, at))), None)


def _pattern(word: str) -> str:
    """One word of a command, with anything for what is chosen."""
    parts = PLACEHOLDER.split(word)  # texts and names in turn
    return "".join(_either(part) if number % 2 else re.escape(part) for number, part in enumerate(parts))


def _either(name: str) -> str:
    if name == "port":
        return r"(\d{1,5})"
    return r"[^\0]*" if name in PLACEHOLDERS else re.escape(f"{{{name}}}")
