"""PostgreSQL that fails: 503 or 504 as a problem document in bounded time, from every stack, and recovery by itself."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from service_stacks import (
    QUERIES,
    STACKS,
    Part,
    Stack,
    configured,
    fail,
    postgres_part,
    recover,
    succeed,
)

from tests.waiting import wait_for
from waitlab.runtime.local import postgres

ONE_A_POOL = [QUERIES[0], QUERIES[2], QUERIES[3], ("django-asgi", "/async/query?ms=0")]


@pytest.fixture(scope="module")
def own_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    """A PostgreSQL that these tests may hurt."""
    with postgres_part(tmp_path_factory.mktemp("fragile")) as part:
        yield part


@pytest.fixture(scope="module")
def fragile(wired: dict[str, Any], own_database: Part) -> Iterator[dict[str, Stack]]:
    """Every application on the database that may be hurt, with two connections a pool."""
    own = wired | {"database_url": own_database.url, "pool_size": 2}
    with configured(**own), ExitStack() as opened:
        yield {name: opened.enter_context(make()) for name, make in STACKS.items()}


def end_sessions(database: Part) -> int:
    """Terminate every backend but our own; how many."""
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchall()
    return len(rows)


def test_idle_connections_that_the_server_ended(fragile: dict[str, Stack], own_database: Part) -> None:
    """Nobody notices: a dead connection is thrown away before it is used."""
    succeed(fragile, QUERIES)
    assert end_sessions(own_database) >= 4
    time.sleep(0.1)  # the goodbye arrives
    succeed(fragile, QUERIES)


def test_a_query_that_the_server_ended(fragile: dict[str, Stack], own_database: Part) -> None:
    for asked in ONE_A_POOL:
        long = (asked[0], asked[1].replace("ms=0", "ms=4000"))
        with ThreadPoolExecutor(1) as thread:
            failing = thread.submit(fail, fragile, [long], {503}, "postgresql")
            wait_for(lambda: napping(own_database) == 1, "the query's nap")
            end_sessions(own_database)
            failing.result()
        recover(fragile, [asked])


def napping(database: Part) -> int:
    """How many sessions sleep in the server."""
    with psycopg.connect(database.url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchone()
    assert row is not None
    return int(row[0])


def test_a_server_that_stops_and_starts(fragile: dict[str, Stack], own_database: Part) -> None:
    succeed(fragile, QUERIES)
    own_database.stop(first=postgres.STOP_SIGNAL)
    fail(fragile, QUERIES, {503}, "postgresql")
    for stack in fragile.values():
        answer = stack.get("/readyz")
        assert (answer.status_code, answer.json()["failing"]) == (503, ["postgresql"])
        assert stack.get("/healthz").status_code == 200
    own_database.start()
    recover(fragile, QUERIES)


def test_a_server_that_freezes(fragile: dict[str, Stack], own_database: Part) -> None:
    succeed(fragile, QUERIES)
    own_database.signal(signal.SIGSTOP)
    try:
        fail(fragile, QUERIES, {503, 504}, "postgresql")
        began = time.monotonic()
        assert fragile["flask"].get("/readyz").status_code == 503
        assert time.monotonic() - began < 2.0
    finally:
        own_database.signal(signal.SIGCONT)
    recover(fragile, QUERIES)


def test_a_pool_that_is_exhausted(fragile: dict[str, Stack], own_database: Part) -> None:
    """Two connections, both busy for four seconds: the third caller gets its answer before that."""
    asked = ONE_A_POOL
    with ThreadPoolExecutor(2 * len(asked)) as threads:
        long = [(stack, target.replace("ms=0", "ms=4000")) for stack, target in asked] * 2
        holders = [threads.submit(fragile[stack].get, target) for stack, target in long]
        wait_for(lambda: napping(own_database) == len(long), "every nap")
        fail(fragile, asked, {503}, "postgresql")
        assert [holder.result().status_code for holder in holders] == [200] * len(long)
    succeed(fragile, asked)
