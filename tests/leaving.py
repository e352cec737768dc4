"""What a test may leave behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from waitlab import process


@contextmanager
def no_process() -> Iterator[None]:
    """None lives below this one at the end that was not there before; the dead may be children of ours since then."""
    before = set(process.children(os.getpid()))
    yield
    assert not [pid for pid in set(process.children(os.getpid())) - before if process.is_alive(pid)]
