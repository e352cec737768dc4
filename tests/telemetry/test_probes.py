"""What shows where a worker waits: listener, loop lag, executors, pools and the process itself."""

import asyncio
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import anyio.to_thread
import pytest

from waitlab import telemetry
from waitlab.telemetry import costs, names
from waitlab.telemetry.listener import Listener
from waitlab.telemetry.loop_lag import LoopLag
from waitlab.telemetry.watched import PoolState, WatchedExecutor
from waitlab.telemetry.worker import Worker

Begin = Callable[..., Worker]


def test_listener_outlives_bad_callers_and_faults() -> None:
    answers = iter([b"first", RuntimeError("broken"), b"last"])

    def render(openmetrics: bool) -> bytes:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    listener = Listener(render)
    address = ("127.0.0.1", listener.port)
    with socket.create_connection(address), socket.create_connection(address) as junk:  # one is silent for ever
        junk.sendall(b"\x00" * 20_000)
        assert urllib.request.urlopen(listener.url, timeout=10).read() == b"first"
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(listener.url, timeout=10)
        assert urllib.request.urlopen(listener.url, timeout=10).read() == b"last"
    listener.close()
    with pytest.raises(OSError):
        socket.create_connection(address, timeout=1)


def test_loop_lag_shows_a_block_while_it_goes_on() -> None:
    async def block() -> list[float]:
        observed: list[float] = []
        lag = LoopLag(observed.append)
        await asyncio.sleep(0.2)
        during: list[float] = []
        threading.Timer(0.3, lambda: during.append(lag.worst_seconds())).start()
        time.sleep(0.5)  # on purpose: it blocks the loop
        await asyncio.sleep(0.1)
        assert max(observed) > 0.3
        assert lag.worst_seconds() > 0.3
        return during

    (seen,) = asyncio.run(block())
    assert seen > 0.1


def test_loop_lag_finds_the_length_of_blocks_that_come_as_regularly_as_a_clock() -> None:
    async def blocks() -> float:
        observed: list[float] = []
        LoopLag(observed.append)
        for _ in range(30):
            time.sleep(0.06)  # on purpose: it blocks the loop
            await asyncio.sleep(0.065)  # ticks 50 ms apart would all fall 15 ms before a block, and see 25 ms of it
        return max(observed)

    assert asyncio.run(blocks()) > 0.045


def test_executor_shows_busy_and_waiting() -> None:
    release = threading.Event()
    with ThreadPoolExecutor(2) as executor:
        watched = WatchedExecutor(executor)
        assert watched.state() == PoolState(2, 0, 0)
        for _ in range(5):
            executor.submit(release.wait, 10)
        assert watched.state() == PoolState(2, 2, 3)
        release.set()
    assert watched.state() == PoolState(2, 0, 0)
    with pytest.raises(RuntimeError):
        executor.submit(print)
    assert watched.state() == PoolState(2, 0, 0)


def test_limiter_and_pools_are_shown(begin: Begin) -> None:
    async def watch() -> None:
        telemetry.watch_limiter(anyio.to_thread.current_default_thread_limiter())

    worker = begin()
    asyncio.run(watch())
    telemetry.watch_pool("db", lambda: PoolState(10, 3, 1))
    page = worker.instruments.page(False).decode()
    assert f'{names.TOKENS}{{service="tiny",worker="1"}} 40.0' in page
    assert f'{names.POOL_WAITING}{{pool="db",service="tiny",worker="1"}} 1.0' in page
    assert page.splitlines()[0] == "# metrics of worker 1 of service tiny only"


def test_cpu_seconds_are_finer_than_ticks_and_hold_threads_that_have_ended() -> None:
    def burn() -> None:
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass

    before, own = costs.facts(os.getpid()), time.process_time()
    for _ in range(10):
        thread = threading.Thread(target=burn)
        thread.start()
        thread.join()
    after, own = costs.facts(os.getpid()), time.process_time() - own
    assert before is not None
    assert after is not None
    assert own >= 0.02
    assert after.cpu_seconds - before.cpu_seconds == pytest.approx(own, rel=0.2)  # each look computes a little itself


def test_a_kernel_without_clocks_of_processes_has_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(clock: int) -> float:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(time, "clock_gettime", none)
    facts = costs.facts(os.getpid())
    assert facts is not None
    assert facts.cpu_seconds == pytest.approx(time.process_time(), abs=0.05)


def test_process_facts_follow_the_process() -> None:
    before = costs.facts(os.getpid())
    until = time.thread_time() + 0.1
    while time.thread_time() < until:
        pass
    after = costs.facts(os.getpid())
    assert before is not None
    assert after is not None
    assert after.cpu_seconds - before.cpu_seconds >= 0.08
    assert after.pss_bytes > 1_000_000
    assert after.threads >= 1
    assert after.voluntary_switches + after.involuntary_switches > 0
    assert costs.facts(2**22 + 1) is None
