"""Whether an answer could only come from the work having been done: looked at before any load, and in samples of it.

The runner knows the contract by itself (nothing in waitlab may import the services); a test holds both together.
"""

import base64
import hashlib
import http.client
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from waitlab.case import ON_A_CONNECTION, wait_s
from waitlab.errors import LabError
from waitlab.experiment import paths

Answer = Mapping[str, Any]
Proof = Callable[[Mapping[str, str], Answer], bool]  # of the parameters that were asked for, and of what was answered

JSON, PROBLEM = "application/json", "application/problem+json"
LINES, EVENTS = "application/jsonl", "text/event-stream"
KINDS = {"stream": LINES, "sse": EVENTS}  # of the workloads that answer with many items
FAILS_AS_PRINTED = "/sample/httpx-await"  # the one listing whose right answer is an error
WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455: what a server adds to the key of a handshake
GOODBYE = b"\x88\x82\0\0\0\0\x03\xe8"  # a close frame, masked with zeros: 1000, all is well
MOST_ANSWERS, SECONDS = 10, 0.5  # asked for before the load, and for how long at most
PATIENCE_SECONDS = 15.0
EARLY = 0.98  # of its wait: timers round

# services/workloads/rounds.py: a round is so many steps of this generator, and `burn` starts with 1.
STEP, PLUS, MODULUS, STEPS_A_ROUND = 1_103_515_245, 12_345, 2**31, 6_000


@dataclass(frozen=True)
class Verified:
    """`count` answers were compared with the contract; `wrong` says what was not as it should be."""

    count: int
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class _Got:
    """One answer. `fault`: why there is none."""

    status: int = 0
    kind: str = ""
    encoding: str = ""
    body: str = ""
    seconds: float = 0.0
    fault: str = ""


def verify(url: str, request: str, *beside: str) -> Verified:
    """Ask for the request as the load will, for another value of it, for its refusal, and for what is beside it."""
    faults = list(_faults(url, request, [other for other in beside if other not in paths.UNMEASURED]))
    return Verified(len(faults), tuple(dict.fromkeys(filter(None, faults))))


def _faults(url: str, request: str, beside: Sequence[str]) -> Iterator[str]:
    """What is wrong with each answer in turn, empty where nothing is."""
    until = time.monotonic() + SECONDS
    if request == paths.SOCKET:
        yield _opened(url)
        for side in beside:
            yield _asked(url, side)
        return
    yield _asked(url, request)
    if other := variant(request):
        yield _asked(url, other)
    yield _refused(url, f"{request.partition('?')[0]}?no_such_parameter=1")
    for side in beside:
        yield _asked(url, side)
    for _ in range(MOST_ANSWERS):
        if time.monotonic() > until:
            return
        yield _asked(url, request)


def _asked(url: str, request: str) -> str:
    got = _get(url, request)
    if got.fault:
        return f"{request}: {got.fault}"
    if got.encoding:
        return f"{request}: its body is {got.encoding}, and no service of the lab compresses"
    if wrong := fault(request, got.status, got.kind, got.body):
        return wrong
    least = _wait_s(request)
    if got.seconds < EARLY * least:
        return f"{request}: answered after {got.seconds * 1000:.0f} ms, and it waits {least * 1000:.0f} ms"
    return ""


def _opened(url: str) -> str:
    """A WebSocket, from its handshake to its close: the key that comes back is the proof."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", paths.SOCKET, headers=fields)
        answer = connection.getresponse()
        wanted = base64.b64encode(hashlib.sha1((key + WEBSOCKET).encode(), usedforsecurity=False).digest()).decode()
        if answer.status != 101 or answer.getheader("Sec-WebSocket-Accept") != wanted:
            return f"{paths.SOCKET}: {answer.status}, and no WebSocket that was opened by this handshake"
        connection.sock.sendall(GOODBYE)
        while connection.sock.recv(1024):
            pass
    except (OSError, http.client.HTTPException) as error:
        return f"{paths.SOCKET}: no whole answer: {error!r:.120}"
    finally:
        connection.close()
    return ""


def _refused(url: str, request: str) -> str:
    got = _get(url, request)
    if got.fault or got.status != 400 or got.kind != PROBLEM:
        return f"{request}: {got.fault or f'{got.status} {got.kind}'}, and what is not allowed is refused with 400"
    return ""


def variant(request: str) -> str:
    """The same request with another, small value: whoever answers from memory answers it wrongly. Empty without any."""
    path, parameters = paths.split(request)
    for name, small in (("rounds", "2"), ("items", "2"), ("kb", "8"), ("ms", "7")):
        if name in parameters:
            other = {**parameters, name: small if parameters[name] != small else "3"}
            return f"{path}?{'&'.join(f'{key}={value}' for key, value in other.items())}"
    return ""


def fault(request: str, status: int, kind: str, body: str) -> str:
    """What is wrong with an answer; empty when it is as the contract says."""
    path, asked = paths.split(request)
    wanted = (500, PROBLEM) if path == FAILS_AS_PRINTED else (200, KINDS.get(_workload(path), JSON))
    if (status, kind) != wanted:
        return f"{request}: {status} {kind}, not {wanted[0]} {wanted[1]}"
    if not body_is_right(request, body):
        return f"{request}: {body[:80]!r} is no proof that the work was done ({', '.join(asked) or 'no parameters'})"
    return ""


def fails_as_printed(request: str) -> bool:
    """Whether the request is for the listing that fails, and should."""
    return paths.split(request)[0] == FAILS_AS_PRINTED


def body_is_right(request: str, body: str) -> bool:
    """Whether this body proves that the work of this request was done."""
    path, asked = paths.split(request)
    workload = _workload(path)
    try:
        answer = _parsed(KINDS.get(workload, JSON), body)
        if path == FAILS_AS_PRINTED:
            return "no coroutine function" in answer["detail"]
        return PROOFS[workload](asked, answer)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


def _workload(path: str) -> str:
    return path.rpartition("/")[2]


def _parsed(kind: str, body: str) -> Any:
    """The JSON of a body; of one with many items, all of them under `items`. ValueError for any other text."""
    if kind == JSON:
        return json.loads(body)
    before, after = ("", "\n") if kind == LINES else ("data: ", "\n\n")
    *items, rest = body.split(after)
    if rest or not all(item.startswith(before) for item in items):
        raise ValueError("cut short, or in another form")
    return {"items": [json.loads(item.removeprefix(before)) for item in items]}


def burnt(rounds: int) -> int:
    """What so many rounds of kind `loop` result in, without doing them: n steps of x -> a x + c are one.

    a^n x + c (a^n - 1) / (a - 1), modulo m; the power is taken modulo m (a - 1) so that it can be divided.
    """
    power = pow(STEP, rounds * STEPS_A_ROUND, MODULUS * (STEP - 1))
    return (power + PLUS * ((power - 1) // (STEP - 1))) % MODULUS


def _same(*names: str) -> Proof:
    """The answer has these values, as they were asked for."""

    def proof(asked: Mapping[str, str], answer: Answer) -> bool:
        return all(_text(answer[name]) == asked.get(name, _text(answer[name])) for name in names)

    return proof


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _queried(asked: Mapping[str, str], answer: Answer) -> bool:
    """PostgreSQL has digested this request's value."""
    digest = hashlib.md5(asked.get("ms", _text(answer["ms"])).encode(), usedforsecurity=False).hexdigest()
    return _same("ms")(asked, answer) and answer["md5"] == digest


