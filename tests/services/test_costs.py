"""Each workload costs what it claims: it waits or burns, and its style decides who waits with it."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from service_stacks import Loop, Stack

from services.workloads import rounds, seek

WAITS = ("sleep?ms=400", "query?ms=400", "fetch?ms=400", "mixed?ms=400&rounds=1", "profile?ms=140")


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of this whole process, children not counted."""
    began = time.process_time()
    work()
    return time.process_time() - began


def worst_lag(loop: Loop, work: Callable[[], object]) -> float:
    """The longest time the loop could not run a callback while `work` ran."""
    worst, watching = 0.0, True

    async def watch() -> None:
        nonlocal worst
        while watching:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            worst = max(worst, time.perf_counter() - began - 0.005)

    watcher = asyncio.run_coroutine_threadsafe(watch(), loop.loop)
    work()
    watching = False
    watcher.result(10)
    return worst


@pytest.mark.parametrize(("stack", "style"), [("flask", "sync"), ("fastapi", "sync"), ("fastapi", "async")])
def test_sleep_sleeps_and_burns_nothing(stacks: dict[str, Stack], stack: str, style: str) -> None:
    def ten() -> None:
        assert seconds(lambda: stacks[stack].all([f"/{style}/sleep?ms=500"] * 10)) >= 0.5

    assert cpu_seconds(ten) < 0.25


@pytest.mark.parametrize("kind", rounds.KINDS)
@pytest.mark.parametrize(("stack", "style"), [("flask", "sync"), ("fastapi", "blocked"), ("fastapi", "async")])
def test_burn_burns_in_proportion(stacks: dict[str, Stack], stack: str, style: str, kind: str) -> None:
    def burn(count: int) -> float:
        return min(
            cpu_seconds(lambda: stacks[stack].get(f"/{style}/burn?rounds={count}&kind={kind}")) for _ in range(3)
        )

    burn(1)  # makes the buffers
    few, many = burn(20), burn(200)
    assert few > 0.004
    assert 4 < many / few < 25


def test_burn_offloaded_burns_elsewhere(stacks: dict[str, Stack]) -> None:
    stacks["fastapi"].get("/offload/burn?rounds=1")  # starts the processes
    here = cpu_seconds(lambda: stacks["fastapi"].get("/blocked/burn?rounds=200"))
    elsewhere = cpu_seconds(lambda: stacks["fastapi"].get("/offload/burn?rounds=200"))
    assert elsewhere < here / 3


@pytest.mark.parametrize("target", WAITS)
@pytest.mark.parametrize("style", ["async", "sync", "offload"])
def test_a_polite_wait_leaves_the_loop_free(stacks: dict[str, Stack], style: str, target: str) -> None:
    stack = stacks["fastapi"]
    stack.get(f"/{style}/{target.split('?', maxsplit=1)[0]}?ms=0")  # imports and connections are made at first use
    assert worst_lag(stack.loop, lambda: stack.get(f"/{style}/{target}")) < 0.3


@pytest.mark.parametrize("target", WAITS)
def test_a_blocked_wait_holds_the_loop(stacks: dict[str, Stack], target: str) -> None:
    assert worst_lag(stacks["fastapi"].loop, lambda: stacks["fastapi"].get(f"/blocked/{target}")) > 0.39


def test_an_async_burn_lets_others_run_between_rounds(stacks: dict[str, Stack]) -> None:
    stack = stacks["fastapi"]
    polite = min(worst_lag(stack.loop, lambda: stack.get("/async/burn?rounds=300")) for _ in range(3))
    rude = worst_lag(stack.loop, lambda: stack.get("/blocked/burn?rounds=300"))
    assert polite < rude / 3


