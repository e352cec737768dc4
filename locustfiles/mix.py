"""A mix of requests: how each goes over the wire, and whose turn it is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

WITH_BODY = ("POST", "PUT", "PATCH")  # which say its length also where there is none


@dataclass(frozen=True)
class Asked:
    """One kind of request; `weight` is its share against the others'."""

    method: str
    path: str
    weight: float = 1.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


Mix = Sequence[Asked]


class Turn(NamedTuple):
    """A request as it is sent: `head` without its last, empty line, so that more headers can follow."""

    name: str
    method: str
    head: str
    body: bytes


def read(file: Path) -> Mix:
    """The mix that `waitlab.drive.mixed` has written."""
    return tuple(Asked(**one) for one in json.loads(file.read_text(encoding="utf-8")))


def turns(mix: Mix, host: str) -> Iterator[Turn]:
    """One request after the other, without end, each as often as its weight says and as evenly as can be.

    Smooth weighted round robin, as nginx has it: each gains its weight a turn, who has most goes, and pays for all.
    After n turns each has gone within one of its share, so that a short window has no other mix than a long one.
    """
    ready = [_turn(one, host) for one in mix]
    if len(ready) == 1:
        yield from cycle(ready)
    total, credit = sum(one.weight for one in mix), [0.0] * len(ready)
    while True:
        credit = [had + one.weight for had, one in zip(credit, mix, strict=True)]
        chosen = max(range(len(ready)), key=credit.__getitem__)
        credit[chosen] -= total
        yield ready[chosen]


def _turn(one: Asked, host: str) -> Turn:
    body = one.body.encode()
    given = {name.lower() for name in one.headers}
    headers = {} if "host" in given else {"Host": host}
    headers |= one.headers
    if "content-length" not in given and (body or one.method in WITH_BODY):
        headers["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    name = one.path if one.method == "GET" else f"{one.method} {one.path}"
    return Turn(name, one.method, f"{one.method} {one.path} HTTP/1.1\r\n{head}", body)
