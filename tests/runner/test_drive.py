"""The load against real services: every request is recorded once, with the time that its client waited."""

import math
import os
import signal
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.serve import served as served_module
from tests.serve.served import Served
from tests.waiting import eventually, wait_for
from waitlab import drive
from waitlab.drive import Answer, Driver
from waitlab.experiment import VICTIM_RATE, Load

FASTAPI = {"SERVICE": "fastapi", "APP": "services.fastapi_app:app", "SERVER": "uvicorn", "TRACES": "sampled"}
FLASK = {"SERVICE": "flask", "APP": "services.flask_app:app", "TRACES": "off"}
OPENED = 64


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_module.service(tmp_path_factory.mktemp("fastapi"), **FASTAPI, WORKERS=2) as running:
        yield running


def driven(served: Served, request: str, load: Load, folder: Path, *, seconds: float, processes: int = 1) -> Driver:
    """A load that has come to its end, and that the service counted as the clients did."""
    before = served.totals()
    with drive.driving(served.url, request, load, folder, os.environ, processes=processes) as driver:
        assert driver.alive
        wait_for(lambda: driver.answers, "the first answer")
        time.sleep(seconds)
        assert driver.cpu_s()
        driver.stop()
        assert not driver.alive
    sent = (driver.sent, driver.sent, 0)  # accepted, completed, failed
    eventually(lambda: grown(served, before) == sent, 2)  # a service counts when it has answered
    assert grown(served, before) == sent
    return driver


