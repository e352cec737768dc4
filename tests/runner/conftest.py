"""What every test of the runner must leave as it was."""

import os
from collections.abc import Iterator

import pytest

from tests.leaving import no_process


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process below this one that was not there before, and all cores; servers that tests share were there."""
    cores = os.sched_getaffinity(0)
    with no_process():
        yield
    assert os.sched_getaffinity(0) == cores
