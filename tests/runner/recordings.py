"""Recordings as a generator writes them, made up."""

from pathlib import Path

from waitlab.drive.record import ANSWERS, RECORD, VICTIM, Kind, Outcome

PID = 4711


def answer(
    intended: float,
    ended: float,
    *,
    late: float = 0.0,
    rest: float = 0.0,
    outcome: int = Outcome.GOOD,
    victim: bool = False,
) -> bytes:
    status = 200 if outcome == Outcome.GOOD else 503 if outcome == Outcome.BAD_STATUS else 0
    return RECORD.pack(intended, intended + late, ended, rest, status, outcome, VICTIM if victim else Kind.ANSWER)


def other(kind: Kind, moment: float, figure: float = 0.0) -> bytes:
    return RECORD.pack(moment, figure, 0.0, 0.0, 0, 0, kind)


def write(folder: Path, *records: bytes, pid: int = PID) -> Path:
    """Add to the file of a process."""
    file = folder / f"{ANSWERS}{pid}"
    with file.open("ab") as stream:
        stream.write(b"".join(records))
    return file
