"""The FastAPI application: the same workloads in four styles, which differ only in where they wait.

sync     `def`, a blocking call: FastAPI runs it in its thread pool of 40 tokens
async    `async def`, an awaited call: the event loop serves others meanwhile
blocked  `async def`, a blocking call: the event loop serves nobody meanwhile. The anti-pattern, named as one
offload  `async def`, a blocking call handed to the loop's own executor; burning is handed to other processes

The lab's guard stands before it: a handler is only called for a valid request, with every parameter given.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from starlette.middleware import Middleware

from services import contract, guard, health, samples, settings, sockets
from services.lifespan import lifespan
from services.workloads import awaiting, blocking, streams
from services.workloads.awaiting import offload
from services.workloads.blocking import Answer
from services.workloads.streams import EVENTS, LINES

configure = settings.configure
unmeasured = contract.UNMEASURED
door = guard.Door("fastapi")
request_name = door.name

app = FastAPI(
    lifespan=lifespan,
    middleware=[Middleware(guard.Asgi, door)],
    openapi_url=None,  # the contract is the description; a schema would cost every worker memory
    telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},  # the lab has its own
)
# Without a response model: with one, FastAPI sends what a def handler returns through the thread pool a second time.
get = partial(app.get, response_model=None)


@get("/sync/ping")
def sync_ping() -> Answer:
    return blocking.ping()


@get("/async/ping")
async def async_ping() -> Answer:
    return await awaiting.ping()


@get("/blocked/ping")
async def blocked_ping() -> Answer:
    return blocking.ping()


@get("/offload/ping")
async def offload_ping() -> Answer:
    return await offload(blocking.ping)


@get("/sync/sleep")
def sync_sleep(ms: int) -> Answer:
    return blocking.sleep(ms)


@get("/async/sleep")
async def async_sleep(ms: int) -> Answer:
    return await awaiting.sleep(ms)


@get("/blocked/sleep")
async def blocked_sleep(ms: int) -> Answer:
    return blocking.sleep(ms)


@get("/offload/sleep")
async def offload_sleep(ms: int) -> Answer:
    return await offload(blocking.sleep, ms)


@get("/sync/query")
def sync_query(ms: int, driver: str) -> Answer:
    return blocking.query(ms, driver)


@get("/async/query")
async def async_query(ms: int, driver: str) -> Answer:
    return await awaiting.query(ms, driver)


@get("/blocked/query")
async def blocked_query(ms: int, driver: str) -> Answer:
    return blocking.query(ms, driver)


@get("/offload/query")
async def offload_query(ms: int, driver: str) -> Answer:
    return await offload(blocking.query, ms, driver)


@get("/sync/fetch")
def sync_fetch(ms: int, client: str, tls: bool) -> Answer:
    return blocking.fetch(ms, client, tls)


@get("/async/fetch")
async def async_fetch(ms: int, client: str, tls: bool) -> Answer:
    return await awaiting.fetch(ms, client, tls)


@get("/blocked/fetch")
async def blocked_fetch(ms: int, client: str, tls: bool) -> Answer:
    return blocking.fetch(ms, client, tls)


@get("/offload/fetch")
async def offload_fetch(ms: int, client: str, tls: bool) -> Answer:
    return await offload(blocking.fetch, ms, client, tls)


@get("/sync/read")
def sync_read(kb: int, cold: bool, ms: int) -> Answer:
    return blocking.read(kb, cold, ms)


@get("/async/read")
async def async_read(kb: int, cold: bool, ms: int) -> Answer:
    return await awaiting.read(kb, cold, ms)


@get("/blocked/read")
async def blocked_read(kb: int, cold: bool, ms: int) -> Answer:
    return blocking.read(kb, cold, ms)


@get("/offload/read")
async def offload_read(kb: int, cold: bool, ms: int) -> Answer:
    return await offload(blocking.read, kb, cold, ms)


@get("/sync/burn")
def sync_burn(rounds: int, kind: str) -> Answer:
    return blocking.burn(rounds, kind)


@get("/async/burn")
async def async_burn(rounds: int, kind: str) -> Answer:
    return await awaiting.burn(rounds, kind)


@get("/blocked/burn")
async def blocked_burn(rounds: int, kind: str) -> Answer:
    return blocking.burn(rounds, kind)


@get("/offload/burn")
async def offload_burn(rounds: int, kind: str, to: str) -> Answer:
    return await awaiting.offload_burn(rounds, kind, to)


@get("/sync/mixed")
def sync_mixed(ms: int, rounds: int) -> Answer:
    return blocking.mixed(ms, rounds)


@get("/async/mixed")
async def async_mixed(ms: int, rounds: int) -> Answer:
    return await awaiting.mixed(ms, rounds)


@get("/blocked/mixed")
async def blocked_mixed(ms: int, rounds: int) -> Answer:
    return blocking.mixed(ms, rounds)


@get("/offload/mixed")
async def offload_mixed(ms: int, rounds: int) -> Answer:
    return await awaiting.offload_mixed(ms, rounds)


@get("/sync/profile")
def sync_profile(ms: int) -> Answer:
    return blocking.profile(ms)


@get("/async/profile")
async def async_profile(ms: int) -> Answer:
    return await awaiting.profile(ms)


@get("/blocked/profile")
async def blocked_profile(ms: int) -> Answer:
    return blocking.profile(ms)


@get("/offload/profile")
async def offload_profile(ms: int) -> Answer:
    return await offload(blocking.profile, ms)


# depends: the wait sits in a dependency, /{style}/depends?dep=...


def wait_sync(ms: int) -> Answer:
    return blocking.sleep(ms)


async def wait_async(ms: int) -> Answer:
    return await awaiting.sleep(ms)


def sync_session() -> Iterator[Any]:
    with blocking.session() as held:
        yield held


async def async_session() -> AsyncIterator[Any]:
    async with awaiting.session() as held:
        yield held


def sync_orm_session() -> Iterator[Any]:
    with blocking.orm_session() as held:
        yield held


async def async_orm_session() -> AsyncIterator[Any]:
    async with awaiting.orm_session() as held:
        yield held


# A session takes its connection at its first statement. These dependencies make one: who is it that asks?


def sync_user(session: Annotated[Any, Depends(sync_orm_session)]) -> Any:
    return blocking.user_of(session)


async def async_user(session: Annotated[Any, Depends(async_orm_session)]) -> Any:
    return await awaiting.user_of(session)


@get("/sync/depends/sync")
def sync_depends_sync(waited: Annotated[Answer, Depends(wait_sync)]) -> Answer:
    return waited


@get("/sync/depends/async")
def sync_depends_async(waited: Annotated[Answer, Depends(wait_async)]) -> Answer:
    return waited


@get("/sync/depends/session")
def sync_depends_session(ms: int, session: Annotated[Any, Depends(sync_session)]) -> Answer:
    return blocking.query_on(session, ms)


@get("/sync/depends/sqlalchemy")
def sync_depends_sqlalchemy(ms: int, session: Annotated[Any, Depends(sync_orm_session)]) -> Answer:
    return blocking.query_by(session, ms)


@get("/sync/depends/user")
def sync_depends_user(
    ms: int, session: Annotated[Any, Depends(sync_orm_session)], user: Annotated[Any, Depends(sync_user)]
) -> Answer:
    return blocking.query_by(session, ms) | {"user": user}


@get("/async/depends/sync")
async def async_depends_sync(waited: Annotated[Answer, Depends(wait_sync)]) -> Answer:
    return waited


@get("/async/depends/async")
async def async_depends_async(waited: Annotated[Answer, Depends(wait_async)]) -> Answer:
    return waited


@get("/async/depends/session")
async def async_depends_session(ms: int, session: Annotated[Any, Depends(async_session)]) -> Answer:
    return await awaiting.query_on(session, ms)


@get("/async/depends/sqlalchemy")
async def async_depends_sqlalchemy(ms: int, session: Annotated[Any, Depends(async_orm_session)]) -> Answer:
    return await awaiting.query_by(session, ms)


@get("/async/depends/user")
async def async_depends_user(
    ms: int, session: Annotated[Any, Depends(async_orm_session)], user: Annotated[Any, Depends(async_user)]
) -> Answer:
    return await awaiting.query_by(session, ms) | {"user": user}


# gather: two at once, where the style lets them be two at once


@get("/async/gather")
async def async_gather(of: str, ms: int, rounds: int) -> Answer:
    return await awaiting.gather(of, ms, rounds)


@get("/blocked/gather")
async def blocked_gather(of: str, ms: int, rounds: int) -> Answer:
    return await awaiting.gather_blocked(of, ms, rounds)


@get("/offload/gather")
async def offload_gather(of: str, ms: int, rounds: int) -> Answer:
    return await awaiting.gather_offloaded(of, ms, rounds)


# stream and sse: the same items, sent one by one; who waits between two of them is the style


def long(answer: streams.Long[Any]) -> Response:
    """The answer to send: whole, or in parts. FastAPI asks a plain iterator for each part in its thread pool."""
    fields = {"content-type": answer.content_type}
    if isinstance(answer.body, bytes):
        return Response(answer.body, headers=fields)
    return StreamingResponse(answer.body, headers=fields)


@get("/sync/stream")
def sync_stream(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(streams.blocking(LINES, items, interval_ms, kb, buffered))


@get("/async/stream")
async def async_stream(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(await streams.awaiting(LINES, items, interval_ms, kb, buffered))


@get("/blocked/stream")
async def blocked_stream(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(await streams.blocked(LINES, items, interval_ms, kb, buffered))


@get("/offload/stream")
async def offload_stream(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(await streams.offloaded(LINES, items, interval_ms, kb, buffered))


@get("/sync/sse")
def sync_sse(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(streams.blocking(EVENTS, items, interval_ms, kb, buffered))


@get("/async/sse")
async def async_sse(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(await streams.awaiting(EVENTS, items, interval_ms, kb, buffered))


@get("/blocked/sse")
async def blocked_sse(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(await streams.blocked(EVENTS, items, interval_ms, kb, buffered))


@get("/offload/sse")
async def offload_sse(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(await streams.offloaded(EVENTS, items, interval_ms, kb, buffered))


@app.websocket(contract.SOCKET)
async def ws(socket: WebSocket) -> None:
    with suppress(WebSocketDisconnect):
        await sockets.echo(socket.receive, socket.send)


@get("/healthz")
async def healthz() -> Answer:
    return health.alive()


@get("/readyz")
async def readyz() -> Answer:
    return await asyncio.get_running_loop().run_in_executor(health.readiness, health.ready)


@get("/about")
async def about() -> Answer:
    return health.about()


@get("/metrics")
async def metrics(request: Request) -> Response:
    body, content_type = health.metrics(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)


app.include_router(samples.router)
