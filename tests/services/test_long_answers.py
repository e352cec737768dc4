"""Streams and WebSockets behind real servers: sent as they are made, and nothing that a client does to them harms."""

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.serve import served as served_module
from tests.serve.served import Served, total
from tests.waiting import wait_for
from waitlab import process
from waitlab.telemetry import ledger, names

FLASK = {"SERVICE": "flask", "APP": "services.flask_app:app", "SERVER": "gunicorn"}
FASTAPI = {"SERVICE": "fastapi", "APP": "services.fastapi_app:app", "WORKER_CLASS": "asgi"}
KINDS = {
    "sync": FLASK,
    "gthread": {**FLASK, "WORKER_CLASS": "gthread", "THREADS": 4},
    "gevent": {**FLASK, "WORKER_CLASS": "gevent"},
    "uvicorn": {**FASTAPI, "SERVER": "uvicorn"},
    "asgi": {**FASTAPI, "SERVER": "gunicorn"},
    "hypercorn": {**FASTAPI, "SERVER": "hypercorn"},
    "django-wsgi": {"SERVICE": "django-wsgi", "APP": "services.django_app:wsgi", "SERVER": "gunicorn"},
    "django-asgi": {**FASTAPI, "SERVICE": "django-asgi", "APP": "services.django_app:asgi", "SERVER": "uvicorn"},
}
# gthread parses as sync does, and Django stands behind the same servers; what gthread does besides is in
# test_every_server.py.
LONG = ("gthread", "django-wsgi", "django-asgi")
SERVED = {kind: pytest.param(kind, marks=pytest.mark.long if kind in LONG else ()) for kind in KINDS}
SOCKETS = [SERVED[kind] for kind in ("uvicorn", "asgi", "hypercorn", "django-asgi")]
has_websockets = pytest.mark.parametrize("served", SOCKETS, indirect=True)
ITEMS, INTERVAL_S = 4, 0.15
MOST_GROWTH = 48 * 2**20  # bytes of a worker, whatever is sent to it
FLOOD = 80 * 2**20  # bytes that a client would send
PATIENCE_S = 0.3  # a client that is not read, or not answered, for so long gives up
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture(scope="module", params=SERVED.values())
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One worker, so that whatever harms it shows."""
    with served_module.service(tmp_path_factory.mktemp("service"), WORKERS=1, **KINDS[request.param]) as running:
        yield running


@pytest.fixture
def unharmed(served: Served) -> Iterator[Served]:
    """Afterwards: the same worker, which answers, has not grown, and whose ledger adds up."""
    [slot] = served.live()
    Path(f"/proc/{slot.pid}/clear_refs").write_text("5")  # forget the peak
    before = status_bytes(slot.pid, "VmRSS")
    yield served
    assert served.get("/sync/ping")[0] == 200
    [after] = served.live()
    assert after.pid == slot.pid, served.log.read_text()
    assert status_bytes(slot.pid, "VmHWM") - before < MOST_GROWTH

    def settled() -> bool:
        accepted, completed, failed = served.totals()
        return accepted == completed + failed

    wait_for(settled, f"the end of every request, {served.totals()}", 10)
    assert total(served.scrape(), names.ACTIVE_REQUESTS) == total(served.scrape(), names.WEBSOCKETS_OPEN) == 0


def status_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def is_asgi(served: Served) -> bool:
    return served.facts["worker_class"] == "asgi"


def style(served: Served) -> str:
    return "async" if is_asgi(served) else "sync"


def opened(served: Served) -> socket.socket:
    port = int(served.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), 5)


def everything(sock: socket.socket) -> bytes:
    """What comes until the service closes, or says nothing for a second."""
    sock.settimeout(PATIENCE_S)
    got = b""
    with suppress(OSError):
        while part := sock.recv(65_536):
            got += part
    return got


def refused(answer: bytes) -> bool:
    """No answer at all, or that it was the client's fault; and nothing of the service's inside."""
    assert b"Traceback" not in answer and b'File "' not in answer
    return not answer or answer.startswith(b"HTTP/1.1 4")


def flood(sock: socket.socket, part: bytes, most: int = FLOOD) -> int:
    """Send a part again and again, until the service takes no more for a second or hangs up; how many bytes left."""
    sock.settimeout(PATIENCE_S)
    sent = 0
    with suppress(OSError):
        while sent < most:
            sent += sock.send(part)
    return sent


def reset(sock: socket.socket) -> None:
    """Close without a goodbye."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def head(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: lab", *fields, "", ""]).encode()


