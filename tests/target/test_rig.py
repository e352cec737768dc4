"""Strangers' services under a real load: what is measured of them, and that afterwards they are gone, or as before."""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.target.conftest import GUNICORN, THREADED, UVICORN, running, toml, written
from tests.waiting import wait_for
from waitlab import process
from waitlab.errors import LabError
from waitlab.runner.cores import Share
from waitlab.target import Setting, processes, read, rig, starting, watching
from waitlab.target.answers import Refusal
from waitlab.target.running import found
from waitlab.target.service import Around


def test_a_threaded_service_is_measured_by_its_clients_and_by_proc(shop: Path, environment: Mapping[str, str]) -> None:
    target = read(written(shop, toml(THREADED, more='scale = "signals"')))
    setting = Setting(1, threads=4)
    with rig(target, 1, (), environment) as placed, placed.serve(setting) as service:
        assert service.workers == 1
        found = service.measure(users=8, seconds=1.5)
        assert found.setting == setting
        assert 20 < found.throughput_rps <= 1.05 * 4 / 0.05
        assert found.throughput_rps * found.mean_ms / 1000 == pytest.approx(8, rel=0.2)  # Little's law
        assert found.p50_ms <= found.p95_ms <= found.p99_ms
        assert (found.error_ratio, found.processes) == (0, 2)
        assert found.threads >= 6  # master, worker, and its four
        assert found.cpu_ms_per_request is not None
        assert 0.05 < found.cpu_ms_per_request < 50
        assert found.pss_mb is not None
        assert found.pss_mb == pytest.approx(service.pss_mb(), rel=0.3)
        assert service.scale(3)
        assert (service.workers, service.setting.workers) == (3, 3)
        more = service.measure(users=12, seconds=1.0)
        assert (more.error_ratio, more.processes) == (0, 4)
        assert more.setting == Setting(3, threads=4)
        assert service.pss_mb() > found.pss_mb
        assert service.scale(1)
        assert service.workers == 1


