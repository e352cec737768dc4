"""Long answers, an item at a time: as JSON lines or as server-sent events, in the ways a stack can wait between two.

The first item comes at once and each other `interval_ms` after the one before. A buffered answer is the same bytes,
made whole in memory before the first of them is sent. No span: what waits is the answer itself, and its length shows.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.problem import Problem

MOST_WHOLE_MS = 10_000  # whoever makes an answer whole does not notice that nobody waits for it any more

Parts = TypeVar("Parts", Iterator[bytes], AsyncIterator[bytes])


@dataclass(frozen=True)
class Form:
    """How one item is written: its JSON between `before` and `after`."""

    content_type: str
    before: bytes
    after: bytes

    def write(self, number: int, of: int, kb: int) -> bytes:
        """Item `number` of `of`, with `kb` KiB of padding."""
        padding = {"padding": "." * (kb * 1024)} if kb else {}
        return self.before + json.dumps({"item": number, "of": of} | padding).encode() + self.after


LINES = Form("application/jsonl", b"", b"\n")
EVENTS = Form("text/event-stream", b"data: ", b"\n\n")


@dataclass(frozen=True)
class Long(Generic[Parts]):
    """An answer for a framework to send: whole as bytes, or in parts as each of them is ready."""

    content_type: str
    body: bytes | Parts


def blocking(form: Form, items: int, interval_ms: int, kb: int, buffered: bool) -> Long[Iterator[bytes]]:
    """Holds a thread between two items: the one that iterates."""
    _check(items, interval_ms, buffered)
    parts = _parts(form, items, kb, lambda: time.sleep(interval_ms / 1000))
    return Long(form.content_type, b"".join(parts) if buffered else parts)


async def awaiting(form: Form, items: int, interval_ms: int, kb: int, buffered: bool) -> Long[AsyncIterator[bytes]]:
    """Gives the thread back to the event loop between two items."""
    _check(items, interval_ms, buffered)
    return await _long(form, items, kb, buffered, lambda: asyncio.sleep(interval_ms / 1000))


async def blocked(form: Form, items: int, interval_ms: int, kb: int, buffered: bool) -> Long[AsyncIterator[bytes]]:
    """Stops the event loop between two items: the anti-pattern, for as long as the whole answer takes."""

    async def wait() -> None:
        time.sleep(interval_ms / 1000)

    return await _long(form, items, kb, buffered, wait)


async def offloaded(form: Form, items: int, interval_ms: int, kb: int, buffered: bool) -> Long[AsyncIterator[bytes]]:
    """Blocks a thread of the loop's own executor between two items."""
    _check(items, interval_ms, buffered)
    loop = asyncio.get_running_loop()
    return await _long(form, items, kb, buffered, lambda: loop.run_in_executor(None, time.sleep, interval_ms / 1000))


def _check(items: int, interval_ms: int, buffered: bool) -> None:
    """Problem 400 for an answer that would be made whole for minutes."""
    if buffered and (items - 1) * interval_ms > MOST_WHOLE_MS:
        raise Problem(400, f"A buffered answer takes {MOST_WHOLE_MS} ms at most: ask for fewer items, or sooner.")


def _parts(form: Form, items: int, kb: int, wait: Callable[[], None]) -> Iterator[bytes]:
    for number in range(1, items + 1):
        if number > 1:
            wait()
        yield form.write(number, items, kb)


async def _long(
    form: Form, items: int, kb: int, buffered: bool, wait: Callable[[], Awaitable[None]]
) -> Long[AsyncIterator[bytes]]:
    parts = _async_parts(form, items, kb, wait)
    return Long(form.content_type, b"".join([part async for part in parts]) if buffered else parts)


async def _async_parts(form: Form, items: int, kb: int, wait: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
    for number in range(1, items + 1):
        if number > 1:
            await wait()
        yield form.write(number, items, kb)
