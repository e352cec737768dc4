"""Users who hold connections, against real services: what they see is recorded, and both witnesses count the same."""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve import served as served_module
from tests.serve.served import Served
from tests.waiting import eventually, wait_for
from waitlab import descriptors, drive
from waitlab.drive import Driver
from waitlab.drive.record import Kind, Outcome
from waitlab.drive.view import fewest_held
from waitlab.experiment import Load

FASTAPI = {"SERVICE": "fastapi", "APP": "services.fastapi_app:app", "SERVER": "uvicorn", "TRACES": "off", "WORKERS": 1}
FLASK = {"SERVICE": "flask", "APP": "services.flask_app:app", "TRACES": "off", "WORKERS": 2}
LONG = "/async/stream?items=500&interval_ms=0&kb=64"


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with served_module.service(tmp_path_factory.mktemp("fastapi"), **FASTAPI) as running:
            yield running
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def driven(served: Served, request: str, load: Load, folder: Path, seconds: float = 1.0) -> Driver:
    """A load of users who have all opened their connections, and have held them for some time."""
    before = served.totals()
    with drive.driving(served.url, request, load, folder, os.environ) as driver:
        wait_for(lambda: sum(change for _, change in driver.held) >= load.users, "every connection")
        time.sleep(seconds)
        driver.stop()
    eventually(lambda: finished(served, before) == (driver.sent, driver.sent), 3)
    assert finished(served, before) == (driver.sent, driver.sent)
    return driver


def finished(served: Served, before: tuple[int, int, int]) -> tuple[int, int]:
    """Requests that were accepted, and those that were completed or failed."""
    accepted, completed, failed = (now - then for now, then in zip(served.totals(), before, strict=True))
    return accepted, completed + failed


def window(driver: Driver) -> tuple[float, float]:
    """The last second in which every connection was held."""
    opened = [moment for moment, change in driver.held if change > 0]
    return opened[-1], opened[-1] + 0.9


def test_idle_connections_are_asked_on_once_and_held(fastapi: Served, tmp_path: Path) -> None:
    driver = driven(fastapi, "/async/ping", Load(users=300, client="idle", victim="/async/ping"), tmp_path)
    seen = drive.client(driver, *window(driver))
    assert (seen.connections_held, seen.counted, seen.failures, seen.unanswered) == (300, 0, 0, 0)
    assert driver.sent - driver.victim_sent == 300
    assert 15 <= sum(seen.victim_us.values()) <= 20  # those that were due
    assert driver.samples[0].body.replace(" ", "") == '{"pong":true}'


def test_a_service_may_have_as_many_files_open_as_the_kernel_allows(fastapi: Served) -> None:
    hard = descriptors.hard_limit()
    for process in (fastapi.popen.pid, fastapi.live()[0].pid):
        assert resource.prlimit(process, resource.RLIMIT_NOFILE) == (hard, hard)


def test_events_are_timed_from_the_first_on(fastapi: Served, tmp_path: Path) -> None:
    driver = driven(fastapi, "/async/sse?items=6&interval_ms=100", Load(users=4, client="sse"), tmp_path, 1.2)
    whole = [answer for answer in driver.answers if answer.outcome is Outcome.GOOD]
    cut = [answer for answer in driver.answers if answer.outcome is Outcome.HUNG_UP]
    assert len(whole) >= 4 >= len(cut)
    assert len(whole) + len(cut) == driver.sent
    assert all(answer.response_s >= 0.5 for answer in whole)
    events = driver.recording.events
    assert 4 <= len(events[Kind.FIRST_EVENT]) <= driver.sent
    assert 5 * len(whole) <= len(events[Kind.EVENT_GAP]) <= 5 * driver.sent
    assert sorted(seconds for _, seconds in events[Kind.EVENT_GAP])[10] == pytest.approx(0.1, abs=0.04)


def test_each_message_of_a_websocket_is_a_round_trip_and_the_whole_one_request(fastapi: Served, tmp_path: Path) -> None:
    driver = driven(fastapi, "/ws", Load(users=3, client="websocket", think_ms=100), tmp_path)
    seen = drive.client(driver, *window(driver))
    assert (driver.sent, seen.connections_held) == (3, 3)
    assert 15 <= sum(seen.round_trip_us.values()) <= 30
    assert {answer.outcome for answer in driver.answers} == {Outcome.HUNG_UP}


def test_a_slow_reader_holds_the_writer_of_its_answer(fastapi: Served, tmp_path: Path) -> None:
    driver = driven(fastapi, LONG, Load(users=2, client="reader", victim="/async/ping"), tmp_path)
    slow = [answer for answer in driver.answers if not answer.victim]
    assert {answer.outcome for answer in slow} == {Outcome.HUNG_UP}
    assert all(answer.response_s > 0.9 for answer in slow)


def test_two_slow_uploads_stop_two_sync_workers_until_they_leave(tmp_path: Path) -> None:
    with served_module.service(tmp_path / "service", **FLASK) as flask:
        (tmp_path / "load").mkdir()
        driver = driven(flask, "/sync/ping", Load(users=2, client="upload", victim="/sync/ping"), tmp_path / "load")
    assert driver.sent == driver.victim_sent
    start, end = window(driver)
    kept_waiting = [answer for answer in driver.answers if start <= answer.intended < end - 0.3]
    assert len(kept_waiting) > 5
    assert all(answer.ended > end for answer in kept_waiting)
    assert not any(answer.failed for answer in driver.answers)


@pytest.mark.parametrize(
    ("changes", "fewest"),
    [
        ([(1.0, 1), (2.0, 1)], 2),
        ([(1.0, 1), (2.0, 1), (6.0, -1), (6.5, 1)], 1),
        ([(1.0, 1), (5.5, 1)], 1),
        ([(1.0, 1), (12.0, -1)], 1),
        ([], 0),
    ],
)
def test_held_are_those_that_were_at_every_moment(changes: list[tuple[float, int]], fewest: int) -> None:
    assert fewest_held(changes, 5.0, 10.0) == fewest
