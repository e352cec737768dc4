"""A results folder with three trials."""

from pathlib import Path

import pytest

from tests.verdicts.kept import MACHINE, QUESTION, STAMP, TRIALS
from waitlab import results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made_one = results.create(tmp_path / "results", "sync-worker", STAMP, QUESTION, MACHINE)
    for trial in TRIALS:
        results.append(made_one, trial)
    return made_one