@pytest.mark.parametrize("workload", ["stream", "sse"])
def test_items_are_sent_as_they_are_made(unharmed: Served, workload: str) -> None:
    with closing(opened(unharmed)) as sock:
        sock.sendall(head(f"/{style(unharmed)}/{workload}?items={ITEMS}&interval_ms=150", "Connection: close"))
        moments = [time.monotonic() for _ in pieces(sock)]
    assert len(moments) == ITEMS
    assert moments[-1] - moments[0] >= (ITEMS - 1) * INTERVAL_S / 2  # all at once would be none


def pieces(sock: socket.socket) -> Iterator[int]:
    """Once for each item, at the moment it comes."""
    with sock.makefile("rb") as answer:
        for line in answer:
            if b'"item"' in line:
                yield json.loads(line.removeprefix(b"data: "))["item"]


def test_a_buffered_answer_comes_whole_and_at_its_end(unharmed: Served) -> None:
    with closing(opened(unharmed)) as sock:
        began = time.monotonic()
        sock.sendall(head(f"/{style(unharmed)}/stream?items={ITEMS}&interval_ms=150&buffered=1", "Connection: close"))
        sock.recv(1)
        assert time.monotonic() - began >= (ITEMS - 1) * INTERVAL_S * 0.98
        assert b"content-length:" in everything(sock).lower()


def test_oversized_heads(unharmed: Served) -> None:
    for sent in (
        head("/sync/ping", "X-Long: " + "x" * 300_000),
        head("/sync/ping", *(f"X-{number}: {'x' * 500}" for number in range(2_000))),
        head("/sync/ping?" + "x" * 300_000),
    ):
        with closing(opened(unharmed)) as sock:
            with suppress(OSError):
                sock.sendall(sent)
            assert refused(everything(sock)), sent[:40]


def test_heads_and_bodies_without_an_end(unharmed: Served) -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    for begun, part in (
        (b"GET /sync/ping HTTP/1.1\r\nX-Long: ", b"x" * 65_536),
        (b"GET /sync/ping HTTP/1.1\r\n", b"X-Many: x\r\n" * 6_000),
        (head("/sync/ping", f"Content-Length: {2**40}", method="POST"), b"x" * 65_536),
        (head("/sync/ping", "Transfer-Encoding: chunked"), chunk),
        (head("/sync/ping", "Transfer-Encoding: chunked"), b"1;" + b"x" * 65_536),
    ):
        with closing(opened(unharmed)) as sock:
            sock.sendall(begun)
            flood(sock, part)
            assert refused(everything(sock)), begun


def test_half_requests(unharmed: Served) -> None:
    before = unharmed.totals()
    halves = (b"G", b"GET /sync/ping HT", head("/sync/ping")[:-2], head("/sync/ping", "X-Half: x")[:-5])
    for sent in halves:
        for leave in (socket.socket.close, reset):
            sock = opened(unharmed)
            sock.sendall(sent)
            leave(sock)
    sock = opened(unharmed)
    sock.sendall(head("/sync/ping", "Content-Length: 10", method="POST") + b"12345")
    reset(sock)
    wait_for(lambda: unharmed.get("/sync/ping")[0] == 200, "an answer")
    accepted, _, _ = unharmed.totals()
    assert accepted - before[0] <= 2  # the ping, and what had a whole head


@pytest.mark.long
@pytest.mark.parametrize("served", ["sync"], indirect=True)
def test_half_a_request_that_holds_a_sync_worker_costs_that_worker_and_nothing_else(served: Served) -> None:
    """gunicorn's own rule: a sync worker that is kept from its loop for 30 s is replaced, whoever keeps it."""
    before, [slot] = served.totals(), served.live()
    with closing(opened(served)) as sock:
        sock.sendall(head("/sync/ping")[:-2])
        wait_for(lambda: not process.is_alive(slot.pid), "the end of the worker", 60)
        assert b"Traceback" not in everything(sock)  # a bare 500
        wait_for(lambda: served.get("/sync/ping")[0] == 200, "an answer of the next worker", 10)
    assert served.totals() == (before[0] + 1, before[1] + 1, before[2])
    assert [one.pid for one in served.live()] != [slot.pid]


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
def test_connections_dropped_in_mid_stream(unharmed: Served, leave: Callable[[socket.socket], None]) -> None:
    accepted, completed, failed = unharmed.totals()
    for workload in ("stream", "sse"):
        sock = opened(unharmed)
        sock.sendall(head(f"/{style(unharmed)}/{workload}?items=40&interval_ms=20&kb=8"))
        sock.recv(1)
        leave(sock)
    expected = (accepted + 2, completed, failed + 2)
    wait_for(lambda: unharmed.totals() == expected, f"two failed requests: {expected}", 5)


