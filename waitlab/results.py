"""The results folder: what was asked, the machine, every trial as it ended, the verdict. Nothing measured is lost.

    results/<stamp>-<name>/experiment.toml   the question, verbatim; never changed after
                           machine.json      facts and probes of the machine
                           trials.jsonl      a heading, then a line a trial, appended and synced as each ends
                           verdict.json      replaced as a whole

Each line of trials.jsonl carries a checksum. A last line without an end is what an interrupted write leaves: it is
dropped and said. Anything else that is not as it was written is refused with its place. Checksums find damage and hasty
edits; they prove nothing against someone who computes them again.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from waitlab import archive, records
from waitlab.errors import LabError
from waitlab.trial import Trial

FORMAT = 1
QUESTION, MACHINE, TRIALS, VERDICT = "experiment.toml", "machine.json", "trials.jsonl", "verdict.json"
FILES = (QUESTION, MACHINE, TRIALS, VERDICT)
FREE_BYTES = 100_000_000  # less than this is no place to begin a run
MOST_BYTES = 256_000_000  # of one file that is read
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d")
LINE = re.compile(rb'\{"sum": "([0-9a-f]{16})", "record": (\{.*\})\}')


@dataclass(frozen=True)
class Run:
    """One results folder, read. `remarks`: what a reader must be told, such as a trial that was cut off."""

    name: str
    began: str
    question: str
    machine: Mapping[str, Any]
    trials: tuple[Trial, ...]
    verdict: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def measured(self) -> frozenset[tuple[str, int]]:
        """Arm and repeat of every trial that need not be run again."""
        return frozenset((trial.arm, trial.repeat) for trial in self.trials if trial.ended == "measured")


@dataclass(frozen=True)
class Past:
    """One line of the history. `trouble`: why the folder cannot be read, empty when it can."""

    folder: Path
    began: str = ""
    trials: int = 0
    verdict: Mapping[str, Any] = field(default_factory=dict)
    trouble: str = ""


@dataclass(frozen=True)
class _Heading:
    """The first line of trials.jsonl; `question` and `machine` are checksums of the files beside it."""

    format: int
    name: str
    began: str
    question: str
    machine: str


def create(root: Path, name: str, stamp: str, question: str, machine: Mapping[str, Any]) -> Path:
    """A new folder under `root`, there whole or not at all; LabError 122 when it cannot be written.

    `stamp` is the moment it began, as in 2026-11-21T10-32-07; a name that is taken gets a number.
    """
    if not NAME.fullmatch(name) or not STAMP.fullmatch(stamp):
        raise LabError(f"{stamp}-{name} is no name for a results folder", "use small letters, digits and dashes", 2)
    with _writing(root):
        root.mkdir(parents=True, exist_ok=True)
        _refuse_a_full_disk(root)
        draft = root / f".{stamp}-{name}.{os.getpid()}"
        draft.mkdir()
        try:
            asked, facts = question.encode(), _json(machine)
            _write(draft / QUESTION, asked)
            _write(draft / MACHINE, facts)
            _write(draft / TRIALS, _line(asdict(_Heading(FORMAT, name, stamp, _sum(asked), _sum(facts)))))
            folder = _move(draft, root / f"{stamp}-{name}")
            _sync(root)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def append(folder: Path, *trials: Trial) -> None:
    """Add what was run at once: it is on the disk when this returns. A failed write leaves the file as it was (LabError
    122).
    """
    lines, path = b"".join(_line(asdict(trial)) for trial in trials), folder / TRIALS
    with _writing(path), path.open("r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.read().rfind(b"\n") + 1  # behind it lies, at most, what an interrupted write left
        file.truncate(end)
        file.seek(end)
        try:
            _write_all(file.fileno(), lines)
        except OSError:
            with suppress(OSError):  # should this fail too: a last line without an end is dropped by every reader
                file.truncate(end)
            raise


def conclude(folder: Path, verdict: Mapping[str, Any]) -> None:
    """Write the verdict; an earlier one stays until the new one is on the disk (LabError 122 when it cannot be)."""
    with _writing(folder / VERDICT):
        _write(folder / VERDICT, _json(verdict))
        _sync(folder)


def read(path: Path) -> Run:
    """A results folder, or one that was exported to a file; LabError when it is not as it was written."""
    if not path.is_dir():
        return _parse(archive.unpack(path, FILES, MOST_BYTES), path)
    return _parse({name: _bytes(path / name) for name in FILES if (path / name).is_file()}, path)


def export(folder: Path, target: Path) -> None:
    """One file that another person's `lab report` opens. The folder is read first: a broken one is not passed on."""
    read(folder)
    with _writing(target):
        archive.pack({name: folder / name for name in FILES if (folder / name).is_file()}, target)


