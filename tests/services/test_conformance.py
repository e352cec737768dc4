"""Every (stack, style, workload), through one client: offered and proven to work, or refused with the reason."""

import inspect
from collections.abc import Callable

import pytest
from fastapi.routing import APIRoute
from service_stacks import Stack

from services import contract, fastapi_app, flask_app, samples
from tests import conformance


@pytest.mark.parametrize(("stack", "style", "workload"), conformance.EVERY)
def test_every_pair(stacks: dict[str, Stack], stack: str, style: str, workload: str) -> None:
    conformance.check(stacks[stack].get, stack, style, workload)


@pytest.mark.parametrize("stack", contract.SERVICES)
def test_defaults_are_the_contracts(stacks: dict[str, Stack], stack: str) -> None:
    assert stacks[stack].get("/sync/sleep").json() == {"ms": 200}
    assert stacks[stack].get("/sync/read").json()["kb"] == 64


def test_tls_reaches_the_upstream_and_is_checked(stacks: dict[str, Stack]) -> None:
    for stack, style, client in (
        ("flask", "sync", "requests"),
        ("flask", "sync", "httpx"),
        ("fastapi", "async", "aiohttp"),
        ("fastapi", "async", "httpx"),
    ):
        answer = stacks[stack].get(f"/{style}/fetch?ms=0&tls=1&client={client}")
        assert answer.json() == {"ms": 0, "client": client, "tls": True}, answer.text


@pytest.mark.parametrize("stack", contract.SERVICES)
def test_what_a_service_says_about_itself(stacks: dict[str, Stack], stack: str) -> None:
    get = stacks[stack].get
    assert get("/healthz").json() == {"healthy": True}
    assert get("/readyz").json() == {"ready": True, "answering": ["postgresql", "upstream"]}
    assert "pid" in get("/about").json()
    assert get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")


def test_both_stacks_answer_a_shared_path_with_the_same_json(stacks: dict[str, Stack]) -> None:
    for target in ("/sync/sleep?ms=5", "/sync/burn?rounds=2&kind=zlib", "/sync/read?kb=3", "/sync/fetch?ms=5"):
        assert stacks["flask"].get(target).json() == stacks["fastapi"].get(target).json()


def handlers() -> dict[str, Callable[..., object]]:
    """path -> handler, of FastAPI."""
    routes = [*fastapi_app.app.routes, *samples.router.routes]
    return {route.path: route.endpoint for route in routes if isinstance(route, APIRoute)}


def test_every_endpoint_has_one_handler_and_every_handler_an_endpoint() -> None:
    deeper = {f"/{style}/depends/{dep}" for style in ("sync", "async") for dep in ("sync", "async", "session")}
    plain = {"/sync/depends", "/async/depends"}
    assert set(handlers()) == (set(contract.offered("fastapi")) - plain) | deeper | contract.UNMEASURED
    ruled = {rule.rule for rule in flask_app.app.url_map.iter_rules()}
    assert ruled == set(contract.offered("flask")) | contract.UNMEASURED


def test_a_style_is_what_its_handler_is() -> None:
    for path, handler in handlers().items():
        style = path.split("/")[1]
        if style in contract.STYLES:
            assert inspect.iscoroutinefunction(handler) == (style != "sync"), path


def test_request_names_are_bounded() -> None:
    assert fastapi_app.request_name("/async/sleep") == ("async", "sleep")
    assert flask_app.request_name("/async/sleep") is None
    assert flask_app.request_name("/healthz") is None
    assert fastapi_app.request_name("/async/depends/session") is None
