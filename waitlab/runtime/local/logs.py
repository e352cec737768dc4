"""The parts' logs: their last lines, and what is added to them."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

POLL_SECONDS = 0.2
LAST_LINES = 15

Line = tuple[str, str]  # the part, what it said


def last_lines(files: Mapping[str, Path], count: int) -> Iterator[Line]:
    """The last `count` lines of each file, file by file."""
    for part, file in files.items():
        with file.open(errors="replace") as stream:
            yield from ((part, _printable(line)) for line in deque(stream, count))


def last_words(file: Path) -> str:
    """The end of a log, for a message about whoever wrote it; "(nothing)" when nothing was written."""
    lines = [line for _, line in last_lines({"": file}, LAST_LINES)] if file.exists() else []
    return "\n".join(lines) or "(nothing)"


def new_lines(files: Mapping[str, Path]) -> Iterator[Line]:
    """Every line that is added from now on, without end."""
    streams = {part: file.open(errors="replace") for part, file in files.items()}
    try:
        for stream in streams.values():
            stream.seek(0, 2)
        while True:
            for part, stream in streams.items():
                yield from ((part, _printable(line)) for line in stream)
            time.sleep(POLL_SECONDS)
    finally:
        for stream in streams.values():
            stream.close()


def _printable(line: str) -> str:
    """A log quotes strangers: what would move the cursor or colour the screen is shown as a question mark."""
    return "".join(letter if letter.isprintable() or letter == "\t" else "?" for letter in line.rstrip("\n"))