def test_a_script_of_its_folder_starts_it_from_wherever_the_lab_is(
    shop: Path, environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = shop / "start.sh"
    script.write_text(f"#!/bin/sh\nexec {GUNICORN.replace('{port}', '$2')} --workers $1\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    target = read(written(shop, toml("./start.sh {workers} {port}", choices="[choices]\nworkers = [2]\n")))
    with rig(target, 1, (), environment) as placed, placed.serve(Setting(2)) as service:
        assert service.workers == 2


def test_what_the_first_request_of_each_worker_loads_is_in_no_window(
    shop: Path, environment: Mapping[str, str]
) -> None:
    target = read(
        written(shop, toml(f"{GUNICORN} --workers {{workers}}", "/lazy", choices="[choices]\nworkers = [3]\n"))
    )
    with rig(target, 1, (), environment) as placed, placed.serve(Setting(3)) as service:
        found = service.measure(users=6, seconds=1)
    assert found.p99_ms < 500
    assert found.error_ratio == 0


def test_a_mix_asks_each_as_often_as_it_weighs_and_arrivals_come_as_asked(
    shop: Path, environment: Mapping[str, str]
) -> None:
    body = '{"sku": 1}'
    mixed = toml(THREADED, "/").replace('"/"\n', '"/"\nweight = 3\n')
    mixed += f'[[requests]]\npath = "/orders"\nmethod = "POST"\nbody = \'{body}\'\n'
    mixed += '[[requests]]\npath = "/account"\nheaders = { Authorization = "Bearer secret" }\n'
    target = read(written(shop, mixed))
    with rig(target, 1, (), environment) as placed, placed.serve(Setting(1, threads=4)) as service:
        found = service.measure(rate=40, seconds=2)
    assert found.error_ratio == 0
    assert found.throughput_rps == pytest.approx(40, rel=0.2)
    assert found.mean_ms > 0.7 * 50 / 5  # one request of five waits 50 ms
    assert found.p50_ms < found.p95_ms
    assert found.p95_ms > 50
    assert (found.users, found.rate) == (0, 40)


def test_an_asgi_service_is_measured_and_started_anew_where_it_takes_no_signal(
    shop: Path, environment: Mapping[str, str]
) -> None:
    choices = "[choices]\nworkers = [1, 2]\n"
    target = read(written(shop, toml(f"{UVICORN} --workers {{workers}}", "/feed", choices=choices)))
    with rig(target, None, (), environment) as placed:
        with placed.serve(Setting(1)) as service:
            assert not service.scale(2)
            found = service.measure(users=10, seconds=1)
            assert 40 < found.throughput_rps <= 1.05 * 10 / 0.05
            assert found.processes == 1
        with placed.serve(Setting(2)) as service:
            assert service.workers == 2


def test_a_running_service_is_found_by_its_port_and_has_its_workers_back(
    shop: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    text = f'[service]\nurl = "http://127.0.0.1:{port}"\nscale = "signals"\n[choices]\nworkers = [1, 3]\n'
    target = read(written(shop, f'{text}[[requests]]\npath = "/orders"\n'))
    with running(shop, port) as pid:
        with pytest.raises(ZeroDivisionError), rig(target, None, (), environment) as placed:
            with placed.serve(Setting(3)) as service:
                assert (service.pid, service.workers) == (pid, 3)
                found = service.measure(users=6, seconds=1)
                assert 15 < found.throughput_rps <= 1.05 * 3 / 0.05
            1 / 0  # noqa: B018
        assert processes.workers(port, pid) == 2
        assert os.kill(pid, 0) is None


def test_a_worker_that_ends_in_a_window_is_noticed_though_another_one_comes(
    shop: Path, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept_queue, killed = watching._accept_queue, list[int]()

    def spoilt(seen: watching.Seen) -> int | None:
        """Asked first when the window has begun and its workers are known: a timer might kill one before that."""
        if not killed:
            killed.append(min(seen.accepting()).pid)
            os.kill(killed[0], signal.SIGKILL)
        return accept_queue(seen)

    monkeypatch.setattr(watching, "_accept_queue", spoilt)
    target = read(written(shop, toml(THREADED, more='scale = "signals"')))
    with rig(target, 1, (), environment) as placed, placed.serve(Setting(1, threads=1)) as service:
        assert service.scale(2), "what the lab itself changes is no fault"
        with pytest.raises(LabError) as fault:
            service.measure(users=4, seconds=3)
        assert "of its 2 workers 1 ended, and 1 came" in fault.value.message
        assert not isinstance(fault.value, Refusal), "another setting may be better off"
        assert service.measure(users=2, seconds=1).processes == 3


def test_another_master_in_place_of_the_first_ends_it_all_and_is_sent_nothing(
    shop: Path, environment: Mapping[str, str]
) -> None:
    port = free_port()
    text = f'[service]\nurl = "http://127.0.0.1:{port}"\nscale = "signals"\n[choices]\nworkers = [1, 3]\n'
    target = read(written(shop, f'{text}[[requests]]\npath = "/orders"\n'))
    with ExitStack() as theirs:
        first = theirs.enter_context(running(shop, port))
        with rig(target, None, (), environment) as placed:
            with placed.serve(Setting(3)) as service:
                os.kill(first, signal.SIGTERM)
                wait_for(lambda: not process.is_alive(first), "its end")
                second = theirs.enter_context(running(shop, port))
                with pytest.raises(Refusal) as fault:
                    service.measure(users=2, seconds=1)
                with pytest.raises(Refusal):
                    service.scale(1)
            with pytest.raises(Refusal), placed.serve(Setting(1)):
                pytest.fail("it was served")
        assert f"its process {first} is gone, and process {second} serves in its place" in fault.value.message
        time.sleep(0.5)
        assert processes.workers(port, second) == 2


def test_a_worker_that_was_asked_for_when_it_was_interrupted_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, asked = 2, list[tuple[float, int]]()

    def workers(*_: int) -> int:
        """Of a master that takes its time."""
        return count + sum(change for at, change in asked if time.monotonic() > at + 0.2)

    def kill(_: int, number: int) -> None:
        asked.append((time.monotonic(), 1 if number == signal.SIGTTIN else -1))
        if len(asked) == 1:
            raise KeyboardInterrupt

    for name, played in (("workers", workers), ("catches", lambda *_: True), ("master", lambda *_: os.getpid())):
        monkeypatch.setattr(processes, name, played)
    monkeypatch.setattr(starting, "ailment", lambda _: "")
    monkeypatch.setattr(os, "kill", kill)
    text = '[service]\nurl = "http://127.0.0.1:9"\nscale = "signals"\n[[requests]]\npath = "/"\n'
    around = Around(tmp_path, Share(*[frozenset({0})] * 3), (), {})
    with pytest.raises(KeyboardInterrupt), found(read(written(tmp_path, text)), around) as service:
        service.scale(3)
    time.sleep(0.3)
    assert workers() == count
    assert [change for _, change in asked] == [1, -1]
