"""The life of an ASGI worker: threads set up before the first request, connections closed after the last."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import anyio.to_thread

from services import settings
from services.workloads import lazy
from waitlab import telemetry


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Set the tokens of FastAPI's thread pool and the loop's own executor, and show both."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = settings.current.tokens
    executor = ThreadPoolExecutor(settings.current.executor_threads, thread_name_prefix="executor")
    asyncio.get_running_loop().set_default_executor(executor)
    telemetry.watch_limiter(limiter)
    telemetry.watch_executor(executor)
    yield
    await lazy.close_all()
