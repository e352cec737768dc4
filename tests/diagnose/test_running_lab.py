"""`lab diagnose` on a lab that runs, as a person calls it."""

import json
from collections.abc import Iterator

import pytest

from tests.diagnose.load import asked
from tests.runtime.conftest import Lab, make_lab
from waitlab.runtime.local.looks import LocalLab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = make_lab(tmp_path_factory.mktemp("lab"))
    started = made("up", "--only", "flask", "--only", "fastapi")
    assert started.returncode == 0, started.stdout + started.stderr
    yield made
    assert made("down").returncode == 0


def test_without_a_name_it_is_the_service_that_is_asked(lab: Lab) -> None:
    with asked(LocalLab(lab.home).services()["flask"], "/sync/sleep?ms=200", users=8):
        done = lab("diagnose", "--json", "--seconds", "3")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["service"], told["limit"]) == ("flask", "workers or threads exhausted")
    assert told["figures"]["telemetry"]
    assert told["panel"] == "Busy workers"


def test_a_lab_that_rests_and_a_service_that_is_not_there(lab: Lab) -> None:
    resting = lab("diagnose", "fastapi", "--seconds", "3")
    assert (resting.returncode, resting.stdout.partition("\n")[0]) == (120, "fastapi: cannot tell")
    nobody = lab("diagnose")
    assert (nobody.returncode, "no service of the lab is asked anything" in nobody.stderr) == (2, True)
    unknown = lab("diagnose", "flaks")
    assert (unknown.returncode, "there is no running service 'flaks'" in unknown.stderr) == (2, True)