def folders(root: Path) -> list[Path]:
    """The folders of all runs under `root`, newest first, whether they can be read or not."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(found, key=lambda folder: folder.name, reverse=True)


def history(root: Path) -> list[Past]:
    """Every run under `root`, newest first; one that cannot be read is listed with its trouble."""
    return [_past(folder) for folder in folders(root)]


def _past(folder: Path) -> Past:
    try:
        run = read(folder)
    except LabError as error:
        return Past(folder, trouble=error.message)
    return Past(folder, run.began, len(run.trials), run.verdict)


def _parse(files: Mapping[str, bytes], path: Path) -> Run:
    for name in (QUESTION, MACHINE, TRIALS):
        if name not in files:
            raise LabError(f"{path}: {name} is missing", "this is no whole results folder", 2)
    heading, trials, remarks = _journal(files[TRIALS], f"{path}: {TRIALS}")
    for name, known in ((QUESTION, heading.question), (MACHINE, heading.machine)):
        if _sum(files[name]) != known:
            raise LabError(f"{path}: {name} is not what it was when this was measured", "run the changed one anew", 2)
    question = records.text(files[QUESTION], f"{path}: {QUESTION}")
    machine = records.parse(files[MACHINE], f"{path}: {MACHINE}")
    verdict: Mapping[str, Any] = {}
    try:
        verdict = records.parse(files[VERDICT], f"{path}: {VERDICT}") if VERDICT in files else {}
    except LabError as error:
        remarks = (*remarks, f"{error.message}; the trials can be judged again")
    return Run(heading.name, heading.began, question, machine, trials, verdict, remarks)


def _journal(raw: bytes, where: str) -> tuple[_Heading, tuple[Trial, ...], tuple[str, ...]]:
    *lines, rest = raw.split(b"\n")
    if not lines:
        raise LabError(f"{where} is empty", "this is no results folder, or one from a damaged disk", 2)
    heading = _heading(lines[0], f"{where}, line 1")
    trials = tuple(_trial(line, f"{where}, line {number}") for number, line in enumerate(lines[1:], 2))
    measured = [(trial.arm, trial.repeat) for trial in trials if trial.ended == "measured"]
    twice = next((one for one in measured if measured.count(one) > 1), None)
    if twice:
        raise LabError(
            f"{where}: repeat {twice[1]} of {twice[0][:60]!r} was measured twice", "remove neither: run it anew", 2
        )
    remarks = (
        (f"the trial on line {len(lines) + 1} was cut off while it was written, and is not counted",) if rest else ()
    )
    return heading, trials, remarks


def _heading(line: bytes, where: str) -> _Heading:
    record = _record(line, where)
    if record.get("format") != FORMAT:
        raise LabError(
            f"{where}: format {record.get('format')!r:.20}, this version reads {FORMAT}",
            "open it with the version of Waitlab that wrote it, or a newer one",
            2,
        )
    return records.decode(_Heading, record, where)


def _trial(line: bytes, where: str) -> Trial:
    return records.decode(Trial, _record(line, where), where)


def _record(line: bytes, where: str) -> dict[str, Any]:
    found = LINE.fullmatch(line)
    if not found:
        raise LabError(f"{where}: not a line that Waitlab wrote", "restore the file; the other lines are untouched", 2)
    if found[1].decode() != _sum(found[2]):
        raise LabError(
            f"{where}: its checksum is wrong, so it was edited or damaged", "restore it, or remove the line", 2
        )
    return records.parse(found[2], where)


def _line(record: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(record, allow_nan=False).encode()
    except ValueError as error:
        raise LabError(
            f"a figure of this trial is no number: {error}", "this is a fault of Waitlab: report it"
        ) from None
    return b'{"sum": "%s", "record": %s}\n' % (_sum(text).encode(), text)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror}", "look at its permissions", 2) from None
    if len(content) > MOST_BYTES:
        raise LabError(
            f"{path} is larger than {MOST_BYTES // 1_000_000} MB", "no run is: this is no file of Waitlab", 2
        )
    return content


def _write(path: Path, content: bytes) -> None:
    """The whole content, on the disk, under its name: or the file that was there before."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb", buffering=0) as file:
            _write_all(file.fileno(), content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
    os.fsync(descriptor)


def _sync(folder: Path) -> None:
    """A new name in a folder survives a power cut only when the folder itself is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move(draft: Path, wanted: Path) -> Path:
    for number in range(1, 100):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if not folder.exists():
            return draft.rename(folder)
    raise FileExistsError(17, "a hundred runs have this name", str(wanted))


def _refuse_a_full_disk(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < FREE_BYTES:
        raise LabError(f"{root}: only {free // 1_000_000} MB are free", "a run needs 100 MB: free some", 122)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise LabError(f"{path} cannot be written: {why}", "what was measured before is kept", 122) from error
