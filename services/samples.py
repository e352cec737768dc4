"""The essays' own listings, run as printed, each beside its correction.

Only names and addresses are the lab's: an essay's database is the lab's pool, its external API the lab's upstream, with
trust_env=False so that no proxy comes between.
"""
# ruff: noqa: PLC0415 - httpx is imported at first use, as everywhere in the lab

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter

from services.problem import Problem
from services.workloads import awaiting, outside
from services.workloads.blocking import Answer

router = APIRouter(prefix="/sample")


@router.get("/httpx-await", response_model=None)
async def httpx_await(ms: int) -> Answer:
    """As printed: `httpx.get` is no coroutine function. It blocks the loop, and then there is nothing to await."""
    import httpx

    from services.workloads import httpx_client

    with httpx_client.answering(ms), explaining("httpx.get is no coroutine function: it blocked the event loop"):
        user = await awaiting.query(ms)  # await -> other requests are served meanwhile
        friends = await awaiting.query(ms)  # await -> other requests are served meanwhile
        external = await httpx.get(outside.item(ms, tls=False), trust_env=False)  # type: ignore[misc]
        return {"user": user, "friends": friends, "external": external}


@router.get("/httpx-await-corrected", response_model=None)
async def httpx_await_corrected(ms: int) -> Answer:
    """An AsyncClient, whose `get` is a coroutine function: every await lets others run."""
    user = await awaiting.query(ms)
    friends = await awaiting.query(ms)
    external = await awaiting.fetch(ms, "httpx")
    return {"user": user, "friends": friends, "external": external}


@router.get("/client-per-request", response_model=None)
async def client_per_request(ms: int) -> Answer:
    """A client for every request: its TLS set-up alone costs tens of milliseconds of CPU, each time."""
    import httpx

    from services.workloads import httpx_client

    with httpx_client.answering(ms):
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(outside.item(ms, tls=False), timeout=httpx_client.timeout(ms))
    return {"ms": httpx_client.waited(answer)}


@router.get("/client-per-request-corrected", response_model=None)
async def client_per_request_corrected(ms: int) -> Answer:
    """One client for the life of the process."""
    return await awaiting.fetch(ms, "httpx")


@router.get("/def-asyncio-run", response_model=None)
def def_asyncio_run(ms: int) -> Answer:
    """Awaitable, and yet a thread of the pool is held: it runs an event loop of its own, for one request."""
    return asyncio.run(awaiting.sleep(ms))


@router.get("/def-asyncio-run-corrected", response_model=None)
async def def_asyncio_run_corrected(ms: int) -> Answer:
    """Awaited on the loop that is there already."""
    return await awaiting.sleep(ms)


@contextmanager
def explaining(why: str) -> Iterator[None]:
    """Turn a listing's TypeError into a 500 that says what is wrong with the listing."""
    try:
        yield
    except TypeError as error:
        raise Problem(500, f"The listing does not work as printed: {why} ({error}). Use an AsyncClient.") from error
