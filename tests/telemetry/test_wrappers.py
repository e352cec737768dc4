"""The WSGI and ASGI wrappers: what counts as whole, and that nothing a client sends can fail a request."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waitlab import telemetry
from waitlab.telemetry import ledger, names, spans, worker
from waitlab.telemetry.access_log import AccessLog
from waitlab.telemetry.worker import Worker

Begin = Callable[..., Worker]


def counts(of: Worker) -> tuple[int, int, int]:
    words = of.claim.words
    return words[ledger.ACCEPTED], words[ledger.COMPLETED], words[ledger.FAILED]


def said(status: str, headers: list[tuple[str, str]], *error: object) -> None:
    return None


def chunks(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"one"
    if environ["PATH_INFO"] == "/breaks":
        raise RuntimeError("in the middle")
    yield b"two"


def test_wsgi_answer_is_whole_once_the_server_has_read_its_end(begin: Begin) -> None:
    measured = begin()
    answer = telemetry.wsgi(chunks)({"PATH_INFO": "/"}, said)
    assert b"".join(answer) == b"onetwo"
    assert counts(measured) == (1, 0, 0)  # a server closes when it has sent everything
    answer.close()  # type: ignore[attr-defined]
    answer.close()  # type: ignore[attr-defined]
    assert counts(measured) == (1, 1, 0)
    assert f'{names.RESPONSE_BYTES}{{service="tiny",style="other",worker="1",workload="other"}} 6.0' in page(measured)


def page(of: Worker) -> str:
    return of.instruments.page(False).decode()


def test_wsgi_answer_cut_short_has_failed(begin: Begin) -> None:
    measured = begin()
    gone = telemetry.wsgi(chunks)({"PATH_INFO": "/"}, said)
    next(iter(gone))
    gone.close()  # type: ignore[attr-defined]
    assert counts(measured) == (1, 0, 1)
    broken = telemetry.wsgi(chunks)({"PATH_INFO": "/breaks"}, said)
    with pytest.raises(RuntimeError):
        list(broken)
    broken.close()  # type: ignore[attr-defined]
    assert counts(measured) == (2, 0, 2)


def test_wsgi_file_stays_one_for_sendfile(begin: Begin, tmp_path: Any) -> None:
    measured = begin()
    file = tmp_path / "file"
    file.write_bytes(b"content")
    environ = {"PATH_INFO": "/", "wsgi.file_wrapper": FileWrapper}
    for failing in (False, True):
        body = telemetry.wsgi(lambda environ, start: FileWrapper(file.open("rb")))(environ, said)
        assert isinstance(body, FileWrapper)
        if not failing:
            body.close()
            continue
        try:
            raise BrokenPipeError
        except BrokenPipeError:
            body.close()
    assert counts(measured) == (2, 1, 1)


async def call(app: Any, scope: dict[str, Any], receive: Any = None) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "path": "/", "method": "GET", "headers": [], **scope}, receive, send)
    return sent


async def two_parts(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 201})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    if scope["path"] == "/stops":
        return
    await send({"type": "http.response.body", "body": b"two"})
    if scope["path"] == "/late":
        raise RuntimeError("after the answer")


def test_asgi_answer_is_whole_once_its_last_part_is_sent(begin: Begin) -> None:
    measured = begin()
    assert len(asyncio.run(call(telemetry.asgi(two_parts), {}))) == 3
    assert counts(measured) == (1, 1, 0)
    asyncio.run(call(telemetry.asgi(two_parts), {"path": "/stops"}))
    assert counts(measured) == (2, 1, 1)
    with pytest.raises(RuntimeError):
        asyncio.run(call(telemetry.asgi(two_parts), {"path": "/late"}))
    assert counts(measured) == (3, 2, 1)  # the client has the whole answer


@pytest.mark.parametrize("flag", ["disconnected", "_closed"])
def test_asgi_client_that_went_away_has_no_answer(begin: Begin, flag: str) -> None:
    class Connection:
        async def receive(self) -> None:
            return None

    measured = begin()
    connection = Connection()
    setattr(connection, flag, True)
    asyncio.run(call(telemetry.asgi(two_parts), {}, connection.receive))
    assert counts(measured) == (1, 0, 1)


def test_other_scopes_pass_through(begin: Begin) -> None:
    measured = begin()

    async def other(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "of its own"})

    assert asyncio.run(call(telemetry.asgi(other), {"type": "something new"})) == [{"type": "of its own"}]
    assert counts(measured) == (0, 0, 0)


def test_everything_is_harmless_without_telemetry() -> None:
    assert b"".join(telemetry.wsgi(chunks)({"PATH_INFO": "/"}, said)) == b"onetwo"
    assert len(asyncio.run(call(telemetry.asgi(two_parts), {}))) == 3
    with telemetry.span("query", anything=1):
        assert telemetry.outgoing_headers() == {}
    telemetry.pool_waited("any", 1.0)
    telemetry.stop()
    assert telemetry.worker_facts()["worker"] is None
    assert telemetry.page().startswith(b"#")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.one_of(st.text(), st.floats().map(lambda f: f"t={f}")), trace=st.text())
def test_no_header_fails_a_request(begin: Begin, start: str, trace: str) -> None:
    measured = telemetry.current.worker or begin(traces="sampled")
    before = counts(measured)
    environ = {"PATH_INFO": "/", "HTTP_X_REQUEST_START": start, "HTTP_TRACEPARENT": trace}
    telemetry.wsgi(chunks)(environ, said).close()  # type: ignore[attr-defined]
    assert counts(measured) == (before[0] + 1, before[1], before[2] + 1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("t={}", 1.0),
        (b"t=%b", 1.0),
        ("{}", None),
        ("t=-5", None),
        ("t=99999999999", None),
        ("t=nan", None),
        ("t=1_0", None),
    ],
)
def test_queue_time_is_what_can_be_one(header: str | bytes, seconds: float | None) -> None:
    then = f"{time.time() - 1:.6f}"
    text = header % then.encode() if isinstance(header, bytes) else header.format(then)
    assert worker._since(text) == (None if seconds is None else pytest.approx(seconds, abs=0.5))


def test_parent_is_one_well_formed_header() -> None:
    good = f"00-{1:032x}-{2:016x}-01"
    assert spans.parent(good) == spans.parent(good.encode()) == spans.Parent(f"{1:032x}", f"{2:016x}", True)
    assert spans.parent(good[:-1] + "2") == spans.Parent(f"{1:032x}", f"{2:016x}", False)
    for bad in (good.upper().replace("0", "A"), good + "-1", f"{good},{good}", f"00-{0:032x}-{2:016x}-01", good + "\n"):
        assert spans.parent(bad) is None


def test_application_names_only_so_many_series(begin: Begin) -> None:
    measured = begin()
    number = iter(range(10_000))
    app = telemetry.wsgi(chunks, lambda path: ("sync", str(next(number))))
    for _ in range(700):
        app({"PATH_INFO": "/"}, said).close()  # type: ignore[attr-defined]
    assert page(measured).count(f"{names.REQUEST_DURATION}_count") <= 513


def test_naming_that_fails_names_other(begin: Begin) -> None:
    measured = begin()

    def naming(path: str) -> tuple[str, str] | None:
        raise ValueError(path)

    telemetry.wsgi(chunks, naming)({"PATH_INFO": "/"}, said).close()  # type: ignore[attr-defined]
    assert f'{names.REQUEST_DURATION}_count{{service="tiny",status="500",style="other"' in page(measured)


def test_reading_that_fails_fails_no_scrape(begin: Begin) -> None:
    measured = begin()
    telemetry.watch_pool("bad", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    telemetry.pool_waited("bad", 0.1)
    assert 'lab_telemetry_degraded{reason="pools"' in page(measured)
    assert f'{names.POOL_WAIT}_count{{pool="bad",service="tiny",worker="1"}} 1.0' in page(measured)


def test_access_lines_do_not_wait_for_their_reader() -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing)
    began = time.monotonic()
    for _ in range(2000):
        log.write(path="/\n" * 5000, status=200)
    assert time.monotonic() - began < 5
    assert log.dropped > 1000
    first = os.read(reading, 1_000_000).splitlines()[0]
    assert json.loads(first)["path"].startswith("/\n/\n")
    log.close()
    os.close(reading)
    os.close(writing)
