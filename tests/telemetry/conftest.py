"""Telemetry of the test's own process, begun and ended for one test."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from waitlab import telemetry
from waitlab.telemetry import current, ledger
from waitlab.telemetry.watched import Watched, watched
from waitlab.telemetry.worker import Worker, WorkerSettings


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts telemetry in this process, in a run folder with a ledger."""
    ledger.create(tmp_path)

    def started(**settings: object) -> Worker:
        telemetry.start(replace(WorkerSettings("tiny", tmp_path, traces="off"), **settings))
        assert current.worker is not None
        return current.worker

    yield started
    telemetry.stop()
    current.worker = None
    vars(watched).update(vars(Watched()))
    for claim in ledger._claims.values():
        claim.release()
    ledger._claims.clear()
