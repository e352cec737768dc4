"""A mix of requests, really run: what is beside the measured one is asked, counted, compared, and left out of it."""

import os
import time
from pathlib import Path

import pytest

from tests.runner import small
from tests.runner.recordings import PID, write
from tests.serve import served as served_module
from tests.waiting import wait_for
from waitlab import drive, rules, validity
from waitlab.drive.record import BACKGROUND, RECORD, Kind, Outcome, Recording
from waitlab.experiment import Load

FASTAPI = {"SERVICE": "fastapi", "APP": "services.fastapi_app:app", "SERVER": "uvicorn", "TRACES": "off"}
MIXED = """
[arms.mixed]
service = "fastapi"
request = "/async/sleep?ms=100"
workers = 1
users = 2
background = ["/sync/sleep?ms=20", "/async/burn?rounds=1"]
background_users = 2
think_ms = 30
seconds = 3
repeats = {repeats}

[[predictions]]
says = "It waits for itself."
arm = "mixed"
quantity = "p50_ms"
at_most = 150
"""


def recorded(folder: Path, *outcomes: Outcome, kind: int = BACKGROUND) -> Recording:
    write(folder, *(RECORD.pack(10.0, 10.0, 10.1, 0.0, 200, outcome, kind) for outcome in outcomes))
    return Recording(folder).read()


def test_answers_of_the_background_have_a_mark_of_their_own(tmp_path: Path) -> None:
    both = recorded(tmp_path, Outcome.GOOD).answers + recorded(tmp_path, Outcome.GOOD, kind=Kind.ANSWER).answers[1:]
    assert [(one.background, one.victim, one.measured) for one in both] == [(True, False, False), (False, False, True)]
    assert (tmp_path / f"answers-{PID}").exists()


def test_each_request_of_a_mix_has_users_of_its_own_and_only_one_is_measured(tmp_path: Path) -> None:
    load = Load(users=3, think_ms=50, background=("/async/ping", "/sync/sleep?ms=150"), background_users=2)
    with (
        served_module.service(tmp_path / "service", **FASTAPI, WORKERS=1) as served,
        drive.driving(served.url, "/async/sleep?ms=100", load, tmp_path, os.environ) as driver,
    ):
        wait_for(lambda: driver.answers, "the first answer")
        time.sleep(2.5)
        driver.stop()
        wait_for(lambda: served.totals() == (driver.sent, driver.sent, 0), "what was sent in the ledger")
    start, end = driver.answers[0].intended + 0.5, driver.answers[0].intended + 2.5
    seen = drive.client(driver, start, end)
    assert seen.counted == pytest.approx(3 * 2 / 0.15, abs=5)
    assert seen.background_counted == pytest.approx(2 * 2 / 0.2 + 2 * 2 / 0.055, rel=0.25)
    assert min(seen.response_us) >= 100_000
    assert seen.sent == driver.sent == len(driver.answers)
    assert seen.accounted_s == pytest.approx(3 * seen.seconds, rel=0.04)
    assert sum(part.answers for part in drive.slices(driver.answers, start, end, 4)) == seen.counted
    assert {sample.request for sample in driver.samples} == {"/async/sleep?ms=100", *load.background}


def test_a_trial_of_a_mix_is_whole(tmp_path: Path) -> None:
    asked = small.ask(tmp_path, MIXED)
    (trial,) = small.run(asked, tmp_path).trials
    assert trial.ended == "measured"
    assert trial.client
    assert trial.server
    assert trial.client.sent == trial.server.completed > trial.client.counted + trial.client.background_counted
    assert trial.client.background_counted > trial.client.counted > 20
    assert trial.server.duration_mean_s == pytest.approx(0.1, rel=0.3)  # of the measured request alone
    found = {one.rule: one.verdict for one in validity.findings(trial, asked.arms[0].load)}
    assert {rule: found[rule] for rule in ("G0", "G1", "G2", "G11")} == dict.fromkeys(("G0", "G1", "G2", "G11"), "pass")
    broken = trial.client.__class__(**{**vars(trial.client), "background_failures": trial.client.background_counted})
    spoilt = trial.__class__(**{**vars(trial), "client": broken})
    assert rules.errors(spoilt, asked.arms[0].load).verdict == "void"


def test_a_wrong_answer_in_the_background_is_refused_before_the_load(tmp_path: Path) -> None:
    refused = MIXED.replace("/sync/sleep?ms=20", "/sync/sleep?ms=99999999")
    (trial,) = small.run(small.ask(tmp_path, refused), tmp_path).trials
    assert trial.ended.startswith("a wrong answer: /sync/sleep?ms=99999999: 400")
    assert trial.client is None
