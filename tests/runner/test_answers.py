"""Which answers prove that the work was done; the wrong ones are in test_wrong_servers.py."""

import json

import pytest

from services import contract
from services.workloads import rounds
from waitlab.runner import answers

OK = (200, "application/json")


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_what_burning_results_in_is_known_without_burning(count: int) -> None:
    assert answers.burnt(count) == rounds.burn(count, "loop")


def test_the_generator_of_a_round_is_the_services() -> None:
    assert answers.STEPS_A_ROUND == rounds.LOOP_STEPS


def test_every_workload_has_a_proof_but_the_one_that_fails_as_printed() -> None:
    workloads = {workload for _, workload in contract.pairs()}
    assert workloads - set(answers.PROOFS) == {"httpx-await"}
    assert answers.fails_as_printed("/sample/httpx-await?ms=50")
    assert not answers.fails_as_printed("/sample/httpx-await-corrected?ms=50")


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("/async/ping", {"pong": True}),
        ("/sync/sleep?ms=200", {"ms": 200}),
        ("/sync/fetch?ms=5&tls=1", {"ms": 5, "client": "requests", "tls": True}),
        ("/sync/burn?rounds=3", {"rounds": 3, "kind": "loop", "result": rounds.burn(3, "loop")}),
        ("/sync/burn?rounds=3&kind=zlib", {"rounds": 3, "kind": "zlib", "result": rounds.burn(3, "zlib")}),
        ("/sync/mixed?ms=4&rounds=1", {"ms": 4, "rounds": 1, "kind": "loop", "result": rounds.burn(1, "loop")}),
        ("/async/gather?of=sleep&ms=3", {"both": [{"ms": 3}, {"ms": 3}]}),
        ("/sync/read?kb=8", {"kb": 8, "ms": 0, "last_word": 1023}),
        ("/sync/query?ms=20", {"ms": 20, "backend": 7, "md5": "98f13708210194c475687be6106a3b84"}),
        ("/async/depends?ms=20&dep=session", {"ms": 20, "backend": 7, "md5": "98f13708210194c475687be6106a3b84"}),
        ("/async/depends?ms=20&dep=sync", {"ms": 20}),
    ],
)
def test_right_answers_are_right_and_any_other_value_is_not(request_: str, answer: dict[str, object]) -> None:
    assert answers.fault(request_, *OK, json.dumps(answer)) == ""
    assert answers.fault(request_, *OK, json.dumps({**answer, "ms": 11, "rounds": 11, "both": [1], "pong": 1, "kb": 9}))


@pytest.mark.parametrize("body", ["", "[]", "null", "{}", '{"ms"', '{"ms": 200.5}', '"ms"', '{"ms": {}}'])
def test_what_is_no_answer_is_a_fault_and_never_an_error(body: str) -> None:
    for request in ("/sync/sleep?ms=200", "/sync/burn?rounds=3", "/sync/query?ms=1", "/sync/profile?ms=1"):
        assert "is no proof that the work was done" in answers.fault(request, *OK, body)


def test_the_listing_that_fails_as_printed_must_fail() -> None:
    body = json.dumps({"detail": "httpx.get is no coroutine function: it blocked the event loop"})
    assert answers.fault("/sample/httpx-await?ms=50", 500, "application/problem+json", body) == ""
    assert answers.fault("/sample/httpx-await?ms=50", *OK, '{"ms": 50}')


@pytest.mark.parametrize(
    ("request_", "other"),
    [
        ("/sync/sleep?ms=200", "/sync/sleep?ms=7"),
        ("/sync/sleep?ms=7", "/sync/sleep?ms=3"),
        ("/sync/mixed?ms=100&rounds=10", "/sync/mixed?ms=100&rounds=2"),
        ("/async/ping", ""),
    ],
)
def test_another_value_of_the_same_request(request_: str, other: str) -> None:
    assert answers.variant(request_) == other
