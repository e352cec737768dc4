"""The life of an ASGI worker: threads set up before the first request, connections closed after the last."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

from services import settings, sockets
from services.guard import AsgiApp, Receive, Scope, Send
from services.workloads import lazy
from waitlab import telemetry


@asynccontextmanager
async def life() -> AsyncIterator[None]:
    """Set the loop's own executor and show it; close at the end what was opened."""
    executor = ThreadPoolExecutor(settings.current.executor_threads, thread_name_prefix="executor")
    asyncio.get_running_loop().set_default_executor(executor)
    telemetry.watch_executor(executor)
    yield
    await lazy.close_all()


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """FastAPI's: besides, set the tokens of its thread pool and show them."""
    import anyio.to_thread  # noqa: PLC0415 - Django has no use for it

    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = settings.current.tokens
    telemetry.watch_limiter(limiter)
    async with life():
        yield


class BesideHttp:
    """An application that speaks HTTP only, as Django does, given what else ASGI knows: a life, and the WebSocket.

    An ASGI application is a callable that is told what comes, so one may stand in front of another and take a part of
    it. Channels is that, grown up.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._app(scope, receive, send)
            case "websocket":
                with suppress(OSError):  # the client went away
                    await sockets.echo(receive, send)
            case "lifespan":
                await receive()
                async with life():
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
                await send({"type": "lifespan.shutdown.complete"})
