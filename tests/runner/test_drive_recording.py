"""A recording is read while it grows, and a window of it becomes the first witness."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runner.recordings import PID, answer, other, write
from waitlab import drive, quantities
from waitlab.drive import Driver, Recording
from waitlab.drive.record import RECORD, Kind, Outcome
from waitlab.errors import LabError
from waitlab.experiment import Load

LOAD = Load(users=2, think_ms=100)


def driven(folder: Path, *records: bytes, load: Load = LOAD) -> Driver:
    write(folder, other(Kind.BEAT, 0.0, 1.0), *records)
    nothing = subprocess.Popen([sys.executable, "-c", ""])
    nothing.wait()
    driver = Driver(load, "locust", Recording(folder), nothing)
    assert len(driver.answers) == driver.sent
    return driver


def test_a_growing_file_is_taken_in_record_by_record(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    assert recording.read().answers == []
    whole, torn = answer(1.0, 1.2), answer(2.0, 2.3, outcome=Outcome.RESET)
    write(tmp_path, whole, torn[:11])
    assert [one.ended for one in recording.read().answers] == [1.2]
    write(tmp_path, torn[11:])
    write(tmp_path, other(Kind.END, 3.0, 1), pid=PID + 1)
    assert [one.ended for one in recording.read().answers] == [1.2, 2.3]
    assert [(one.failed, one.unanswered) for one in recording.answers] == [(False, False), (True, True)]
    assert recording.ends == {PID + 1: 1}


def test_a_file_that_is_no_recording_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, answer(1.0, 1.2), b"x" * RECORD.size)
    with pytest.raises(LabError, match=f"{file} is damaged after byte 0"):
        Recording(tmp_path).read()


def test_the_window_counts_what_was_answered_in_it(tmp_path: Path) -> None:
    driver = driven(
        tmp_path,
        answer(8.0, 9.9),
        answer(9.9, 10.0, rest=0.1),
        answer(10.0, 10.2, late=0.05, rest=0.1),
        answer(10.2, 10.4, rest=0.1, outcome=Outcome.BAD_STATUS),
        answer(10.0, 10.5, rest=0.1, outcome=Outcome.REFUSED),
        answer(10.1, 10.11, victim=True),
        answer(10.2, 10.21, victim=True, outcome=Outcome.TIMED_OUT),
        answer(19.0, 20.0, rest=0.1),
    )
    seen = drive.client(driver, 10.0, 20.0)
    assert (seen.users, seen.seconds, seen.counted, seen.failures) == (2, 10.0, 4, 2)
    assert (seen.sent, seen.unanswered, driver.victim_sent) == (8, 2, 2)
    assert seen.response_us == {100_000: 1, 200_000: 2, 500_000: 1}
    assert (seen.victim_us, seen.victim_failures) == ({10_000: 1}, 1)
    assert seen.think_s == pytest.approx(0.1)
    assert seen.late_p99_s == pytest.approx(0.05)
    assert 0 < seen.late_mean_s < 0.05
    assert (seen.unsent, seen.in_flight) == (0, None)


def test_only_what_the_generator_took_of_its_users_time_is_missing(tmp_path: Path) -> None:
    """One user's answer reaches over the beginning and one over the end; the other's last rest has no request after."""
    one = answer(5.0, 15.0), answer(17.0, 25.0, late=1.0, rest=2.0)
    other_user = answer(12.0, 14.0, rest=4.0), RECORD.pack(24.0, 0.0, 0.0, 10.0, 0, 0, Kind.LEFT)
    driver = driven(tmp_path, *one, *other_user, answer(11.0, 19.0, victim=True))
    seen = drive.client(driver, 10.0, 20.0)
    assert seen.accounted_s == pytest.approx(2 * 10.0 - 1.0)
    assert quantities.little_gap(seen) == pytest.approx(0.05)
    assert quantities.little_gap(dataclasses.replace(seen, accounted_s=None)) == pytest.approx(1 - 2 * (6.0 + 2.0) / 20)


def test_a_schedule_says_what_never_left_and_how_much_was_under_way(tmp_path: Path) -> None:
    sampled = [other(Kind.IN_FLIGHT, moment, count) for moment, count in ((9.0, 90), (11.0, 4), (12.0, 6))]
    unsent = [other(Kind.UNSENT, moment) for moment in (9.9, 10.0, 19.9, 20.0)]
    seen = drive.client(driven(tmp_path, *sampled, *unsent, load=Load(rate=5.0)), 10.0, 20.0)
    assert (seen.users, seen.think_s, seen.unsent, seen.in_flight) == (0, 0.0, 2, 5.0)
    assert seen.accounted_s is None


def test_the_busiest_process_counts(tmp_path: Path) -> None:
    driver = driven(tmp_path, other(Kind.BEAT, 9.0, 1.0), other(Kind.BEAT, 10.0, 1.5), other(Kind.BEAT, 20.0, 4.5))
    write(tmp_path, other(Kind.BEAT, 10.0, 0.0), other(Kind.BEAT, 19.0, 5.4), other(Kind.BEAT, 21.0, 99.0), pid=1)
    driver.recording.read()
    assert drive.client(driver, 10.0, 20.0).cpu_ratio == pytest.approx(0.6)
    assert drive.client(driver, 10.05, 10.07).cpu_ratio == 0.0  # no two beats to compare


def test_response_times_keep_three_digits(tmp_path: Path) -> None:
    driver = driven(tmp_path, answer(1.0, 1.0123456), answer(1.0, 2.0005), answer(1.0, 1.0))
    assert drive.client(driver, 0.0, 3.0).response_us == {0: 1, 12_300: 1, 1_000_000: 1}


def test_slices_divide_the_window_and_leave_the_victim_out(tmp_path: Path) -> None:
    records = (answer(9.0, 10.0), answer(10.0, 14.9), answer(14.0, 15.0), answer(1.0, 11.0, victim=True))
    halves = drive.slices(driven(tmp_path, *records).answers, 10.0, 20.0, 2)
    assert [dataclasses.astuple(half) for half in halves] == [
        (0.0, 5.0, 2, pytest.approx(2.95)),
        (5.0, 5.0, 1, pytest.approx(1.0)),
    ]
    assert all(one.answers == 0 and one.response_s == 0.0 for one in drive.slices([], 0.0, 1.0, 3))


def test_the_command_can_be_typed() -> None:
    url = "http://127.0.0.1:8001"
    closed = drive.command(url, "/sync/sleep?ms=200", Load(users=20, think_ms=5))
    assert closed.startswith("locust -f locustfiles/recorded.py --headless ")
    assert "-u 20 -r 20 --url http://127.0.0.1:8001 --request '/sync/sleep?ms=200' " in closed
    assert closed.endswith("--record-to . --think-ms 5 Visitor")
    scheduled = drive.command(url, "/sync/ping", Load(rate=25, victim="/async/ping"))
    assert "-u 2 -r 2" in scheduled
    assert scheduled.endswith("--rate 25 --victim /async/ping --victim-rate 20 Arrivals Victim")
