"""The ledger: every worker's request counts in shared memory that outlives the worker, so that they sum to the truth.

`RUN_DIR/ledger` holds SLOTS slots of WORDS 64-bit words. A slot belongs to the process that holds a POSIX lock on the
byte of `RUN_DIR/slots.lock` with the slot's number: the kernel releases it on any death, and shows its owner to whoever
asks. A slot that is claimed again goes on counting where it stood. Only the standard library is needed to read.
"""

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from waitlab.telemetry import locks

SLOTS = 256  # workers may be 64; a worker that drains keeps its slot while its successor starts
WORDS = 8
PID, PORT, ACCEPTED, COMPLETED, FAILED, STARTED, STOPPED = range(7)
_BYTES = SLOTS * WORDS * 8


@dataclass(frozen=True)
class Slot:
    """One slot at one moment; `pid` and `port` are its last owner's, `alive` says whether that owner still lives.

    `started` and `stopped` count the lifespans of ASGI applications: a worker that is killed leaves one unstopped.
    """

    number: int
    pid: int
    alive: bool
    port: int
    accepted: int
    completed: int
    failed: int
    started: int = 0
    stopped: int = 0

    @property
    def unfinished(self) -> int:
        """Requests in flight, and those that went down with killed workers."""
        return self.accepted - self.completed - self.failed


class Claim:
    """This process's own slot: the only writer of its words. Its threads share `lock`."""

    def __init__(self, number: int | None, words: memoryview, lock_file: int) -> None:
        self.number = number
        self.words = words
        self.lock = Lock()
        self.lock_file = lock_file
        words[PID] = os.getpid()
        words[PORT] = 0
        self.lost = words[ACCEPTED] - words[COMPLETED] - words[FAILED]  # went down with the slot's earlier owners

    def release(self) -> None:
        """Give the slot back before the process ends; nothing may count in it any more."""
        if self.lock_file >= 0:
            os.close(self.lock_file)
            self.lock_file = -1

    @property
    def active(self) -> int:
        """Requests in flight in this process."""
        words = self.words
        return int(words[ACCEPTED] - words[COMPLETED] - words[FAILED] - self.lost)


_claims: dict[Path, Claim] = {}


def create(run_dir: Path) -> None:
    """Make a new, empty ledger in `run_dir`; one that is there is replaced, and its readers keep the old one."""
    fresh = run_dir / "ledger.new"
    with fresh.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, _BYTES)  # a full disk must fail here and not as SIGBUS in a worker
    fresh.replace(run_dir / "ledger")
    (run_dir / "slots.lock").touch()


def claim(run_dir: Path) -> Claim:
    """Take the lowest free slot for the rest of this process's life. Raises OSError when there is none."""
    lock_file = os.open(run_dir / "slots.lock", os.O_RDWR | os.O_CLOEXEC)
    try:
        with (run_dir / "ledger").open("r+b") as file:
            memory = memoryview(mmap.mmap(file.fileno(), _BYTES))
        number = _lock_lowest(lock_file)
    except OSError:
        os.close(lock_file)
        raise
    words = memory.cast("Q")[(number - 1) * WORDS : number * WORDS]
    _claims[run_dir] = Claim(number, words, lock_file)
    return _claims[run_dir]


def unshared() -> Claim:
    """A claim that counts in this process's own memory only: for a worker that could not get a slot."""
    return Claim(None, memoryview(bytearray(WORDS * 8)).cast("Q"), -1)


def read(run_dir: Path) -> list[Slot]:
    """Every slot that was ever used, lowest first. Raises FileNotFoundError when no service runs in `run_dir`."""
    words = memoryview((run_dir / "ledger").read_bytes()).cast("Q")
    with _lock_file(run_dir) as lock_file:
        rows = ((number, words[(number - 1) * WORDS : number * WORDS]) for number in range(1, SLOTS + 1))
        return [
            Slot(number, row[PID], _owner(run_dir, lock_file, number) == row[PID], *row[PORT : STOPPED + 1].tolist())
            for number, row in rows
            if row[PID]
        ]


def _lock_lowest(lock_file: int) -> int:
    for number in range(1, SLOTS + 1):
        with contextlib.suppress(BlockingIOError, PermissionError):
            fcntl.lockf(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            return number
    raise OSError(f"all {SLOTS} slots of the ledger are taken")


@contextlib.contextmanager
def _lock_file(run_dir: Path) -> Iterator[int]:
    """The open lock file: a slot's owner uses its own, since closing any other would release its lock (POSIX)."""
    if own := _claims.get(run_dir):
        yield own.lock_file
        return
    lock_file = os.open(run_dir / "slots.lock", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield lock_file
    finally:
        os.close(lock_file)


def _owner(run_dir: Path, lock_file: int, number: int) -> int | None:
    """The process that holds a slot's lock, this one included."""
    if (own := _claims.get(run_dir)) and own.number == number:
        return os.getpid()
    return locks.owner(lock_file, number, 1)
