"""What a load generator writes down: a record of 32 bytes for each request. And how it is read, also while it grows.

Each generator process writes `answers-PID`, in whole records, and `samples-PID`, a JSON line for one answer in fifty.
All moments are CLOCK_MONOTONIC in seconds, which on Linux is one clock for all processes.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from waitlab.errors import LabError

ANSWERS, SAMPLES = "answers-", "samples-"
RECORD = struct.Struct("<dddfHBB")  # three moments or figures, rest, status, outcome, kind
VICTIM, BACKGROUND = 0x10, 0x20  # added to the kind of an answer that is not of the request that is measured


class Kind(IntEnum):
    """What a record is about, and in brackets what its first fields hold."""

    ANSWER = 0  # (intended, sent, ended, rest before it, status, outcome) also where there was none
    UNSENT = 1  # (intended) due before the end of the load, but it never left
    IN_FLIGHT = 2  # (moment, requests due and not yet answered) scheduled arrivals, sampled at random moments
    BEAT = 3  # (moment, CPU seconds of the process)
    END = 4  # (moment, requests sent) the load is drained; nothing follows
    LEFT = 5  # (intended, -, -, rest before it) a user went away and did not send what was or would have been due then
    HELD = 6  # (moment, +1 or -1) a user has opened a connection that it will hold, or has lost or left it
    FIRST_EVENT = 7  # (moment, seconds since the stream was asked for)
    EVENT_GAP = 8  # (moment, seconds since the event before it)
    ROUND_TRIP = 9  # (moment, seconds from a message to its echo)


class Outcome(IntEnum):
    """How a request ended."""

    GOOD = 0
    BAD_STATUS = 1  # anything but 2xx
    REFUSED = 2  # from here on there was no answer, or no whole one
    RESET = 3
    TIMED_OUT = 4
    NO_CONNECTION = 5  # whatever else the network says
    HUNG_UP = 6  # its client held the connection and left with the load's end


class Answer(NamedTuple):
    """One request, as its client saw it; moments in CLOCK_MONOTONIC seconds.

    `intended` is when it was due, `sent` when it left, `rest` the seconds that its user rested before. `status` is 0
    without an answer.
    """

    intended: float
    sent: float
    ended: float
    rest: float
    status: int
    outcome: Outcome
    victim: bool
    background: bool = False

    @property
    def measured(self) -> bool:
        """Whether it is an answer to the arm's own request, and not to one beside it."""
        return not (self.victim or self.background)

    @property
    def failed(self) -> bool:
        return self.outcome is not Outcome.GOOD

    @property
    def unanswered(self) -> bool:
        return self.outcome >= Outcome.REFUSED

    @property
    def response_s(self) -> float:
        """From the intended start."""
        return self.ended - self.intended

    @property
    def late_s(self) -> float:
        return self.sent - self.intended


class Sample(NamedTuple):
    """One answer, to be compared with the contract: path and query, and the beginning of its body."""

    request: str
    status: int
    content_type: str
    body: str


@dataclass
class Recording:
    """All that the generator processes of one load have written so far; `read` takes in what is new."""

    folder: Path
    answers: list[Answer] = field(default_factory=list)
    unsent: list[float] = field(default_factory=list)
    in_flight: list[tuple[float, float]] = field(default_factory=list)
    left: list[tuple[float, float]] = field(default_factory=list)  # when the next request was due, and the rest before
    held: list[tuple[float, int]] = field(default_factory=list)  # moments at which one connection more or less was held
    events: dict[Kind, list[tuple[float, float]]] = field(default_factory=dict)  # kind -> moments and seconds
    beats: dict[int, list[tuple[float, float]]] = field(default_factory=dict)  # process id -> moments and CPU seconds
    ends: dict[int, int] = field(default_factory=dict)  # process id -> requests it sent, once it is drained
    _taken: dict[Path, int] = field(default_factory=dict)

    def read(self) -> "Recording":
        """Take in every whole record that has been added. LabError for a file that is no recording."""
        for pid, file in self.files().items():
            taken = self._taken.get(file, 0)
            with file.open("rb") as stream:
                stream.seek(taken)
                found = stream.read()
            whole = len(found) - len(found) % RECORD.size
            try:
                self._take(pid, found[:whole])
            except (ValueError, IndexError):
                raise LabError(f"{file} is damaged after byte {taken}") from None
            self._taken[file] = taken + whole
        return self

    def files(self) -> dict[int, Path]:
        """Process id -> its file."""
        return {int(file.name.removeprefix(ANSWERS)): file for file in sorted(self.folder.glob(f"{ANSWERS}*"))}

    def samples(self) -> Iterator[Sample]:
        """The sampled answers; a torn last line is passed over."""
        for file in sorted(self.folder.glob(f"{SAMPLES}*")):
            for line in file.read_text(encoding="utf-8").split("\n")[:-1]:
                yield Sample(*json.loads(line))

    def _take(self, pid: int, records: bytes) -> None:
        for first, second, third, rest, status, outcome, kind in RECORD.iter_unpack(records):
            if kind in _ANSWERS:
                marks = kind == VICTIM, kind == BACKGROUND
                self.answers.append(Answer(first, second, third, rest, status, _OUTCOMES[outcome], *marks))
            elif kind == Kind.BEAT:
                self.beats.setdefault(pid, []).append((first, second))
            elif kind == Kind.IN_FLIGHT:
                self.in_flight.append((first, second))
            elif kind == Kind.UNSENT:
                self.unsent.append(first)
            elif kind == Kind.LEFT:
                self.left.append((first, rest))
            elif kind == Kind.HELD:
                self.held.append((first, int(second)))
            elif kind in EVENTS:
                self.events.setdefault(Kind(kind), []).append((first, second))
            else:
                self.ends[pid] = int(second) if Kind(kind) is Kind.END else 0


EVENTS = frozenset({Kind.FIRST_EVENT, Kind.EVENT_GAP, Kind.ROUND_TRIP})
_ANSWERS = (Kind.ANSWER, Kind.ANSWER | VICTIM, Kind.ANSWER | BACKGROUND)
_OUTCOMES = tuple(Outcome)
