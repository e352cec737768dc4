"""Several of a service behind one edge: all are what was started, get their share, and are counted together."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.runner import small
from waitlab import configuration, forecast, rules, validity
from waitlab.errors import LabError
from waitlab.runner.run import Step

TWO = """
[arms.two]
service = "flask"
request = "/sync/sleep?ms=50"
worker_class = "sync"
workers = 1
edge = "buffered"
replicas = 2
users = 4
seconds = 2
repeats = {repeats}

[[predictions]]
says = "Each serves one request at a time."
arm = "two"
quantity = "throughput_rps"
law = "concurrency_limit"
within = 0.25
"""


def test_replicas_share_the_load_and_are_counted_together(tmp_path: Path) -> None:
    asked = small.ask(tmp_path, TWO)
    (arm,) = asked.arms
    assert configuration.case(arm, 1.0).workers == 2
    (trial,) = small.run(asked, tmp_path).trials
    assert trial.ended == "measured"
    assert trial.client
    assert trial.server
    assert trial.client.sent == trial.server.completed
    assert 20 < trial.client.counted / trial.client.seconds < 40  # one alone gives less than 20
    shares = [worker.completed for worker in trial.server.workers.values()]
    assert len(shares) == 2
    assert shares[0] == pytest.approx(shares[1], abs=4)  # in turn
    assert trial.service["replicas"] == 2
    assert all(len(entry["pids"]) == 2 for entry in trial.identity)  # type: ignore[arg-type]
    assert trial.commands["service"].endswith("python -m waitlab.serve # 2 times")
    found = {one.rule: one.verdict for one in validity.findings(trial, arm.load)}
    assert {rule: found[rule] for rule in ("G0", "G1", "G2", "G11")} == dict.fromkeys(("G0", "G1", "G2", "G11"), "pass")
    alone = replace(trial, service={**trial.service, "replicas": 1})
    assert rules.identity(alone, arm.load).verdict == "void"


def test_a_replica_that_dies_ends_the_trial(tmp_path: Path) -> None:
    def told(step: Step) -> None:
        if step.doing == "measuring":
            small.kill("waitlab.serve")

    (trial,) = small.run(small.ask(tmp_path, TWO), tmp_path, told).trials
    assert "the service ended" in trial.ended


def test_the_plan_knows_that_each_has_to_start(tmp_path: Path) -> None:
    (arm,) = small.ask(tmp_path, TWO).arms
    alone = replace(arm, knobs={**arm.knobs, "replicas": 1})
    measured = [forecast.turn_s((one,), 1.0) - forecast.response_s(one, 1.0) for one in (arm, alone)]
    assert measured[0] - measured[1] == pytest.approx(forecast.START_S + forecast.START_A_WORKER_S)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("replicas = 2", "replicas = 5", "replicas = 5 is not allowed"),
        ('edge = "buffered"', 'edge = "off"', "arms.two.replicas needs an edge"),
        ('edge = "buffered"', "", "arms.two.replicas needs an edge"),
        ("users = 4", "concurrent = 4", "arms.two.replicas needs a load of users or a rate"),
    ],
)
def test_replicas_that_nothing_leads_to_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(LabError) as fault:
        small.ask(tmp_path, TWO.replace(old, new))
    assert message in fault.value.message
