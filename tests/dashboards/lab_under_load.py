"""What is done to the lab, phase by phase: each makes one thing true that some panel must then have shown."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.dashboards.clients import Request
from tests.dashboards.locusts import locust_users
from tests.dashboards.run import Run
from tests.runtime.conftest import make_lab
from waitlab.load import Load

# What a panel shows of Django it shows of the others by the same query: test_proof.py says so.
PARTS = ("postgres", "upstream", "host", "flask", "fastapi", "locust", "prometheus")
# Few of everything, so that a handful of users exhausts it.
WORKERS = {"flask": 3, "fastapi": 2}
THREADS, TOKENS, EXECUTOR_THREADS, POOL_SIZE = 4, 4, 3, 2
KNOBS = {
    "FLASK_WORKER_CLASS": "gthread",
    "FLASK_WORKERS": str(WORKERS["flask"]),
    "FLASK_THREADS": str(THREADS),
    "FLASK_POOL_SIZE": str(POOL_SIZE),
    "FASTAPI_WORKERS": str(WORKERS["fastapi"]),
    "FASTAPI_TOKENS": str(TOKENS),
    "FASTAPI_POOL_SIZE": str(POOL_SIZE),
    "FASTAPI_EXECUTOR_THREADS": str(EXECUTOR_THREADS),
}
FLASK_WORKERS, FASTAPI_WORKERS = "123", "12"  # every worker's name


def everyone(workers: str, count: int) -> dict[str, int]:
    return dict.fromkeys(workers, count)


@contextmanager
def lab_after_load(folder: Path) -> Iterator[Run]:
    """A lab that has been through every phase, still up, so that its Prometheus can be asked about all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    lab = make_lab(folder / "lab")
    started = lab("up", *(word for part in PARTS for word in ("--only", part)), **KNOBS)
    assert started.returncode == 0, started.stdout + started.stderr
    (folder / "locust").mkdir()
    run = Run(lab, folder / "locust")
    try:
        run.watch.start()
        for phase in PHASES:
            phase(run)
        run.wait_seen()
        run.ended = time.time()
        run.watch.end()
        yield run
    finally:
        assert lab("down").returncode == 0


def healthy(run: Run) -> None:
    """Waits of 200 ms with room to spare: nothing queues, and no alert has anything to say."""
    flask = run.users("flask", "/sync/sleep?ms=200", everyone(FLASK_WORKERS, 2))
    fastapi = locust_users(run, Load("fastapi", "async", "sleep", "ms=200", "IoBound", 20))
    with flask, fastapi, run.steady("healthy", seconds=22, settle=2):
        pass


def blocked(run: Run) -> None:
    """The two witnesses part: who calls a blocking wait in `async def` waits for everyone before him.

    Flask's users are as few as the threads of one worker, so that none waits even if all were at the same.
    """
    fastapi = Load("fastapi", "blocked", "sleep", "ms=200", "IoBound", 6)
    flask = Load("flask", "sync", "sleep", "ms=200", "IoBound", 4)
    with locust_users(run, fastapi, flask), run.steady("blocked", seconds=18, settle=2):
        pass


def one_block_at_a_time(run: Run) -> None:
    """One user who blocks one of the two loops for 300 ms, now and then: the lag has a known length.

    Meanwhile nearly all requests of Flask go to one worker, as long-lived connections make them.
    """
    many = run.users("flask", "/sync/sleep?ms=100", {"1": 4})
    few = run.users("flask", "/sync/sleep?ms=100", {"2": 1, "3": 1}, rest_seconds=0.9)
    fastapi = run.users("fastapi", "/blocked/sleep?ms=300", {"1": 1}, rest_seconds=0.4)
    with many, few, fastapi, run.steady("one block", seconds=20):
        run.until_fires("UnfairShare")


def threads_exhausted(run: Run) -> None:
    """Ten users a worker for four threads each: six wait, in the worker, where only its own figures show them."""
    flask = run.users("flask", "/sync/sleep?ms=1000", everyone(FLASK_WORKERS, 10))
    fastapi = run.users("fastapi", "/sync/sleep?ms=1000", everyone(FASTAPI_WORKERS, 10))
    with flask, fastapi, run.steady("threads", seconds=16):
        run.until_fires("ThreadPoolExhausted")
        run.until_fires("WorkersExhausted")


def database_exhausted(run: Run) -> None:
    """More queries at once than a worker's pool has connections: the others wait for one."""
    flask = run.users("flask", "/sync/query?ms=500", everyone(FLASK_WORKERS, 3))
    fastapi = run.users("fastapi", "/async/query?ms=500", everyone(FASTAPI_WORKERS, 6))
    with flask, fastapi, run.steady("database", seconds=16):
        run.until_fires("DatabasePoolExhausted")


