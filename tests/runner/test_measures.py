"""What an experiment's own functions make of a trial, and what is told of one that makes nothing of it."""

from pathlib import Path

import pytest

from tests.verdicts import made
from waitlab import quantities
from waitlab.errors import LabError
from waitlab.evidence import gather
from waitlab.runner import measures

OWN = """
import functools
from math import sqrt
from statistics import fmean

def rate(trial):
    return trial.client.counted / trial.client.seconds

@functools.lru_cache
def kept(trial_id):
    return 1

def raises(trial):
    return {}["no such key"]

def says_nothing(trial):
    return None

def says_text(trial):
    return "12"

def is_infinite(trial):
    return 1e308 * 10

def is_too_large(trial):
    return 10 ** 400

def _private(trial):
    return 1
"""


@pytest.fixture
def own(tmp_path: Path) -> dict[str, measures.Function]:
    tmp_path.joinpath("own.py").write_text(OWN)
    return measures.load(tmp_path / "own.py")


def test_only_functions_of_the_file_itself_are_quantities(own: dict[str, measures.Function]) -> None:
    assert list(own) == ["rate", "kept", "raises", "says_nothing", "says_text", "is_infinite", "is_too_large"]


def test_a_function_that_fails_costs_its_own_figure_and_says_why(own: dict[str, measures.Function]) -> None:
    del own["kept"]
    trial = measures.apply(own, made.trial(100.0))
    assert trial.measured == {"rate": 100.0}
    assert trial.unmeasured == {
        "raises": "its function gives no number: KeyError('no such key')",
        "says_nothing": "its function gives no number: ValueError('it is None')",
        "says_text": """its function gives no number: ValueError("it is '12'")""",
        "is_infinite": "its function gives no number: ValueError('it is inf')",
        "is_too_large": trial.unmeasured["is_too_large"],
    }
    assert "OverflowError" in trial.unmeasured["is_too_large"]


def test_a_verdict_is_told_why_a_function_gave_nothing(own: dict[str, measures.Function]) -> None:
    trial = measures.apply({"raises": own["raises"]}, made.trial())
    evidence = gather(made.arm(repeats=1), [trial], "raises", quantities.read)
    assert evidence.left_out == (
        "repeat 1: raises was not measured: its function gives no number: KeyError('no such key')",
    )


def test_no_file_has_no_functions_and_one_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    assert measures.load(None) == {}
    tmp_path.joinpath("own.py").write_text("1 / 0\n")
    with pytest.raises(LabError, match=r"own\.py cannot be run: ZeroDivisionError"):
        measures.load(tmp_path / "own.py")
