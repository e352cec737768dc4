"""What a client sent and the application has not asked for, under hypercorn: bounded, and its end is never held up."""

import asyncio
from typing import Any

import pytest

from waitlab.serve.hypercorn_streams import Inbox

PART = {"type": "http.request", "body": b"x", "more_body": True}


def done(task: "asyncio.Task[Any]") -> bool:
    return task.done()


def test_who_puts_more_than_there_is_room_for_waits_until_some_is_taken() -> None:
    async def check() -> None:
        inbox = Inbox(2)
        await inbox.put(PART)
        putting = asyncio.create_task(inbox.put(PART))
        await asyncio.sleep(0)
        assert not done(putting)
        assert await inbox.get() == PART
        await asyncio.wait_for(putting, 1)

    asyncio.run(check())


@pytest.mark.parametrize("last", ["http.disconnect", "websocket.disconnect"])
def test_the_last_message_waits_for_nobody_and_nobody_waits_after_it(last: str) -> None:
    async def check() -> None:
        inbox = Inbox(2)
        await inbox.put(PART)
        putting = asyncio.create_task(inbox.put(PART))
        await asyncio.sleep(0)
        await asyncio.wait_for(inbox.put({"type": last}), 1)
        await asyncio.wait_for(putting, 1)
        await asyncio.wait_for(inbox.put(PART), 1)
        assert [(await inbox.get())["type"] for _ in range(3)] == ["http.request", "http.request", last]

    asyncio.run(check())
