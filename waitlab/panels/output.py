"""A file that is there whole or not at all: written beside its place, then put there in one step."""

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from waitlab.errors import LabError

STDOUT = Path("-")


@contextmanager
def whole_file(path: Path, option: str = "-o FILE.html") -> Iterator[TextIO]:
    """What is written to it is at `path` when the block ends, and nothing when it fails. `-` is standard output.

    LabError before the block, so before any work, where `path` cannot be written; `option` is how to name another.
    """
    if path == STDOUT:
        yield sys.stdout
        return
    place = path.resolve()
    if place.is_dir():
        raise LabError(f"{path} is a folder", f"name a file in it: {option}", 2)
    if not place.parent.is_dir():
        raise LabError(f"there is no folder {path.parent}", f"create it, or name another file: {option}", 2)
    if place.exists() and not place.is_file():  # a device or a pipe is written to, never replaced
        with place.open("w", encoding="utf-8") as file:
            yield file
        return
    with _beside(place, option) as file:
        yield file


@contextmanager
def _beside(place: Path, option: str) -> Iterator[TextIO]:
    try:
        if place.exists() and not os.access(place, os.W_OK):
            raise PermissionError(13, "it may not be written")
        number, name = tempfile.mkstemp(dir=place.parent, prefix=".waitlab-")
    except OSError as fault:
        raise _unwritable(place, fault, option) from None
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            yield file
        _let_read(Path(name), place)
        Path(name).replace(place)
    except OSError as fault:
        raise _unwritable(place, fault, option) from None
    finally:
        with suppress(FileNotFoundError):  # it is in its place
            Path(name).unlink()


def _let_read(file: Path, place: Path) -> None:
    """The rights that the file before had, or that any new file gets."""
    mask = os.umask(0)
    os.umask(mask)
    file.chmod(stat.S_IMODE(place.stat().st_mode) if place.exists() else 0o666 & ~mask)


def _unwritable(place: Path, fault: OSError, option: str) -> LabError:
    return LabError(f"{place} cannot be written: {fault.strerror}", f"name another file: {option}", 122)
