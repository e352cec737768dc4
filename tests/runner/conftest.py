"""What every test of the runner must leave as it was."""

import os
from collections.abc import Iterator

import pytest

from waitlab import process


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process below this one that was not there before, and all cores; servers that tests share were there."""
    cores, before = os.sched_getaffinity(0), set(process.children(os.getpid()))
    yield
    assert not [pid for pid in set(process.children(os.getpid())) - before if process.is_alive(pid)]
    assert os.sched_getaffinity(0) == cores
