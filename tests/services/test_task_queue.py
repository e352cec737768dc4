"""The task queue behind `offload/burn?to=queue`: its order, its delay, and what is lost when somebody dies: nothing."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
from service_stacks import Part, Stack, configured, fastapi_stack

from services import settings
from services.problem import Problem
from services.workloads import rounds, task_consumer, task_queue
from services.workloads.task_consumer import Consumer
from tests.waiting import wait_for
from waitlab.telemetry import cgroup

ASKED = "/offload/burn?to=queue&rounds="
LONG = 500  # rounds: about half a second, long enough to find it at work


@pytest.fixture(scope="module")
def stack(wired: dict[str, Any]) -> Iterator[Stack]:
    """FastAPI with one consumer."""
    with pytest.MonkeyPatch.context() as patch, configured(**wired), fastapi_stack() as stack:
        patch.setattr(cgroup, "usable_cpus", lambda: 1)
        patch.setattr(settings, "current", replace(settings.current, service="queueing"))
        yield stack


def consumers() -> list[Consumer]:
    return task_queue._asker.get()._consumers


def at_work(database: Part) -> list[int]:
    """The backends of consumers that hold a task."""
    with psycopg.connect(database.url) as held:
        state = "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name = 'queueing'"
        return [pid for (pid,) in held.execute(state)]


def rows(database: Part) -> int:
    with psycopg.connect(database.url) as held:
        (count,) = held.execute("SELECT count(*) FROM lab_tasks").fetchone() or (0,)
        return int(count)


def in_background(stack: Stack, target: str) -> Future[httpx.Response]:
    return ThreadPoolExecutor(1).submit(stack.get, target)


def test_tasks_of_the_dead_are_cleared_by_whoever_comes_first(stack: Stack, database: Part) -> None:
    with psycopg.connect(database.url, autocommit=True) as held:
        held.execute(task_queue._TABLE)
        held.execute("INSERT INTO lab_tasks (service, asker, number, rounds, kind) VALUES ('gone', 0, 1, 1, 'loop')")
    assert stack.get(f"{ASKED}1").status_code == 200
    assert rows(database) == 0


def test_one_consumer_does_one_task_after_another(stack: Stack, database: Part) -> None:
    answers = [answer.json() for answer in stack.all([f"{ASKED}100"] * 4)]
    assert {answer["result"] for answer in answers} == {rounds.burn(100, "loop")}
    first, *_, last = sorted(answer["queued_ms"] for answer in answers)
    assert last > 2 * first
    assert rows(database) == 0


def test_news_of_a_task_that_come_with_an_answer_are_heard(database: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is asked for between a consumer's last look and the end of that look's transaction."""
    take, late = task_consumer._take_one, ["one"]

    def look(held: Any, service: str) -> bool:
        taken = take(held, service)
        if late and not taken:
            with psycopg.connect(database.url, autocommit=True) as asking:
                asking.execute(task_queue._ASK, (service, 0, 1, 1, "loop"))
            late.clear()
            held.execute("SELECT pg_sleep(0.1)")
        return taken

    monkeypatch.setattr(task_consumer, "_take_one", look)
    with psycopg.connect(database.url, autocommit=True) as held:
        held.execute(task_queue._TABLE)
        pipe, its = multiprocessing.Pipe()
        consuming = threading.Thread(target=task_consumer._consume, args=(its, database.url, "late"))
        consuming.start()
        try:
            waits = "SELECT 1 FROM lab_tasks WHERE service = 'late'"
            wait_for(lambda: not late and not held.execute(waits).fetchone(), "the task's end", 4)
        finally:
            pipe.close()
            consuming.join(5)
            held.execute("DELETE FROM lab_tasks WHERE service = 'late'")


def test_task_of_a_killed_consumer_is_done_by_another(stack: Stack, database: Part) -> None:
    asked = in_background(stack, f"{ASKED}{LONG}")
    wait_for(lambda: at_work(database), "a task under way")
    (killed,) = consumers()
    assert killed._process.pid
    os.kill(killed._process.pid, signal.SIGKILL)
    wait_for(lambda: not killed.is_alive(), "its end")
    assert stack.get(f"{ASKED}1").status_code == 200  # whoever asks next sees that nobody is there
    assert asked.result().json()["result"] == rounds.burn(LONG, "loop")
    assert rows(database) == 0


def test_lost_connection_is_an_answer_and_the_next_request_begins_anew(stack: Stack, database: Part) -> None:
    asked = in_background(stack, f"{ASKED}{LONG}")
    wait_for(lambda: at_work(database), "a task under way")
    with psycopg.connect(database.url) as held:
        held.execute("SELECT pg_terminate_backend(%s)", (task_queue._asker.get()._backend.result(),))
    answer = asked.result()
    assert (answer.status_code, answer.json()["dependency"]) == (503, "postgresql")
    assert stack.get(f"{ASKED}1").status_code == 200


def test_consumers_are_counted_among_postgresqls_connections() -> None:
    assert task_queue.most_consumers(gives=97, workers=2, pool_size=10, cpus=1.5) == 2
    assert task_queue.most_consumers(gives=97, workers=2, pool_size=45, cpus=16) == 2
    with pytest.raises(Problem, match=r"9 workers x \(10 pooled .*\) = 108, but PostgreSQL gives 97"):
        task_queue.most_consumers(gives=97, workers=9, pool_size=10, cpus=2)


def test_worker_that_would_take_what_the_pools_need_says_so(
    stack: Stack, database: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close() -> None:
        task_queue._asker.close()

    assert stack.loop
    stack.loop.run(close())
    told = settings.current
    monkeypatch.setattr(settings, "current", replace(told, about={"workers": 30}))
    answer = stack.get(f"{ASKED}1")
    assert (answer.status_code, answer.json()["dependency"]) == (503, "queue")
    assert "30 workers x" in answer.json()["detail"]
    monkeypatch.setattr(settings, "current", told)
    assert stack.get(f"{ASKED}1").status_code == 200


def test_task_that_nobody_does_is_taken_back(stack: Stack, database: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    (consumer,) = consumers()
    assert consumer._process.pid
    os.kill(consumer._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(task_queue, "WAIT_SECONDS", 0.3)
    answer = stack.get(f"{ASKED}1")
    assert (answer.status_code, answer.json()["dependency"]) == (504, "queue")
    assert rows(database) == 0
    os.kill(consumer._process.pid, signal.SIGCONT)
