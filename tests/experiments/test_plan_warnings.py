"""What a plan says of a file that can be read and would still waste a run; how often arms are measured."""

import re
from pathlib import Path

import pytest

from waitlab import configuration, experiment, forecast
from waitlab.errors import LabError
from waitlab.experiment import Experiment
from waitlab.runner import cores
from waitlab.verbs import planned

FILE = """
title = "T"
question = "Q?"

[load]
{load}

[arms."one by one"]
service = "{service}"
request = "{request}"
workers = 1
{arm}

[arms.other]
service = "fastapi"
request = "/async/sleep?ms=20"

[[predictions]]
says = "It is so."
arm = "one by one"
{prediction}
"""
GOOD = {
    "load": "users = 20",
    "service": "fastapi",
    "request": "/blocked/sleep?ms=20",
    "arm": "",
    "prediction": 'quantity = "throughput_rps"\nat_least = 1',
}
AGAINST = 'quantity = "throughput_rps"\nat_least = { arm = "other" }'


def asked(folder: Path, **changes: str) -> Experiment:
    (folder / "mine.toml").write_text(FILE.format(**GOOD | changes))
    return experiment.read(folder / "mine.toml")


@pytest.mark.parametrize(
    ("changes", "repeats"),
    [
        ({}, [3, 3]),
        ({"prediction": AGAINST}, [5, 5]),
        ({"prediction": AGAINST, "load": "users = 20\nrepeats = 4"}, [4, 4]),
        ({"prediction": AGAINST, "arm": "repeats = 7"}, [7, 5]),
    ],
)
def test_arms_held_against_one_another_are_measured_more_often(
    tmp_path: Path, changes: dict[str, str], repeats: list[int]
) -> None:
    assert [arm.load.repeats for arm in asked(tmp_path, **changes).arms] == repeats


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"load": "rate = 20\nseconds = 8"}, ""),
        ({"load": "rate = 5000"}, "outlasts the 10 s that are measured; the service gives 50 answers a second"),
        ({"load": "rate = 80\nseconds = 30"}, "about 1[0-9]{3} requests would wait at the end"),
        ({"prediction": 'quantity = "p95_ms"\nat_most = 500'}, ""),
        ({"prediction": 'quantity = "p99_ms"\nat_most = 500'}, r"and p99_ms needs 1000: say seconds = 2\d"),
        (
            {
                "load": 'users = 20\nseconds = 5\nvictim = "/async/ping"',
                "prediction": 'quantity = "victim_p95_ms"\nat_most = 9',
            },
            "about 100 answers in 5 s, and victim_p95_ms needs 200: say seconds = 10",
        ),
    ],
)
def test_a_plan_warns_of_what_would_be_void(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    found = "; ".join(forecast.warnings(asked(tmp_path, **changes), 1.0))
    assert bool(found) == bool(said), found
    assert re.search(said, found), found


def test_a_plan_warns_of_cores_that_are_not_there(tmp_path: Path) -> None:
    found = planned.plan(asked(tmp_path, arm="cores = 1024"), 7, 1.0)["warnings"]
    assert found == [f"one by one: the arm needs 1024 cores, and this machine gives {len(cores.usable())}"]


def test_a_schedule_has_as_many_connections_as_the_generator_gives_it() -> None:
    stream = (experiment.FOLDER.parent / "locustfiles" / "stream.py").read_text()
    assert f"\nCONNECTIONS = {forecast.CONNECTIONS}  #" in stream


WSGI = {"service": "flask", "request": "/sync/ping"}
LAW = 'quantity = "throughput_rps"\nlaw = "concurrency_limit"\nwithin = 0.1'
QUEUE = 'quantity = "queue_mean_ms"\nlaw = "queue_time"\nwithin = 0.1'


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({**WSGI, "arm": 'worker_class = "sync"\nthreads = 8'}, "threads=8 is not allowed: worker_class=sync takes 1"),
        ({**WSGI, "arm": 'server = "uvicorn"'}, "server='uvicorn' is not allowed"),
        ({"request": "/async/sleep?ms=20", "prediction": QUEUE}, r"It is so. \(one by one\): the law does not hold"),
        ({"request": "/async/sleep?ms=2x", "prediction": LAW}, "ms='2x' is not allowed"),
    ],
)
def test_what_no_machine_can_run_or_judge_is_refused(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(LabError, match=said) as error:
        configuration.check(asked(tmp_path, **changes))
    assert error.value.code == 2


def test_every_experiment_of_the_lab_can_be_run_and_judged() -> None:
    for file in sorted(experiment.FOLDER.glob("*.toml")):
        configuration.check(experiment.read(file))
