"""Whether a target answers what it is asked, before a load and under it: what would make every figure worthless."""

import http.client
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from waitlab.drive import Answer, Sample
from waitlab.errors import LabError
from waitlab.target.target import Request, Target

PATIENCE_SECONDS = 30.0
MOST_AT_ONCE, ROUNDS, STILL = 64, 4, 0.8  # a round that takes a fifth less than the one before: some were new in that
LOGIN, LIMITED = (401, 403), 429
OVERLOADED = (LIMITED, 408)  # 408: a request that a busy server had no time to read
HEADERS = 'give it what a browser would send: headers = { Authorization = "..." } (or Cookie) in [[requests]]'
SWITCH_OFF = "switch the limit off for this machine's address while you measure"


class Refusal(LabError):
    """What is so of the target itself, whatever its setting: no other one would make it fit to measure."""


def check(target: Target, url: str) -> None:
    """Ask each of its requests once. LabError for the first that is not answered 2xx, with what to do."""
    for request in target.requests:
        status, location = _ask(url, request)
        if fault := _fault(status, location):
            what, remedy = fault
            raise LabError(f"{request.method} {request.path} {what}", remedy)


def wake(target: Target, url: str, workers: int) -> None:
    """Ask each request as often at once as there are workers, until that takes no less than the time before: the first
    of each worker may load and fill what all later ones find there.

    What is wrong with an answer is found by who looks for it.
    """
    at_once = min(workers, MOST_AT_ONCE)
    if at_once <= 1 or not target.requests:
        return  # `check` has asked it
    before_s = math.inf
    with ThreadPoolExecutor(at_once) as asking:
        for _ in range(ROUNDS):
            began = time.monotonic()
            for request in target.requests:
                list(asking.map(partial(_try, url), [request] * at_once))
            took_s = time.monotonic() - began
            if took_s > STILL * before_s:
                return
            before_s = took_s


def _try(url: str, request: Request) -> None:
    with suppress(LabError):
        _ask(url, request)


def judge(target: Target, answers: Iterable[Answer], samples: Sequence[Sample]) -> None:
    """LabError where the answers of a load say that no figure of it means anything: a rate limit, a redirect or login
    that was not there before, and nothing answered well at all. 5xx and lost connections are what overload looks like,
    and stay figures.
    """
    every = list(answers)
    counted = Counter(answer.status for answer in every if answer.failed)
    where = {sample.status: sample.request for sample in samples}
    for status in _telling(target):
        if count := counted[status]:
            what = f"{count} of {len(every)} answers under load are {status}{_at(where.get(status))}"
            raise Refusal(f"{target.name}: {what}", _remedy_under_load(status))
    if every and counted.total() == len(every):
        usual = counted.most_common(1)[0][0]
        what = f"the status {usual}{_at(where.get(usual))}" if usual else "no answer at all"
        raise LabError(f"{target.name}: not one of {len(every)} requests is answered well: {what}", "see its log", 1)


def _at(request: str | None) -> str:
    return f" ({request})" if request else ""


def _telling(target: Target) -> Sequence[int]:
    """What tells of no overload; a locustfile knows best which of its other answers should be what they are."""
    return (LIMITED, *LOGIN) if target.locustfile else (LIMITED, *(s for s in range(300, 500) if s not in OVERLOADED))


def _remedy_under_load(status: int) -> str:
    if status == LIMITED:
        return f"it has a rate limit of its own: {SWITCH_OFF}"
    return "it answered otherwise before: it changes under load, and then figures of it do not belong together"


def _fault(status: int, location: str) -> tuple[str, str] | None:
    """What is wrong with an answer, and what to do."""
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        final = f'path = "{location}"' if location.startswith("/") else location
        return f"answers {status}, a redirect to {location or 'nowhere'}", f"name the final address: {final}"
    if status in LOGIN:
        return f"answers {status}: it needs a login", HEADERS
    if status == LIMITED:
        return f"answers {status}: it has a rate limit of its own", SWITCH_OFF
    return f"answers {status}", "see its log; every request of a mix must be answered 2xx"


def _read(answer: http.client.HTTPResponse, request: Request) -> None:
    """To its end. LabError when it has none, IncompleteRead when it ends too early."""
    until = time.monotonic() + PATIENCE_SECONDS
    while answer.read1():
        if time.monotonic() > until:
            what = f"{request.method} {request.path} has not ended after {PATIENCE_SECONDS:.0f} s"
            raise LabError(what, "a stream without an end is no request that can be counted: leave it out")
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)


def _ask(url: str, request: Request) -> tuple[int, str]:
    """Status of the answer, and where it leads."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=PATIENCE_SECONDS)
    try:
        connection.request(request.method, request.path, request.body.encode() or None, dict(request.headers))
        with connection.getresponse() as answer:
            _read(answer, request)
            return answer.status, answer.headers.get("Location", "")
    except TimeoutError:
        what = f"is not answered within {PATIENCE_SECONDS:.0f} s"
        raise LabError(f"{request.method} {request.path} {what}", "ask it by hand: curl -v") from None
    except (OSError, http.client.HTTPException) as error:
        what = f"gets no answer: {error or type(error).__name__}"
        raise LabError(f"{request.method} {request.path} {what}", "see the log of the service") from None
    finally:
        connection.close()