QUEUEING_USERS = 12  # of each worker


def queueing(run: Run) -> None:
    """Far more tasks than consumers, so that nearly all of an answer's time is the wait for one of them."""
    target = "/offload/burn?to=queue&rounds=20"
    with run.users("fastapi", target, everyone(FASTAPI_WORKERS, QUEUEING_USERS)), run.steady("queueing", seconds=14):
        pass


SOCKETS, INTERVAL_SECONDS = 6, 0.2


def long_answers(run: Run) -> None:
    """WebSockets that say something ten times a second, and streams with an event every 200 ms."""
    streams = Load("fastapi", "async", "sse", f"items=20&interval_ms={INTERVAL_SECONDS * 1000:.0f}", "Sse", 5)
    with run.sockets("fastapi", SOCKETS), locust_users(run, streams), run.steady("long answers", seconds=14, settle=5):
        pass


def failing(run: Run) -> None:
    """The outside world fails: who calls it fails too, and who does not is not counted among the failures."""
    run.upstream(error_rate=100)
    flask = run.users("flask", "/sync/fetch?ms=100", everyone(FLASK_WORKERS, 1))
    others = run.users("flask", "/sync/sleep?ms=100", everyone(FLASK_WORKERS, 1))
    fastapi = locust_users(run, Load("fastapi", "async", "fetch", "ms=100", "OneRequest", 8))
    with flask, others, fastapi, run.steady("failing", seconds=14, settle=2):
        pass
    run.upstream(error_rate=0)


def burning(run: Run) -> None:
    """One worker of Flask burns CPU; FastAPI's executors have more to do than threads, all of it waiting.

    Two users burn, since the listener gets the GIL most easily when a request has just ended: of one user it would see
    the moment between two requests far too often.
    """
    fastapi = run.users("fastapi", "/offload/sleep?ms=1000", everyone(FASTAPI_WORKERS, 5))
    flask = run.users("flask", "/sync/burn?rounds=100", {"1": 2})
    with fastapi, flask, run.steady("burning", seconds=14):
        pass


def generator_saturated(run: Run) -> None:
    """Locust has more to do with each answer than it has time, so that what it measures is itself."""
    asked = Load("fastapi", "async", "ping", "", "OneRequest", 20)
    with locust_users(run, asked, parse_ms=5), run.steady("generator", seconds=18, settle=2):
        pass


def cpu_saturated(run: Run) -> None:
    """More processes that burn than there are CPUs."""
    flask = run.users("flask", "/sync/burn?rounds=100", everyone(FLASK_WORKERS, 2))
    fastapi = run.users("fastapi", "/sync/burn?rounds=100", everyone(FASTAPI_WORKERS, 2))
    with flask, fastapi, run.steady("cpu", seconds=12):
        run.until_fires("CpuSaturated")


QUEUED = 7


def frozen(run: Run) -> None:
    """No worker accepts: every new connection waits in the kernel."""
    waiting = []
    with run.frozen(*run.pids("flask").values()):
        for _ in range(QUEUED):
            waiting.append((time.time(), socket.create_connection(("127.0.0.1", run.port("flask")))))
            waiting[-1][1].sendall(b"GET /sync/ping HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
        with run.steady("frozen", seconds=6, settle=0):
            pass
    for began, connection in waiting:
        with connection:
            status = int(connection.makefile("rb").read().split()[1])
        run.requests.append(Request("flask", "/sync/ping", None, began, time.time() - began, status))


def scaled(run: Run) -> None:
    """One worker more for Flask, while nothing else happens."""
    run.moments["scale asked"] = time.time()
    done = run.lab("scale", "flask", str(WORKERS["flask"] + 1))
    assert done.returncode == 0, done.stderr
    run.moments["scale done"] = time.time()
    with run.steady("scaled", seconds=6):
        pass


def half_dead(run: Run) -> None:
    """A worker is gone and its master too frozen to start another; a second worker is frozen and answers nobody."""
    pids = run.pids("flask")
    master = _parent(pids["1"])
    with ExitStack() as stack:
        stack.enter_context(run.frozen(master, pids["2"]))
        os.kill(pids["3"], signal.SIGKILL)
        with run.steady("half dead", seconds=8):
            run.until_fires("TargetSilent")
            run.until_fires("WorkersMissing")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


PHASES = (
    healthy,
    blocked,
    one_block_at_a_time,
    threads_exhausted,
    database_exhausted,
    queueing,
    long_answers,
    failing,
    burning,
    generator_saturated,
    cpu_saturated,
    frozen,
    scaled,
    half_dead,
)
