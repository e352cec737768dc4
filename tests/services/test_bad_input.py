"""What is not a valid request of the contract is refused by every stack, with the same bytes."""

import asyncio
import io
import json
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services import contract, django_app, fastapi_app, flask_app, guard, parameters
from services.contract import Parameter
from services.problem import Problem

Answer = tuple[int, dict[str, str], bytes]
HUGE = "9" * 10_000

NUMBERS = (
    "", "abc", "-1", "-0", "+5", "1e3", "1e309", "inf", "-inf", "nan", "NaN", "Infinity", "0x10", "0b1", "0o7",
    "1_000", "007", "1.0", ".5", "5.", "1,5", "%D9%A1", "\u0661".encode().decode("latin-1"), "%EF%BC%91", HUGE,
    "9223372036854775808", "10001", "5%20", "%205", "5+", "5%0A", "5%00", "%00", "5%", "%2", "%zz", "%u0035",
    "%ED%A0%80", "%FF", "%C0%80", "5;rounds=1", "[5]", "true", "null", "%E2%80%AE5", "5%23", "1%2F2",
)  # fmt: skip
QUERIES = (
    "ms=1&ms=1", "ms=1&ms=2", "ms[]=1", "ms[0]=1", "MS=1", "m%73s=1", "ms=1&", "&ms=1", "&", "&&", "=", "=1", "ms",
    "ms&ms", "a=1", "ms=1&a=1", "ms=1;ms=2", "__proto__=1", "%00=1", "%FF=1", "%ED%A0%80=1", "ms%00=1", "ms%20=1",
    "ms==1", "?ms=1", "%6ds", "&".join(f"p{number}=1" for number in range(500)), "ms=" + "%31" * 500,
    "m" * 5_000 + "=1", "ms=1%26x=2",
)  # fmt: skip
BY_HAND = (
    [f"/sync/sleep?ms={value}" for value in NUMBERS]
    + [f"/sync/sleep?{query}" for query in QUERIES]
    + [f"/sync/burn?rounds={value}" for value in ("0", "2001", "-1", "1e9", "", HUGE)]
    + [f"/sync/burn?kind={value}" for value in ("", "LOOP", "loop%00", "loop%20", "sha256", "../loop", "loop,hash")]
    + [f"/sync/read?kb={value}" for value in ("65537", "-1", "1e9", "64k")]
    + [f"/sync/read?cold={value}" for value in ("", "true", "2", "-0", "yes", "01")]
    + [f"/sync/read?{query}" for query in ("name=../../etc/passwd", "file=/etc/passwd", "path=%2e%2e%2f")]
    + [f"/sync/fetch?{query}" for query in ("url=http://127.0.0.1:1/", "target=x", "client=aiohttp", "client=urllib")]
    + [f"/sync/query?{query}" for query in ("ms=1;DROP TABLE x", "ms=1'--", "ms=1%20OR%201=1", "driver=asyncpg")]
    + [f"/sync/mixed?{query}" for query in ("ms=10001", "rounds=2001", "kind=hash")]
    + [f"/sync/profile?ms={value}" for value in ("3001", "ten")]
    + ["/sync/ping?ms=1", "/sync/ping?a", "/healthz?x=1", "/metrics?name[]=up", "/about?ms=1"]
)
PATHS = (
    "/", "", "//", "/sync", "/sync/", "/sync/sleep/", "//sync/sleep", "/sync//sleep", "/SYNC/sleep", "/sync/Sleep",
    "/x/sleep", "/sync/nothing", "/sync/sleep/x", "/sync/../sync/sleep", "/sync/%2e%2e/sleep", "/sync/sleep%00",
    "/sync/sleep%20", "/sync/sleep%0d%0aX:1", "/sync%2Fsleep%2Fx", "/%FF", "/%ED%A0%80", "/docs", "/openapi.json",
    "/redoc", "/static/x", "/../../etc/passwd", "/" + "a" * 5_000, "/sync/depends/session", "/async/depends/sync/x",
    "/sample", "/sample/none",
)  # fmt: skip


def ask_wsgi(app: Any, method: str, target: str, headers: dict[str, str]) -> Answer:
    path, _, query = target.partition("?")
    started: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "lab",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"x" * 20),
    }
    for name, value in headers.items():
        environ["CONTENT_LENGTH" if name == "content-length" else "HTTP_" + name.upper().replace("-", "_")] = value
    body = b"".join(app(environ, lambda status, fields: started.append((status, fields))))
    [(status, fields)] = started
    return int(status.split()[0]), {name.lower(): value for name, value in fields}, body


