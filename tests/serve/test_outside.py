"""What is seen of a stranger's service, and that it is left as it was."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serve import strangers
from tests.serve.served import total
from tests.serve.strange_apps import BARE_ASGI, BARE_WSGI, FLASK_APP, STARLETTE_APP, place
from tests.serve.strangers import Stranger, stranger
from tests.waiting import wait_for
from waitlab import process
from waitlab.telemetry import names

COUNT = f"{names.REQUEST_DURATION}_count"


@pytest.fixture(scope="module")
def bakery(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """Flask under gunicorn: one worker, two threads."""
    folder = tmp_path_factory.mktemp("bakery")
    place(folder, FLASK_APP)
    with stranger(folder, "bakery", python, "bakery:app", "--threads", "2") as served:
        assert served.get("/cakes/first")[0] == 200
        yield served


def test_the_application_sees_nothing_of_the_lab_but_its_telemetry(bakery: Stranger) -> None:
    seen = json.loads(bakery.get("/modules")[1])
    assert seen.pop("waitlab") is True
    assert seen == {"waitlab.serve": False, "prometheus_client": False, "typer": False, "loaded": []}


def test_a_failing_application_fails_as_it_would_alone(bakery: Stranger) -> None:
    assert bakery.get("/fail")[0] == 500
    assert bakery.get("/cakes/tart")[0] == 200
    assert total(bakery.scrape(), COUNT, workload="/fail", status="500") == 1


def test_busy_threads_and_requests_that_wait_for_one_are_seen(bakery: Stranger) -> None:
    with ThreadPoolExecutor(6) as users:
        asked = [users.submit(bakery.get, "/slow") for _ in range(6)]
        wait_for(lambda: total(bakery.scrape(), names.WORKER_REQUESTS_WAITING) > 0, "waiting requests", 5)
        seen = bakery.scrape()
        assert total(seen, names.WORKER_THREADS) == total(seen, names.WORKER_THREADS_BUSY) == 2
        assert {one.result()[0] for one in asked} == {200}


def test_ids_make_no_series(tmp_path: Path, python: Path) -> None:
    place(tmp_path, BARE_WSGI)
    with stranger(tmp_path, "bakery", python, "bakery:app") as served:
        for number in range(10):
            served.get(f"/loaves/{number}")
        for word in range(60):
            served.get("/" + "".join(chr(ord("a") + int(digit)) for digit in str(word)) + "/x")
        workloads = {sample.labels["workload"] for sample in served.scrape() if sample.name == COUNT}
        assert "/loaves/{id}" in workloads
        assert len(workloads) == 41
        assert served.totals()[1] == 70


def test_an_application_keeps_its_own_prometheus_client(tmp_path: Path, python: Path) -> None:
    """Of whatever version, and in multiprocess mode without a figure of ours in its files."""
    (tmp_path / "prometheus_client").mkdir()
    (tmp_path / "prometheus_client/__init__.py").write_text("mine = 1\n")
    (tmp_path / "files").mkdir()
    own = 'return [str(prometheus_client.mine).encode() + environ["PATH_INFO"]'
    place(tmp_path, "import prometheus_client\n" + BARE_WSGI.replace('return [environ["PATH_INFO"]', own))
    given = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "files")}
    with stranger(tmp_path, "bakery", python, "bakery:app", environment=given) as served:
        assert served.get("/rye") == (200, b"1/rye")
        assert total(served.scrape(), COUNT, status="200", workload="/rye") == 1
    assert not [*(tmp_path / "files").iterdir()]


def test_tokens_and_loop_lag_are_seen_and_ttin_does_not_stop_a_lone_uvicorn(tmp_path: Path, python: Path) -> None:
    place(tmp_path, STARLETTE_APP, "toys")
    uvicorn = ("--server", "uvicorn")
    with stranger(tmp_path, "toys", python, "toys:app", *uvicorn) as served, ThreadPoolExecutor(4) as users:
        asked = [users.submit(served.get, "/held") for _ in range(4)]
        wait_for(lambda: total(served.scrape(), names.TOKENS_BORROWED) == 4, "borrowed tokens", 5)
        assert total(served.scrape(), names.TOKENS) == 40
        assert names.LOOP_LAG in {sample.name for sample in served.scrape()}
        assert {one.result()[0] for one in asked} == {200}
        os.kill(served.popen.pid, signal.SIGTTIN)
        wait_for(lambda: "uvicorn cannot change their number" in served.log.read_text(), "a refusal")
        assert served.get("/kites/blue")[0] == 200


def test_a_bare_loop_is_up_before_its_first_request_and_its_threads_are_seen(tmp_path: Path, python: Path) -> None:
    place(tmp_path, BARE_ASGI, "toys")
    with (
        stranger(tmp_path, "toys", python, "toys:app", "--server", "uvicorn") as served,
        ThreadPoolExecutor(4) as users,
    ):
        asked = [users.submit(served.get, "/handed") for _ in range(4)]
        wait_for(lambda: total(served.scrape(), names.EXECUTOR_BUSY) == 4, "busy threads", 5)
        assert total(served.scrape(), names.EXECUTOR_THREADS) > 4
        assert {one.result()[0] for one in asked} == {200}
        served.get("/own")
        asked = [users.submit(served.get, "/handed") for _ in range(4)]
        wait_for(lambda: total(served.scrape(), names.EXECUTOR_WAITING) == 2, "two that wait for a thread", 5)
        assert {one.result()[0] for one in asked} == {200}


def test_workers_come_and_go_by_signals_and_a_killed_one_is_replaced(tmp_path: Path, python: Path) -> None:
    place(tmp_path, FLASK_APP)
    with stranger(tmp_path, "bakery", python, "bakery:app", "--workers", "1") as served:
        os.kill(served.popen.pid, signal.SIGTTIN)
        wait_for(lambda: len(served.live()) == 2, "a second worker")
        assert total(served.scrape(), names.SERVICE_WORKERS, state="asked") == 2
        served.get("/cakes/one")
        killed = served.live()[0].pid
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(served.live()) == 2 and killed not in {slot.pid for slot in served.live()}, "a successor")
        os.kill(served.popen.pid, signal.SIGTTOU)
        wait_for(lambda: len(served.live()) == 1, "one worker less")
        before = {slot.pid for slot in served.live()}
        os.kill(served.server, signal.SIGHUP)  # gunicorn's reload: every worker anew
        wait_for(lambda: len(served.live()) == 1 and not before & {slot.pid for slot in served.live()}, "the reload")
        assert served.totals()[1] == 1


def test_telemetry_that_fails_leaves_the_application_as_it_was(tmp_path: Path, python: Path) -> None:
    """Its ledger goes, its folder goes: what is served is served."""
    place(tmp_path, FLASK_APP)
    with stranger(tmp_path, "bakery", python, "bakery:app", "--threads", "2") as served:
        (served.run_dir / "ledger").unlink()
        (served.run_dir / "slots.lock").unlink()
        worker = process.children(served.server)
        os.kill(worker[0], signal.SIGKILL)
        wait_for(lambda: {*process.children(served.server)} - {*worker}, "a successor")
        address = f"http://127.0.0.1:{served.port}/cakes/tart"
        wait_for(lambda: strangers.answers(address), "an answer of the successor")


@pytest.mark.parametrize("options", [("bakery:create('x')",), ("toys:make", "--server", "uvicorn", "--", "--factory")])
def test_an_application_may_be_made_by_a_function(tmp_path: Path, python: Path, options: tuple[str, ...]) -> None:
    place(tmp_path, FLASK_APP)
    place(tmp_path, STARLETTE_APP + "\ndef make():\n    return app\n", "toys")
    with stranger(tmp_path, options[0].partition(":")[0], python, *options) as served:
        assert served.get("/cakes/tart" if "bakery" in options[0] else "/kites/red")[0] == 200
        wait_for(lambda: served.totals()[1] == 1, "a completed request")


def test_the_active_environment_is_the_default(tmp_path: Path, python: Path) -> None:
    place(tmp_path, BARE_WSGI)
    with stranger(
        tmp_path, "bread", None, "bakery:app", "--name", "bread", environment={"VIRTUAL_ENV": str(python.parents[1])}
    ) as served:
        assert served.get("/a")[0] == 200
        assert "traces: off (that Python has no opentelemetry-sdk" in served.log.read_text()