def test_a_stream_that_nobody_reads(unharmed: Served) -> None:
    styles = ("sync", "async", "offload") if is_asgi(unharmed) else ("sync",)
    for one in styles:
        sock = opened(unharmed)
        sock.sendall(head(f"/{one}/stream?items=1000&interval_ms=0&kb=64"))
        time.sleep(2 * PATIENCE_S)
        reset(sock)


@has_websockets
def test_a_websocket_echoes_and_is_counted_until_it_is_closed(unharmed: Served) -> None:
    accepted, completed, failed = unharmed.totals()
    with connect(unharmed.url.replace("http", "ws") + "/ws") as speaking:
        for message in ("h\u00e9", b"\x00\xff", "x" * 65_536, ""):
            speaking.send(message)
            assert speaking.recv(5) == message
        assert unharmed.totals() == (accepted + 1, completed, failed)
        assert total(unharmed.scrape(), names.WEBSOCKETS_OPEN) == 1
    wait_for(lambda: unharmed.totals() == (accepted + 1, completed + 1, failed), "one request more", 5)
    status, body = unharmed.get("/ws")
    assert (status, json.loads(body)["detail"]) == (426, "This path speaks WebSocket only.")


def test_handshakes_that_are_none(unharmed: Served) -> None:
    for asked in (
        {"path": "/ws", "version": "12", "key": KEY},
        *([{"path": "/ws", "version": "13", "key": "short"}] if unharmed.facts["server"] != "hypercorn" else []),
        {"path": "/ws?x=1", "version": "13", "key": KEY},
        {"path": "/sync/ping/x", "version": "13", "key": KEY},
        {"path": "/async/sleep", "version": "13", "key": KEY},
        {"path": "/healthz", "version": "13", "key": KEY},
    ):
        with closing(opened(unharmed)) as sock:
            sock.sendall(UPGRADE.format(**asked).encode())
            answer = everything(sock)
            is_request = asked["path"] in ("/healthz", "/async/sleep") and not is_asgi(unharmed)  # WSGI has no upgrades
            assert refused(answer) or is_request, (asked, answer[:200])


def frame(first: int, payload: bytes, *, masked: bool = True) -> bytes:
    """One frame; masked with zeros, which leave it as it is."""
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        length = struct.pack("!B", mask | len(payload))
    elif len(payload) < 65_536:
        length = struct.pack("!BH", mask | 126, len(payload))
    else:
        length = struct.pack("!BQ", mask | 127, len(payload))
    return bytes([first]) + length + (bytes(4) if masked else b"") + payload


TEXT, BINARY, MORE, PING, CLOSE = 0x81, 0x82, 0x80, 0x89, 0x88
GARBAGE = {
    "noise": os.urandom(4096),
    "HTTP": head("/async/ping"),
    "unmasked": frame(TEXT, b"x", masked=False),
    "a reserved opcode": frame(0x8B, b"x"),
    "a reserved bit": frame(0xC1, b"x"),
    "no UTF-8": frame(TEXT, b"\xff\xfe\x80"),
    "too long": frame(BINARY, bytes(65_537)),
    "a length that is a lie": bytes([BINARY, 0xFF]) + struct.pack("!Q", 2**62) + bytes(4) + b"x" * 100,
    "too long in parts": frame(0x02, bytes(40_000)) + frame(0x00, bytes(40_000)) + frame(MORE, b""),
    "a part of nothing": frame(MORE, b"x"),
    "a long ping": frame(PING, bytes(126)),
    "half a frame": frame(TEXT, b"x" * 100)[:50],
    "a close code that is none": frame(CLOSE, b"\x00\x01"),
}


@has_websockets
def test_a_websocket_that_sends_garbage(unharmed: Served) -> None:
    accepted, completed, failed = unharmed.totals()
    with ThreadPoolExecutor(len(GARBAGE)) as clients:
        assert [garbage for garbage, answer in clients.map(partial(say, unharmed), GARBAGE.items()) if answer] == []
    expected = (accepted + len(GARBAGE), completed, failed + len(GARBAGE))
    wait_for(lambda: unharmed.totals() == expected, f"every one failed: {expected}, not {unharmed.totals()}", 8)


