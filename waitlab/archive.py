"""One file that holds a results folder: a zip of known, flat names, packed as a whole and opened only in memory."""

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from waitlab.errors import LabError

EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member: the same run makes the same file


def pack(files: Mapping[str, Path], target: Path) -> None:
    """Write `files` by name into the zip `target`, which is there whole or not at all. Raises OSError."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
                for name, path in files.items():
                    packed.writestr(zipfile.ZipInfo(name, EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def unpack(path: Path, names: Sequence[str], most_bytes: int) -> dict[str, bytes]:
    """The members of the zip at `path`, by name; nothing is written. LabError for what `pack` would not have made.

    A bomb is not blown up: no more than `most_bytes` are read of any member, whatever its heading says.
    """
    if not path.is_file():
        raise LabError(f"{path} does not exist, or is no file", "lab runs lists the runs there are", 2)
    try:
        with zipfile.ZipFile(path) as packed:
            members = packed.infolist()
            if len(members) > len(names) or {member.filename for member in members} - set(names):
                raise _refusal(path, "holds files that no run has")
            if len({member.filename for member in members}) < len(members):
                raise _refusal(path, "holds a file twice")
            return {member.filename: _member(packed, member, path, most_bytes) for member in members}
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}", "look at its permissions", 2) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _refusal(path, f"is no exported run, or a damaged one ({error})") from None


def _member(packed: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, most_bytes: int) -> bytes:
    with packed.open(member) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise _refusal(path, f"holds more than {most_bytes // 1_000_000} MB in {member.filename}")
    return content


def _refusal(path: Path, why: str) -> LabError:
    return LabError(f"{path} {why}", "open a results folder, or a file that lab export wrote", 2)