@pytest.mark.parametrize(("kind", "holds"), [("loop", True), ("hash", False), ("zlib", False)])
def test_who_holds_the_gil(kind: str, holds: bool) -> None:
    """With the switch interval out of the way, another thread runs only when the burning one lets go by itself."""
    rounds.burn(1, kind)
    before = sys.getswitchinterval()
    sys.setswitchinterval(30)
    try:
        burning = threading.Thread(target=rounds.burn, args=(100, kind))
        burning.start()
        turns = 0
        while burning.is_alive():
            time.sleep(0)
            turns += 1
    finally:
        sys.setswitchinterval(before)
    assert (turns < 10) == holds


def test_gather_overlaps_where_the_style_lets_it(stacks: dict[str, Stack]) -> None:
    def took(style: str) -> float:
        return seconds(lambda: stacks["fastapi"].get(f"/{style}/gather?of=sleep&ms=400"))

    assert 0.4 <= took("async") < 0.75
    assert 0.4 <= took("offload") < 0.75
    assert took("blocked") >= 0.8


def test_two_blocked_requests_take_turns_and_two_awaiting_ones_do_not(stacks: dict[str, Stack]) -> None:
    def took(style: str) -> float:
        return seconds(lambda: stacks["fastapi"].all([f"/{style}/sleep?ms=400"] * 2))

    assert took("blocked") >= 0.8
    assert took("async") < 0.75
    assert took("sync") < 0.75


@pytest.mark.parametrize("style", ["sync", "async"])
@pytest.mark.parametrize("dep", ["sync", "async", "session"])
def test_a_dependency_waits(stacks: dict[str, Stack], style: str, dep: str) -> None:
    assert seconds(lambda: stacks["fastapi"].get(f"/{style}/depends?dep={dep}&ms=300")) >= 0.3


def test_a_slow_disk_holds_the_thread_that_reads_it_in_the_kernel(stacks: dict[str, Stack]) -> None:
    stacks["fastapi"].get("/sync/read?kb=8&ms=1")  # makes what later reads share
    reading = threading.Thread(target=seek.seek, args=(300,))
    reading.start()
    time.sleep(0.1)
    status = Path(f"/proc/self/task/{reading.native_id}/status").read_text()
    sleeps_in = Path(f"/proc/self/task/{reading.native_id}/wchan").read_text()
    reading.join()
    assert "State:\tS" in status
    assert "pipe" in sleeps_in or sleeps_in == "0"  # which a kernel may keep to itself


@pytest.mark.parametrize(
    ("style", "least_s", "most_s"), [("blocked", 0.8, 9), ("async", 0.4, 0.75), ("sync", 0.4, 0.75)]
)
def test_two_reads_of_a_slow_disk_overlap_where_threads_wait(
    stacks: dict[str, Stack], style: str, least_s: float, most_s: float
) -> None:
    assert least_s <= seconds(lambda: stacks["fastapi"].all([f"/{style}/read?kb=8&ms=400"] * 2)) < most_s


def test_reads_of_a_slow_disk_end_in_the_order_of_their_times() -> None:
    ended: list[int] = []

    def read(ms: int) -> None:
        seek.seek(ms)
        ended.append(ms)

    reading = [threading.Thread(target=read, args=(ms,)) for ms in (300, 100, 200, 0)]
    for one in reading:
        one.start()
    for one in reading:
        one.join()
    assert ended == [0, 100, 200, 300]


def disk_bytes() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["read_bytes"])


@pytest.mark.skipif(Path("/var/tmp").stat().st_dev == Path("/dev/shm").stat().st_dev, reason="/var/tmp is memory")
def test_a_cold_read_reads_the_disk_and_a_warm_one_does_not(stacks: dict[str, Stack]) -> None:
    stacks["flask"].get("/sync/read?kb=8192")
    before = disk_bytes()
    stacks["flask"].get("/sync/read?kb=8192")
    warm = disk_bytes() - before
    stacks["flask"].get("/sync/read?kb=8192&cold=1")
    cold = disk_bytes() - before - warm
    assert warm < 1024 * 1024
    assert cold >= 8192 * 1024
