"""A WebSocket is one request: what it is counted as, however its conversation ends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from waitlab import telemetry
from waitlab.telemetry import ledger, names
from waitlab.telemetry.worker import Worker

Begin = Callable[..., Worker]
SCOPE = {"type": "websocket", "path": "/ws", "headers": [(b"x-request-start", b"t=1")]}
HELLO: dict[str, Any] = {"type": "websocket.receive", "text": "h\u00e9"}


async def echo(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "fail":
            raise RuntimeError("asked to fail")
        await send({**message, "type": "websocket.send"})


async def refuse(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"no"})


def talk(app: Any, said: Iterable[dict[str, Any]]) -> list[Any]:
    """What the application sent to a client that said this."""
    sent: list[Any] = []
    heard = iter([{"type": "websocket.connect"}, *said])

    async def receive() -> Any:
        return next(heard)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(telemetry.asgi(app, lambda path: ("async", "ws"))(SCOPE, receive, send))
    return sent


def figures(of: Worker) -> dict[str, float]:
    page = of.instruments.page(False).decode().splitlines()
    return {name: float(value) for line in page if line[0] != "#" for name, _, value in [line.rpartition(" ")]}


def goodbye(**said: Any) -> dict[str, Any]:
    return {"type": "websocket.disconnect", **said}


@pytest.mark.parametrize(
    ("end", "is_whole"),
    [
        (goodbye(code=1000), True),
        (goodbye(code=1001, reason=""), True),
        (goodbye(code=1005, reason=""), True),
        (goodbye(code=1005), False),  # as uvicorn tells of a connection that broke
        (goodbye(code=1006), False),
        (goodbye(code=1009, reason="too big"), False),
        (goodbye(code=1012), False),
    ],
)
def test_a_conversation_is_one_request_and_whole_when_the_client_said_goodbye(
    begin: Begin, end: dict[str, Any], is_whole: bool
) -> None:
    measured = begin()
    sent = talk(echo, [HELLO, {"type": "websocket.receive", "bytes": b"123"}, end])
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.send"]
    words = measured.claim.words
    assert (words[ledger.ACCEPTED], words[ledger.COMPLETED], words[ledger.FAILED]) == (1, is_whole, not is_whole)
    assert (measured.sockets.open, measured.sockets.received, measured.sockets.sent) == (0, 2, 2)
    found = figures(measured)
    duration, sent_bytes = f"{names.REQUEST_DURATION}_count", names.RESPONSE_BYTES
    assert found[f'{duration}{{service="tiny",status="101",style="async",worker="1",workload="ws"}}'] == 1
    assert found[f'{sent_bytes}{{service="tiny",style="async",worker="1",workload="ws"}}'] == 3 + 3


def test_a_refused_handshake_is_an_answer(begin: Begin) -> None:
    measured = begin()
    talk(refuse, [])
    assert measured.claim.words[ledger.COMPLETED] == 1
    assert any(
        'status="404"' in line and line.startswith(f"{names.REQUEST_DURATION}_count") for line in figures(measured)
    )
    assert measured.sockets.open == 0


def test_an_application_that_fails_in_a_conversation_fails_it(begin: Begin) -> None:
    measured = begin()
    with pytest.raises(RuntimeError, match="asked to fail"):
        talk(echo, [HELLO, {"type": "websocket.receive", "text": "fail"}])
    assert measured.claim.words[ledger.FAILED] == 1
    assert (measured.sockets.open, measured.sockets.received, measured.sockets.sent) == (0, 2, 1)


async def lifelong(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def test_lifespans_and_websockets_are_shown_where_there_is_a_loop(begin: Begin) -> None:
    measured = begin()
    assert names.WEBSOCKETS_OPEN not in measured.instruments.page(False).decode()

    async def receive() -> Any:
        return {}

    async def send(message: Any) -> None:
        return None

    asyncio.run(telemetry.asgi(lifelong)({"type": "lifespan"}, receive, send))
    assert telemetry.worker_facts()["lifespans"] == {"started": 1, "stopped": 1}
    found = figures(measured)
    for event in ("started", "stopped"):
        assert found[f'{names.LIFESPAN_EVENTS}{{event="{event}",service="tiny",worker="1"}}'] == 1
    assert found[f'{names.WEBSOCKETS_OPEN}{{service="tiny",worker="1"}}'] == 0
    assert found[f'{names.WEBSOCKET_MESSAGES}{{direction="sent",service="tiny",worker="1"}}'] == 0
