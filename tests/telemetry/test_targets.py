"""Target files: who is found where, that a living one is seen to live, and that the dead ones go."""

import json
import logging
import os
import socket
import time
from pathlib import Path

import pytest

from tests.waiting import wait_for
from waitlab.telemetry import targets
from waitlab.telemetry.listener import Listener
from waitlab.telemetry.targets import LOOPBACK, STALE_SECONDS, Site, TargetFile

NAME = socket.gethostname()


def aged(file: Path, seconds: float) -> Path:
    file.write_text("[]")
    os.utime(file, (time.time() - seconds,) * 2)
    return file


def test_a_site_is_this_machine_alone_or_one_replica_of_several() -> None:
    assert Site.of("loopback") == LOOPBACK
    assert LOOPBACK.group(1, service="s", worker="1") == {
        "targets": ["127.0.0.1:1"],
        "labels": {"service": "s", "worker": "1"},
    }
    assert LOOPBACK.file(Path("/t"), "locust", "7") == Path("/t/locust-7.json")
    replica = Site.of("hostname")
    assert replica.group(1, service="s", worker="1") == {
        "targets": [f"{NAME}:1"],
        "labels": {"service": "s", "worker": "1", "replica": NAME},
    }
    assert replica.file(Path("/t"), "flask") == Path(f"/t/flask-{NAME}.json")
    assert replica.file(Path("/t"), "locust", "7") == Path(f"/t/locust-{NAME}-7.json")
    with pytest.raises(ValueError, match="one of loopback, hostname"):
        Site.of("0.0.0.0")


@pytest.mark.parametrize(("announce", "bound"), [("loopback", "127.0.0.1"), ("hostname", "0.0.0.0")])
def test_a_listener_listens_where_it_is_announced(announce: str, bound: str) -> None:
    listener = Listener(lambda openmetrics: b"", Site.of(announce))
    assert listener._socket.getsockname() == (bound, listener.port)
    assert listener.url == f"http://{Site.of(announce).host}:{listener.port}/metrics"
    listener.close()


def test_sweep_removes_what_nobody_has_written_for_some_seconds_and_nothing_else(tmp_path: Path) -> None:
    stale = [aged(tmp_path / name, STALE_SECONDS + 1) for name in ("flask-0123456789ab.json", "locust-7.json", "x.new")]
    fresh = [aged(tmp_path / name, STALE_SECONDS - 2) for name in ("fastapi-0123456789ab.json", "host.json", "y.new")]
    foreign = aged(tmp_path / "readme.txt", 3600)
    targets.sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {*fresh, foreign}
    assert not any(file.exists() for file in stale)


def test_who_lives_is_seen_to_live_and_removes_the_dead(tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    mine = TargetFile(folder / "mine.json")
    group = LOOPBACK.group(1, service="mine", worker="")
    mine.update([group])
    assert json.loads(mine.path.read_text()) == [group]
    os.utime(mine.path, (0, 0))
    dead = aged(folder / "dead.json", STALE_SECONDS + 1)
    began = time.monotonic()

    def beats() -> bool:
        mine.update([group])
        return mine.path.stat().st_mtime > 0

    wait_for(beats, "a heartbeat", 5)
    assert time.monotonic() - began > targets.BEAT_SECONDS / 2  # not at every call
    assert not dead.exists()
    mine.remove()
    assert not folder.exists()


def test_a_file_that_another_removed_by_mistake_comes_back(tmp_path: Path) -> None:
    mine = TargetFile(tmp_path / "mine.json")
    mine.update([LOOPBACK.group(1)])
    mine.path.unlink()
    wait_for(lambda: mine.update([LOOPBACK.group(1)]) or mine.path.exists(), "the file", 5)
    mine.update([LOOPBACK.group(2)])  # a change is written at once
    assert "127.0.0.1:2" in mine.path.read_text()


def test_a_folder_that_cannot_be_written_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "targets"
    folder.write_text("a file in its place")
    mine = TargetFile(folder / "mine.json")
    with caplog.at_level(logging.ERROR):
        for port in (1, 2, 3):
            mine.update([LOOPBACK.group(port)])
    (record,) = caplog.records
    assert record.message == f"cannot write {mine.path}: File exists: Prometheus will not see this process"
    folder.unlink()
    mine.update([LOOPBACK.group(4)])
    assert "127.0.0.1:4" in mine.path.read_text()
