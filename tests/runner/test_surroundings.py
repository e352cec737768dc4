"""What trials find around them: alone or refused, and a PostgreSQL and an upstream of somebody."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port, free_ports
from waitlab.errors import LabError
from waitlab.runner.surroundings import POSTGRES, UPSTREAM, refuse_other_load, surroundings, with_upstream
from waitlab.runtime import pages
from waitlab.runtime.local import lab, postgres
from waitlab.runtime.local.state import PROJECT, Home


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "LAB_HOME": str(tmp_path / "home"), "OTLP_ENDPOINT": "http://127.0.0.1:9"}


@contextmanager
def locust(users: int) -> Iterator[str]:
    """Something that shows how many Locust users it runs; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(f"HTTP/1.0 200 OK\r\n\r\nlab_load_users {users}.0\n".encode())

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def announce(targets: Path, *addresses: str) -> None:
    targets.mkdir(parents=True)
    groups = [{"targets": [address], "labels": {"service": "locust"}} for address in addresses]
    (targets / "locust-1.json").write_text(json.dumps(groups))


HOLDER = """
import os, pathlib
from waitlab.runner.surroundings import surroundings
with surroundings((), 0, os.environ) as around:
    print(around.folder, flush=True)
    input()
"""


def test_a_second_run_is_refused_and_the_first_goes_on(environment: dict[str, str]) -> None:
    held = subprocess.Popen(
        [sys.executable, "-c", HOLDER], env=environment, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with held:
        assert held.stdout
        folder = Path(held.stdout.readline().decode().strip())
        with pytest.raises(LabError, match=f"another run is on .process {held.pid}.") as refused:
            surroundings((), 0, environment).__enter__()
        assert refused.value.code == 122
        assert folder.is_dir()
        held.communicate(b"\n")
    assert held.returncode == 0
    with surroundings((), 0, environment) as around:
        assert around.folder == folder
    assert not folder.exists()


def test_load_by_hand_is_refused_and_an_idle_locust_is_not(environment: dict[str, str], tmp_path: Path) -> None:
    with locust(0) as idle, locust(7) as busy:
        announce(tmp_path / "home/targets", idle)
        with surroundings((), 0, environment):
            pass
        announce(tmp_path / "busy", idle, busy)
        with pytest.raises(LabError, match="somebody drives load by hand: 7 Locust users") as refused:
            surroundings((), 0, environment | {"TARGETS_DIR": str(tmp_path / "busy")}).__enter__()
    assert refused.value.code == 122


def test_a_locust_that_has_gone_is_no_load(tmp_path: Path) -> None:
    announce(tmp_path / "targets", f"127.0.0.1:{free_port()}")
    (tmp_path / "targets/locust-2.json").write_text("{")
    refuse_other_load(tmp_path / "targets")


def test_what_nobody_runs_is_started_and_ended(environment: dict[str, str]) -> None:
    with surroundings({POSTGRES, UPSTREAM}, 10, environment) as around:
        assert around.ailment((POSTGRES, UPSTREAM)) == ""
        assert set(around.given({UPSTREAM})) == {"UPSTREAM_URL", "UPSTREAM_TLS_URL", "UPSTREAM_CA"}
        assert set(around.given({POSTGRES})) == {"DATABASE_URL"}
        assert around.given(()) == {}
        assert "OTLP_ENDPOINT" not in around.inherited
        database, upstream = around.settings["DATABASE_URL"], around.settings["UPSTREAM_URL"]
        assert Path(around.settings["UPSTREAM_CA"]).exists()
    assert not postgres.accepts(database)
    assert pages.unreachable(upstream, 1.0)


def test_a_running_labs_own_are_used(environment: dict[str, str]) -> None:
    ports = free_ports(3)
    environment |= dict(zip(("POSTGRES_PORT", "UPSTREAM_PORT", "UPSTREAM_TLS_PORT"), map(str, ports), strict=True))
    environment |= {"RUNTIME": "local", "LAB_WHY": "this test", "PYTHONPATH": str(PROJECT)}
    home = Home.of(environment)
    command = [sys.executable, "-m", "waitlab.cli", "up", "--only", POSTGRES, "--only", UPSTREAM]
    subprocess.run(command, env=environment, cwd=PROJECT, check=True, capture_output=True, timeout=60)
    try:
        up = lab.require_up(home)
        with surroundings({POSTGRES, UPSTREAM}, 10, environment) as around:
            assert around.settings["DATABASE_URL"] == (home.run(POSTGRES) / "url").read_text()
            assert around.settings["UPSTREAM_URL"] == f"http://127.0.0.1:{ports[1]}"
            assert around.settings["UPSTREAM_TLS_URL"] == f"https://127.0.0.1:{ports[2]}"
            assert set(around.pids) == {up.parts[POSTGRES].pid, up.parts[UPSTREAM].pid}
            assert around.ailment((POSTGRES, UPSTREAM)) == ""
        set_by_hand(f"http://127.0.0.1:{ports[1]}")
        with surroundings({POSTGRES, UPSTREAM}, 98, environment) as around:  # it has 97, and is slow now
            assert f":{ports[0]}/" not in around.settings["DATABASE_URL"]
            assert around.settings["UPSTREAM_URL"] != f"http://127.0.0.1:{ports[1]}"
    finally:
        lab.stop(home)


def test_an_upstream_that_was_slowed_by_hand_is_found(environment: dict[str, str]) -> None:
    with surroundings({UPSTREAM}, 0, environment) as around:
        pages.get(f"{around.settings['UPSTREAM_URL']}/settings", 1.0)
        set_by_hand(around.settings["UPSTREAM_URL"])
        assert "was told to be slow or to fail" in around.ailment({UPSTREAM})
        assert around.ailment(()) == ""


def test_a_trial_may_have_an_upstream_of_its_own(environment: dict[str, str], tmp_path: Path) -> None:
    with surroundings({UPSTREAM}, 0, environment) as around:
        with with_upstream(around, {"concurrency": 5, "keep_alive": False}, tmp_path) as own:
            url = own.settings["UPSTREAM_URL"]
            assert url != around.settings["UPSTREAM_URL"]
            told = json.loads(pages.get(f"{url}/settings", 1.0)[1])
            assert (told["concurrency"], told["keep_alive"], told["delay_ms"]) == (5, False, 0)
            assert own.ailment({UPSTREAM}) == around.ailment({UPSTREAM}) == ""
            set_by_hand(url)
            assert "was told to be slow or to fail" in own.ailment({UPSTREAM})
        assert pages.unreachable(url, 1.0)
        with with_upstream(around, {}, tmp_path) as same:
            assert same is around


def set_by_hand(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"PUT /settings?delay_ms=5 HTTP/1.0\r\nHost: upstream\r\n\r\n")
        assert b"200" in connection.recv(4096)


def test_dependencies_that_went_away_are_named(environment: dict[str, str]) -> None:
    with surroundings({POSTGRES, UPSTREAM}, 10, environment) as around:
        pass
    assert around.ailment({POSTGRES}) == "PostgreSQL accepts no connection"
    assert around.ailment({UPSTREAM}) == "the upstream does not answer"