def ask_asgi(app: Any, method: str, target: str, headers: dict[str, str]) -> Answer:
    path, _, query = target.partition("?")
    sent: list[dict[str, Any]] = []
    coming = [{"type": "http.request", "body": b"x" * 20, "more_body": False}]

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return coming.pop() if coming else await asyncio.Event().wait()

    scope = {
        "type": "http",
        "method": method,
        "path": unquote_to_bytes(path.encode("latin-1")).decode(errors="replace"),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(app(scope, receive, send))
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


DOORS = {
    "flask": partial(ask_wsgi, flask_app.app),
    "fastapi": partial(ask_asgi, fastapi_app.app),
    "django-wsgi": partial(ask_wsgi, django_app.wsgi),
    "django-asgi": partial(ask_asgi, django_app.asgi),
}
NAMED = (flask_app.request_name, fastapi_app.request_name, django_app.wsgi.request_name, django_app.asgi.request_name)


def refused(method: str, target: str, headers: dict[str, str] | None = None) -> Answer:
    """The answer, checked to be a problem document and the same from every stack."""
    answer, *others = (ask(method, target, headers or {}) for ask in DOORS.values())
    assert others == [answer] * 3
    status, fields, body = answer
    assert 400 <= status < 500
    assert fields["content-type"] == "application/problem+json"
    if method != "HEAD":
        assert int(fields["content-length"]) == len(body) < 6_000
        assert json.loads(body)["status"] == status
        assert body.isascii()
    return answer


@pytest.mark.parametrize("target", BY_HAND, ids=lambda target: target[:40])
def test_a_bad_parameter(target: str) -> None:
    status, _, body = refused("GET", target)
    assert status == 400
    said = json.loads(body)
    assert "parameter" in said or "parameters" in said


BOUNDS = "a whole number from 0 to 10000 (milliseconds of waiting)"


@pytest.mark.parametrize(
    "query", [*(f"ms={value}" for value in NUMBERS), "ms=1&ms=1", "ms"], ids=lambda query: query[:40]
)
def test_a_bad_value_is_answered_with_its_name_and_bounds(query: str) -> None:
    _, _, body = refused("GET", f"/sync/sleep?{query}")
    said = json.loads(body)
    assert (said["parameter"], said["allowed"]) == ("ms", BOUNDS)


def test_an_unknown_parameter_is_answered_with_those_there_are() -> None:
    _, _, body = refused("GET", "/sync/sleep?" + "m" * 5_000 + "=1")
    said = json.loads(body)
    assert said["parameter"] == "m" * 80
    assert said["parameters"] == {"ms": BOUNDS}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_a_path_that_nobody_has(path: str) -> None:
    assert refused("GET", path)[0] == 404
    assert {name(path) for name in NAMED} == {None}


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT", "get", "BREW"]
)
def test_another_method(method: str) -> None:
    status, fields, body = refused(method, "/sync/sleep?ms=x")
    assert (status, fields["allow"]) == (405, "GET")
    assert bool(body) == (method != "HEAD")


@pytest.mark.parametrize(
    "headers", [{"content-length": "20"}, {"transfer-encoding": "chunked"}, {"content-length": "x"}]
)
def test_a_request_with_a_body(headers: dict[str, str]) -> None:
    assert refused("GET", "/sync/sleep?ms=1", headers)[0] == 413


WHOLE = "items=102&interval_ms=100&buffered=1"


@pytest.mark.parametrize(
    ("stack", "target"),
    [
        *((stack, f"/sync/{workload}?{WHOLE}") for stack in DOORS for workload in ("stream", "sse")),
        *((stack, f"/async/stream?{WHOLE}") for stack in ("fastapi", "django-asgi")),
        ("fastapi", f"/offload/stream?{WHOLE}"),
        *(("fastapi", f"/blocked/stream?{long}") for long in ("items=101", "interval_ms=101")),
        *(("django-asgi", f"/{style}/sse?items=101&interval_ms=1") for style in ("blocked", "sync")),
    ],
)
def test_a_long_answer_that_nobody_could_end_early_is_refused(stack: str, target: str) -> None:
    """A loop that is blocked, or a thread that makes all of it, does not notice that its client has gone."""
    status, fields, _ = DOORS[stack]("GET", target, {})
    assert (status, fields["content-type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("ask", DOORS.values(), ids=DOORS)
def test_an_empty_body_is_none(ask: Any) -> None:
    assert ask("GET", "/healthz", {"content-length": "0"})[0] == 200


ENDPOINTS = {path: one for stack in contract.SERVICES for path, one in contract.offered(stack).items()}
OFFERED = [contract.offered(stack) for stack in contract.SERVICES]
SHARED = sorted(
    path
    for path in set.intersection(*map(set, OFFERED))
    if len({paths[path].parameters for paths in OFFERED}) == 1  # a stream has other bounds where nobody could end it
)
a_text = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.text(max_size=20),
    st.sampled_from(NUMBERS),
    st.sampled_from(["loop", "hash", "zlib", "psycopg", "asyncpg", "requests", "aiohttp", "httpx", "0", "1", "sleep"]),
)
a_raw_text = st.one_of(
    a_text.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=20),
    a_text.map(lambda text: "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass")).encode()),
)
a_name = st.one_of(
    st.sampled_from([one.name.encode() for end in ENDPOINTS.values() for one in end.parameters]), a_raw_text
)
a_query = st.lists(st.tuples(a_name, a_raw_text), max_size=4).map(
    lambda pairs: b"&".join(n + b"=" + v for n, v in pairs)
)
thorough = hypothesis_settings(max_examples=500, deadline=None, database=None)


def within(parameter: Parameter, value: contract.Value) -> bool:
    if parameter.kind == "int":
        return type(value) is int and parameter.minimum <= value <= parameter.maximum
    return type(value) is bool if parameter.kind == "bool" else value in parameter.choices


@thorough
@given(st.sampled_from(sorted(ENDPOINTS)), a_query)
def test_any_query_is_refused_or_within_bounds(path: str, query: bytes) -> None:
    allowed = ENDPOINTS[path].parameters
    try:
        values = parameters.read(query, allowed)
    except Problem as problem:
        assert problem.status == 400
        return
    assert list(values) == [one.name for one in allowed]
    assert all(within(one, values[one.name]) for one in allowed)
    assert parameters.read(parameters.written(values), allowed) == values


@hypothesis_settings(max_examples=150, deadline=None, database=None)
@given(st.sampled_from(SHARED), a_query)
def test_any_bad_query_is_refused_by_all_alike(path: str, query: bytes) -> None:
    try:
        guard.Door("flask").admit("GET", path, query, has_body=False)
    except Problem:
        assert refused("GET", f"{path}?{query.decode('latin-1')}")[0] == 400
