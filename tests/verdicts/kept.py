"""A results folder for the tests of it, and what they do to one."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.verdicts import made
from waitlab import results
from waitlab.errors import LabError
from waitlab.trial import Trial

STAMP, QUESTION = "2026-11-21T10-32-07", 'title = "é"\n'
MACHINE = {"cores": 4, "kernel": "6.1"}
TRIALS = [
    made.trial(repeat=1, measured={"own": 1.5}, beside=("partner", "another")),
    made.singles(2.0, 4.0, arm="blocked"),
    Trial("sync", 2, 3, 1, "", "the service died: exit status 3", {}, {"list": [1, None, {"deep": True}]}),
]


def refused(path: Path) -> LabError:
    with pytest.raises(LabError) as error:
        results.read(path)
    assert error.value.code == 2
    assert error.value.remedy
    return error.value


def change(path: Path, how: Callable[[bytes], bytes]) -> None:
    path.write_bytes(how(path.read_bytes()))


def signed(record: object) -> bytes:
    text = json.dumps(record).encode()
    return b'{"sum": "%s", "record": %s}\n' % (results._sum(text).encode(), text)


@contextmanager
def full_at(most: int) -> Iterator[None]:
    """No file of this process may be larger: not for longer than a `with`, since pytest's own output may be a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