def _read(asked: Mapping[str, str], answer: Answer) -> bool:
    return _same("kb", "ms")(asked, answer) and answer["last_word"] == answer["kb"] * 1024 // 8 - 1


def _burnt(asked: Mapping[str, str], answer: Answer) -> bool:
    done = isinstance(answer["result"], int) and 0 <= answer["result"] < MODULUS
    by_hand = answer["kind"] != "loop" or answer["result"] == burnt(answer["rounds"])
    return done and by_hand and _same("rounds", "kind")(asked, answer)


def _mixed(asked: Mapping[str, str], answer: Answer) -> bool:
    return _same("ms")(asked, answer) and _burnt(asked, answer)


def _outside(asked: Mapping[str, str], answer: Answer) -> bool:
    """Two queries, one after the other, and a call of the upstream."""
    queried = _queried(asked, answer["user"]) and _queried(asked, answer["friends"])
    return queried and _same("ms")(asked, answer["external"])


def _profile(asked: Mapping[str, str], answer: Answer) -> bool:
    return _outside(asked, answer) and _read({}, answer["picture"])


def _depends(asked: Mapping[str, str], answer: Answer) -> bool:
    return (_queried if asked.get("dep") in ON_A_CONNECTION else _same("ms"))(asked, answer)


def _gather(asked: Mapping[str, str], answer: Answer) -> bool:
    first, second = answer["both"]
    return bool(first == second and (_burnt if asked.get("of") == "burn" else _same("ms"))(asked, first))


def _long(asked: Mapping[str, str], answer: Answer) -> bool:
    """Every item in its order, each with its padding."""
    of = int(asked.get("items", answer["items"][0]["of"]))
    padding = "." * (int(asked.get("kb", 0)) * 1024)
    whole = [{"item": number, "of": of} | ({"padding": padding} if padding else {}) for number in range(1, of + 1)]
    return bool(answer["items"] == whole)


PROOFS: Mapping[str, Proof] = {
    "ping": lambda asked, answer: answer == {"pong": True},
    "sleep": _same("ms"),
    "query": _queried,
    "fetch": _same("ms", "client", "tls"),
    "read": _read,
    "burn": _burnt,
    "mixed": _mixed,
    "profile": _profile,
    "depends": _depends,
    "gather": _gather,
    "stream": _long,
    "sse": _long,
    "httpx-await-corrected": _outside,
    "client-per-request": _same("ms"),
    "client-per-request-corrected": _same("ms"),
    "def-asyncio-run": _same("ms"),
    "def-asyncio-run-corrected": _same("ms"),
}


def _wait_s(request: str) -> float:
    """How long the request waits at least; 0 where it fails, or leaves that to its default."""
    if fails_as_printed(request):
        return 0.0
    path, parameters = paths.split(request)
    _, style, workload = path.split("/")
    try:
        return wait_s(style, workload, parameters)
    except LabError:
        return 0.0


def _get(url: str, request: str) -> _Got:
    """One request on a connection of its own, so that any worker may take it."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SECONDS + _wait_s(request))
    began = time.monotonic()
    try:
        connection.request("GET", request, headers={"Accept-Encoding": "gzip", "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return _Got(fault=f"no whole answer: {error!r:.120}")
    finally:
        connection.close()
    kind = (answer.getheader("Content-Type") or "no content type").partition(";")[0]
    encoding = answer.getheader("Content-Encoding") or ""
    return _Got(answer.status, kind, encoding, body.decode(errors="replace"), time.monotonic() - began)
