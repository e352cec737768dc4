"""A folder is judged the same wherever it is judged."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.report import reported
from waitlab import judgement, results
from waitlab.serve import settings


def test_the_default_executor_is_that_of_the_machine_that_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = reported.write(tmp_path, "c17", lambda trial: replace(trial, service={"executor_threads": 6}))
    monkeypatch.setattr(settings.os, "cpu_count", lambda: 60)
    predicted = {one.arm: one.predicted for one in judgement.of(results.read(folder)).judged if one.law}
    assert predicted == {"def": 200.0, "run_in_executor": pytest.approx(6 / 0.2)}
