"""One JSON line a request on standard output, written so that a reader who stops reading cannot stop a request."""

import contextlib
import json
import os
from typing import Any

_LONGEST_LINE = 4096  # a pipe takes this much whole or not at all
_LONGEST_TEXT = 1024


class AccessLog:
    """Lines in, or counted as dropped."""

    def __init__(self, descriptor: int = 1) -> None:
        self.dropped = 0
        self._descriptor = _own_description(descriptor)

    def write(self, **fields: Any) -> None:
        """One request; JSON escapes every control character, so one request is one line."""
        short = {key: value[:_LONGEST_TEXT] if isinstance(value, str) else value for key, value in fields.items()}
        line = json.dumps(short, separators=(",", ":")).encode() + b"\n"
        if len(line) > _LONGEST_LINE:
            line = json.dumps({**short, "path": short["path"][:64]}, separators=(",", ":")).encode() + b"\n"
        try:
            os.write(self._descriptor, line)
        except OSError:
            self.dropped += 1

    def close(self) -> None:
        """Let the descriptor go."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def _own_description(descriptor: int) -> int:
    """Open the file behind `descriptor` anew, so that not blocking is this log's own and not every other writer's."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:  # a socket cannot be opened anew, a closed one not at all
        with contextlib.suppress(OSError):
            return os.dup(descriptor)
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
