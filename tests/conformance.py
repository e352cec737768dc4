"""What a service answers to every (stack, style, workload) of the contract, however it is reached."""

import hashlib
import json
from collections.abc import Callable

import httpx

from services import contract
from services.workloads import rounds

EVERY = [(stack, style, workload) for stack in contract.SERVICES for style, workload in contract.pairs()]
SMALL = {"ms": 20, "rounds": 3, "kb": 8, "items": 3, "interval_ms": 5}


def variants(stack: str, style: str, workload: str) -> list[dict[str, object]]:
    """Small values, with each choice of each parameter once."""
    parameters = contract.parameters(style, workload, stack)
    small = {one.name: SMALL[one.name] for one in parameters if one.name in SMALL}
    choices = {one.name: one.choices or ("0", "1") for one in parameters if one.kind != "int"}
    return [small | {name: choice} for name, words in choices.items() for choice in words] or [small]


def is_right(workload: str, asked: dict[str, object], answer: dict[str, object]) -> bool:
    """Whether an answer could only come from the work having been done."""
    match workload:
        case "query":
            right = answer["md5"] == hashlib.md5(str(asked["ms"]).encode()).hexdigest()
        case "read":
            right = answer["last_word"] == int(str(asked["kb"])) * 1024 // 8 - 1
        case "burn" | "mixed":
            right = answer["result"] == rounds.burn(3, str(asked.get("kind", "loop")))
        case "profile":
            right = set(answer) == {"user", "friends", "picture", "external"}
        case "gather":
            both = answer["both"]
            right = isinstance(both, list) and len(both) == 2 and both[0] == both[1]
        case "stream" | "sse":
            of = int(str(asked["items"]))
            numbered = [{"item": number, "of": of, "padding": "." * 8192} for number in range(1, of + 1)]
            right = answer["items"] == numbered
        case "ping":
            right = answer == {"pong": True}
        case _:
            right = answer.get("ms") == 20 or "external" in answer
    return right


def read(answer: httpx.Response) -> dict[str, object]:
    """The JSON of an answer; of one with many items, all of them under `items`."""
    match answer.headers["content-type"]:
        case "application/jsonl":
            return {"items": [json.loads(line) for line in answer.text.splitlines()]}
        case "text/event-stream":
            *events, rest = answer.text.split("\n\n")
            assert rest == ""
            return {"items": [json.loads(event.removeprefix("data: ")) for event in events]}
    return dict(answer.json())


def check(get: Callable[[str], httpx.Response], stack: str, style: str, workload: str) -> None:
    """Offered and proven to work, in every variant, or refused with the reason."""
    reason = contract.reason(stack, style, workload)
    for asked in variants(stack, style, workload):
        query = "&".join(f"{name}={value}" for name, value in asked.items())
        answer = get(f"/{style}/{workload}?{query}")
        if reason:
            assert (answer.status_code, answer.json()["detail"]) == (404, reason)
        elif workload == "httpx-await":
            assert answer.status_code == 500
            assert answer.headers["content-type"] == "application/problem+json"
            assert "no coroutine function" in answer.json()["detail"]
        else:
            assert answer.status_code == 200, answer.text
            assert is_right(workload, asked, read(answer)), answer.text
