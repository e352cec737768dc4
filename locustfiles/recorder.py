"""Writes down every request of one generator process, in the records of waitlab/drive/record.py."""

import json
import os
import sys
import time
from pathlib import Path

import gevent

from waitlab.drive.record import ANSWERS, RECORD, SAMPLES, Kind

BEAT_SECONDS = 0.1
SAMPLED_BYTES = 2048
NOT_WRITTEN = 74  # the exit status: EX_IOERR

_pack = RECORD.pack


class Recorder:
    """One process' files, from its first beat to `end`."""

    def __init__(self, folder: Path) -> None:
        self.under_way = 0
        self.sent = 0
        self._buffer, self._sampled = bytearray(), bytearray()
        self._samples = _open(folder / f"{SAMPLES}{os.getpid()}")
        self._file = _open(folder / f"{ANSWERS}{os.getpid()}")
        self._beating = gevent.spawn(self._beat)

    def answer(self, *fields: float) -> None:
        """One request is over: intended, sent, ended, rest, status, outcome, and VICTIM, BACKGROUND or 0."""
        self._buffer += _pack(*fields)

    def sample(self, request: str, status: int, content_type: str, body: bytes) -> None:
        """One answer in full, or the beginning of it."""
        text = body[:SAMPLED_BYTES].decode(errors="replace")
        self._sampled += json.dumps((request, status, content_type, text)).encode() + b"\n"

    def unsent(self, intended: float) -> None:
        """A request was due and will not be sent any more."""
        self._buffer += _pack(intended, 0.0, 0.0, 0.0, 0, 0, Kind.UNSENT)

    def left(self, intended: float, rest: float) -> None:
        """A user goes away: its next request, due then after this rest, will not be sent."""
        self._buffer += _pack(intended, 0.0, 0.0, rest, 0, 0, Kind.LEFT)

    def in_flight(self, moment: float, count: int) -> None:
        """So many requests were due and not yet answered at this moment."""
        self._buffer += _pack(moment, count, 0.0, 0.0, 0, 0, Kind.IN_FLIGHT)

    def event(self, kind: Kind, figure: float) -> None:
        """Something that a client who holds its connection has just seen or done."""
        self._buffer += _pack(time.monotonic(), figure, 0.0, 0.0, 0, 0, kind)

    def end(self) -> None:
        """The last record: what was sent is answered, and nothing more will be."""
        self._beating.kill()
        self._buffer += _pack(time.monotonic(), self.sent, 0.0, 0.0, 0, 0, Kind.END)
        self._flush()

    def _beat(self) -> None:
        while True:
            self._buffer += _pack(time.monotonic(), time.process_time(), 0.0, 0.0, 0, 0, Kind.BEAT)
            self._flush()
            gevent.sleep(BEAT_SECONDS)

    def _flush(self) -> None:
        try:
            _write(self._samples, self._sampled)
            _write(self._file, self._buffer)
        except OSError as error:
            sys.stderr.write(f"locust: the answers cannot be written down: {error}\n")
            sys.stderr.flush()
            os._exit(NOT_WRITTEN)  # a load that nobody records is none


def _open(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)


def _write(file: int, buffer: bytearray) -> None:
    while buffer:
        del buffer[: os.write(file, buffer)]
