"""Every (stack, style, workload), through one client: offered and proven to work, or refused with the reason."""

import inspect
from collections.abc import Callable

import pytest
from fastapi.routing import APIRoute
from service_stacks import Stack

from services import contract, django_app, fastapi_app, flask_app, samples
from tests import conformance


# django-asgi's sync/stream, which is none: test_django.py shows it.
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
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


def test_every_stack_answers_a_shared_path_with_the_same_json(stacks: dict[str, Stack]) -> None:
    for target in ("/sync/sleep?ms=5", "/sync/burn?rounds=2&kind=zlib", "/sync/read?kb=3", "/sync/fetch?ms=5"):
        first, *others = (stack.get(target).json() for stack in stacks.values())
        assert others == [first] * 3


def handlers() -> dict[str, Callable[..., object]]:
    """path -> handler, of FastAPI."""
    routes = [*fastapi_app.app.routes, *samples.router.routes]
    return {route.path: route.endpoint for route in routes if isinstance(route, APIRoute)}


def test_every_endpoint_has_one_handler_and_every_handler_an_endpoint() -> None:
    (dep,) = (one for one in contract.WORKLOADS["depends"] if one.name == "dep")
    deeper = {f"/{style}/depends/{choice}" for style in ("sync", "async") for choice in dep.choices}
    plain = {"/sync/depends", "/async/depends"}
    assert set(handlers()) == (set(contract.offered("fastapi")) - plain) | deeper | contract.UNMEASURED
    ruled = {rule.rule for rule in flask_app.app.url_map.iter_rules()}
    assert ruled == set(contract.offered("flask")) | contract.UNMEASURED
    routed = [f"/{pattern.pattern}" for pattern in django_app.urlpatterns]
    assert len(routed) == len(set(routed))
    both = set(contract.offered("django-wsgi")) | set(contract.offered("django-asgi"))
    assert set(routed) == both | contract.UNMEASURED


def test_a_style_is_what_its_handler_is() -> None:
    views = {f"/{pattern.pattern}": pattern.callback for pattern in django_app.urlpatterns}
    for path, handler in [*handlers().items(), *views.items()]:
        style = path.split("/")[1]
        if style in contract.STYLES:
            assert inspect.iscoroutinefunction(handler) == (style != "sync"), path


def test_request_names_are_bounded() -> None:
    assert fastapi_app.request_name("/async/sleep") == ("async", "sleep")
    assert flask_app.request_name("/blocked/sleep") is None
    assert django_app.wsgi.request_name("/bridged/sleep") is None
    assert django_app.asgi.request_name("/bridged/sleep") == ("bridged", "sleep")
    assert flask_app.request_name("/healthz") is None
    assert fastapi_app.request_name("/async/depends/session") is None