def say(served: Served, said: tuple[str, bytes]) -> tuple[str, bool]:
    """Say something and hang up; what it is called, and whether the answer shows the service's inside."""
    garbage, sent = said
    with closing(handshake(served)) as sock:
        sock.sendall(sent)
        return garbage, garbage != "half a frame" and b"Traceback" in everything(sock)


def handshake(served: Served, *fields: str) -> socket.socket:
    sock = opened(served)
    asked = UPGRADE.format(path="/ws", version="13", key=KEY).removesuffix("\r\n")
    sock.sendall("\r\n".join([asked + "".join(f"{field}\r\n" for field in fields), ""]).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += sock.recv(1)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    assert b"extensions" not in answer.lower()
    return sock


@has_websockets
@pytest.mark.parametrize("goodbye", [b"", struct.pack("!H", 1000), struct.pack("!H", 1001) + b"bye"])
def test_a_websocket_whose_client_says_goodbye_is_completed(unharmed: Served, goodbye: bytes) -> None:
    accepted, completed, failed = unharmed.totals()
    with closing(handshake(unharmed)) as sock:
        sock.sendall(frame(CLOSE, goodbye))
        assert everything(sock)[:1] == bytes([CLOSE])
    wait_for(lambda: unharmed.totals() == (accepted + 1, completed + 1, failed), "a completed request", 5)


@has_websockets
def test_a_websocket_whose_client_is_gone_has_failed(unharmed: Served) -> None:
    accepted, completed, failed = unharmed.totals()
    for leave in (socket.socket.close, reset):
        leave(handshake(unharmed))
    wait_for(lambda: unharmed.totals() == (accepted + 2, completed, failed + 2), "two failed requests", 5)


@has_websockets
def test_compression_is_not_offered(unharmed: Served) -> None:
    """A few bytes may be many when they are unpacked."""
    with closing(handshake(unharmed, "Sec-WebSocket-Extensions: permessage-deflate")) as sock:
        sock.sendall(frame(CLOSE, b""))


TOO_BIG = struct.pack("!H", 1009)


@has_websockets
@pytest.mark.parametrize(
    ("begun", "part", "most"),
    [
        (frame(0x02, b"x"), frame(0x00, b"") * 5_000, 2**21),
        (frame(0x01, b"x"), frame(0x00, b"x") * 5_000, 2**21),
        (frame(0x02, bytes(60_000)), frame(0x00, bytes(60_000)), FLOOD),
    ],
    ids=["empty parts", "small parts", "large parts"],
)
def test_a_message_without_an_end(unharmed: Served, begun: bytes, part: bytes, most: int) -> None:
    accepted, completed, failed = unharmed.totals()
    with closing(handshake(unharmed)) as sock:
        sock.sendall(begun)
        flood(sock, part, most)
        answer = everything(sock)
        assert not answer or (answer[0], answer[2:4]) == (CLOSE, TOO_BIG)  # nothing, where it was lost with the rest
        wait_for(lambda: unharmed.totals() == (accepted + 1, completed, failed + 1), "a failed request", 5)


@has_websockets
def test_a_message_may_come_in_many_parts(unharmed: Served) -> None:
    with closing(handshake(unharmed)) as sock:
        sock.sendall(frame(0x02, b"x") + frame(0x00, b"x") * 1_000 + frame(MORE, b"x"))
        assert everything(sock)[4:] == b"x" * 1_002
        sock.sendall(frame(CLOSE, b""))


@has_websockets
def test_a_websocket_that_never_reads(unharmed: Served) -> None:
    sock = handshake(unharmed)
    sent = flood(sock, frame(BINARY, bytes(60_000)))
    assert sent < FLOOD, "the service reads on, and keeps the echoes"
    assert unharmed.get("/async/ping")[0] == 200
    reset(sock)


@has_websockets
def test_the_life_of_each_worker_is_counted(served: Served) -> None:
    served.ask_for(2)
    about = json.loads(served.get("/about")[1])
    assert about["lifespans"] == {"started": 1, "stopped": 0}
    served.ask_for(1)
    ended = wait_for(lambda: [slot for slot in ledger.read(served.run_dir) if slot.stopped], "the end of one life", 8)
    assert [(slot.started, slot.stopped) for slot in ended] == [(1, 1)]
    wait_for(lambda: len(served.targets()) == 2, "the targets of one worker and the parent", 5)
    assert total(served.scrape(), names.LIFESPAN_EVENTS, event="started") == 1