def grown(served: Served, before: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(now - then for now, then in zip(served.totals(), before, strict=True))


def window(driver: Driver, skipped: float) -> tuple[float, float]:
    """From some seconds after the first request to the moment that nothing more was sent."""
    return driver.answers[0].intended + skipped, max(answer.sent for answer in driver.answers)


def asked_by_victim(driver: Driver) -> list[Answer]:
    """Without the requests that open its connections before the load begins."""
    return [answer for answer in driver.answers if answer.victim][OPENED:]


def mean_ms(answers: list[Answer]) -> float:
    return statistics.fmean(answer.response_s for answer in answers) * 1000


def p99(answers: list[Answer]) -> float:
    return sorted(answer.response_s for answer in answers)[math.ceil(0.99 * len(answers)) - 1]


def test_a_closed_loop_explains_its_users_time_and_every_request_is_in_the_ledger(
    fastapi: Served, tmp_path: Path
) -> None:
    driver = driven(fastapi, "/async/sleep?ms=200", Load(users=8), tmp_path, seconds=3)
    seen = drive.client(driver, *window(driver, 0.5))
    assert driver.sent == len(driver.answers) > 8 * 9
    assert (seen.failures, seen.unanswered, seen.unsent, seen.in_flight) == (0, 0, 0, None)
    mean_s = sum(us * count for us, count in seen.response_us.items()) / seen.counted / 1e6
    assert 0.2 <= mean_s < 0.215
    assert 1 - seen.counted / seen.seconds * (mean_s + seen.think_s) / seen.users == pytest.approx(0, abs=0.04)
    assert seen.accounted_s == pytest.approx(seen.users * seen.seconds, rel=0.04)  # no answer at an edge is a remainder
    assert 0 < seen.cpu_ratio < 0.5
    assert {sample.request for sample in driver.samples} == {"/async/sleep?ms=200"}
    assert (driver.samples[0].status, driver.samples[0].content_type) == (200, "application/json")
    assert driver.samples[0].body.replace(" ", "") == '{"ms":200}'
    assert len(driver.samples) == math.ceil(driver.sent / 50)


def test_users_rest_as_long_as_they_should_and_do_not_march_in_step(fastapi: Served, tmp_path: Path) -> None:
    driver = driven(fastapi, "/async/sleep?ms=100", Load(users=10, think_ms=100), tmp_path, seconds=3)
    seen = drive.client(driver, *window(driver, 0.8))
    assert seen.think_s == pytest.approx(0.1)
    assert seen.accounted_s == pytest.approx(seen.users * seen.seconds, rel=0.05)
    answered = sorted(answer.ended % 0.2 for answer in driver.answers if answer.ended > driver.answers[0].ended + 0.5)
    assert statistics.pstdev(answered) > 0.03  # over a cycle of 0.2 s: all at once would be about 0


def test_several_processes_share_the_users(fastapi: Served, tmp_path: Path) -> None:
    driver = driven(
        fastapi, "/async/sleep?ms=100", Load(users=6, victim="/async/ping"), tmp_path, seconds=3, processes=2
    )
    assert len(driver.recording.files()) == len(driver.recording.ends) == 2
    seen = drive.client(driver, *window(driver, 1.5))
    assert 40 < seen.counted / seen.seconds < 62
    assert driver.victim_sent > VICTIM_RATE


def test_arrivals_come_evenly_and_are_timed_from_when_they_were_due(fastapi: Served, tmp_path: Path) -> None:
    driver = driven(fastapi, "/async/sleep?ms=100", Load(rate=50), tmp_path, seconds=2.5)
    due = sorted(answer.intended for answer in driver.answers)
    assert all(later - earlier == pytest.approx(0.02, abs=1e-6) for earlier, later in pairwise(due))
    assert all(answer.response_s >= 0.1 for answer in driver.answers)
    seen = drive.client(driver, *window(driver, 0.8))
    assert (seen.users, seen.think_s, seen.unsent, seen.failures) == (0, 0.0, 0, 0)
    assert statistics.median(answer.late_s for answer in driver.answers) < 0.001
    assert seen.in_flight == pytest.approx(seen.counted / seen.seconds * mean_ms(driver.answers) / 1000, rel=0.1)


def test_a_victim_waits_where_the_loop_is_blocked(tmp_path: Path) -> None:
    load = Load(users=4, victim="/async/ping")
    with served_module.service(tmp_path / "service", **FASTAPI, WORKERS=1) as alone:
        (tmp_path / "blocked").mkdir()
        (tmp_path / "free").mkdir()
        blocked = driven(alone, "/blocked/sleep?ms=50", load, tmp_path / "blocked", seconds=3)
        free = driven(alone, "/async/sleep?ms=50", load, tmp_path / "free", seconds=1)
    waited, undisturbed = (asked_by_victim(driver) for driver in (blocked, free))
    assert len(waited) > VICTIM_RATE
    # The rest of the round that runs, and a whole one: users' connections stand before the victim's in epoll's list.
    assert 200 < statistics.median(answer.response_s for answer in waited) * 1000 < 450
    assert [answer.victim for answer in blocked.answers[:OPENED]] == [True] * OPENED  # its connections are open before
    assert statistics.median(answer.response_s for answer in undisturbed) < 0.03
    seen = drive.client(blocked, *window(blocked, 1))
    assert sum(seen.victim_us.values()) > 0
    assert seen.counted / seen.seconds == pytest.approx(20, rel=0.15)


def test_a_victim_runs_beside_a_schedule_too(fastapi: Served, tmp_path: Path) -> None:
    driver = driven(fastapi, "/async/sleep?ms=20", Load(rate=10, victim="/async/ping"), tmp_path, seconds=2)
    assert 15 <= driver.sent - driver.victim_sent <= 30
    assert 30 <= len(asked_by_victim(driver)) <= 60


def test_a_stall_shows_in_a_schedules_tail_and_not_in_a_closed_loops(tmp_path: Path) -> None:
    with served_module.service(tmp_path / "service", **FASTAPI, WORKERS=1) as alone:
        for name in ("open", "closed"):
            (tmp_path / name).mkdir()
        scheduled, closed = Load(rate=40), Load(users=3)
        with (
            drive.driving(alone.url, "/async/sleep?ms=10", scheduled, tmp_path / "open", os.environ) as arrivals,
            drive.driving(alone.url, "/async/sleep?ms=10", closed, tmp_path / "closed", os.environ) as users,
        ):
            time.sleep(1.5)
            [worker] = [slot.pid for slot in alone.live()]
            os.kill(worker, signal.SIGSTOP)
            time.sleep(1.0)
            os.kill(worker, signal.SIGCONT)
            time.sleep(1.5)
            arrivals.stop()
            users.stop()
        wait_for(lambda: alone.totals()[1] == arrivals.sent + users.sent, "the ledger's exact sum", 5)
    assert p99(arrivals.answers) > 0.8
    assert len(users.answers) > 500
    assert p99(users.answers) < 0.2
    assert max(answer.response_s for answer in users.answers) > 0.9


def test_what_cannot_leave_in_time_is_late_or_unsent(tmp_path: Path) -> None:
    """One sync worker gives 200 answers a second: 900 due in 1.5 s need more connections than a schedule has."""
    with served_module.service(tmp_path / "service", **FLASK, WORKERS=1) as alone:
        (tmp_path / "load").mkdir()
        before = alone.totals()[1]
        with drive.driving(alone.url, "/sync/sleep?ms=5", Load(rate=600), tmp_path / "load", os.environ) as driver:
            time.sleep(1.5)
            driver.stop()
        wait_for(lambda: alone.totals()[1] - before == driver.sent, "the ledger's exact sum", 5)
    assert len(driver.recording.unsent) > 100
    assert max(answer.late_s for answer in driver.answers) > 0.1


def test_connections_that_are_not_kept_are_counted_as_exactly(tmp_path: Path) -> None:
    with served_module.service(tmp_path / "service", **FLASK, WORKERS=2) as sync:
        (tmp_path / "load").mkdir()
        driver = driven(sync, "/sync/sleep?ms=50", Load(users=6, think_ms=20), tmp_path / "load", seconds=2)
        seen = drive.client(driver, *window(driver, 0.8))
    assert seen.failures == 0
    assert 28 < seen.counted / seen.seconds <= 41  # workers / wait is 40


@pytest.mark.parametrize(("style", "last"), [("async", 0.2), ("blocked", 0.8)])
def test_singles_overlap_or_do_not(tmp_path: Path, style: str, last: float) -> None:
    with served_module.service(tmp_path / "service", **FASTAPI, WORKERS=1) as alone:
        found = drive.singles(alone.url, f"/{style}/sleep?ms=200", 4)
        wait_for(lambda: alone.totals()[1] == 4, "the ledger's exact sum", 5)
    assert [one.status for one in found] == [200] * 4
    assert found[0].sent == 0.0
    assert all(0 <= one.sent < 0.1 and one.begun is None for one in found)
    assert min(one.answered for one in found) == pytest.approx(0.2, abs=0.1)
    assert max(one.answered for one in found) == pytest.approx(last, abs=0.15)
