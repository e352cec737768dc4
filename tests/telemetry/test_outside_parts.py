"""What measuring from outside rests on: names of requests, looks of applications, accept queues of others' ports."""

import functools
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import prometheus_client
import pytest

from waitlab.serve.listening import Port
from waitlab.telemetry import interface, isolated, names, routes
from waitlab.telemetry.outside import found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "/"),
        ("", "/"),
        ("/orders", "/orders"),
        ("/orders/17", "/orders/{id}"),
        ("/v1/users/3f2b8c1a-11aa-22bb-33cc-444455556666/x", "/v1/users/{id}/x"),
        ("/order-12345/", "/{id}/"),
        ("/th\xe9/\udcff", "/{id}/{id}"),
        ("/a b/" + "x" * 60, "/{id}/{id}"),
        ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/..."),
    ],
)
def test_a_path_is_named_without_its_ids(path: str, name: str) -> None:
    assert routes.without_ids(path) == name


def test_names_are_bounded_and_nobodys_paths_have_none() -> None:
    named = routes.Routes("wsgi")
    assert named.name("/x", None, 404) == names.OTHER
    assert named.name("/users/ann", "/users/<name>", 404) == ("wsgi", "/users/<name>")
    paths = ["/" + "".join(chr(97 + int(digit)) for digit in f"{number:03}") for number in range(500)]
    assert len({named.name(path, None, 200) for path in paths}) == routes.MOST
    assert named.name("/users/bob", "/users/<name>", 200) == ("wsgi", "/users/<name>")


def test_a_route_below_a_mount_has_the_whole_path() -> None:
    inner = {"route": SimpleNamespace(path="/{name}"), "root_path": "/proxy/toys"}
    assert routes.of_scope(inner, "/proxy") == "/toys/{name}"
    files = {"route": SimpleNamespace(path="/static"), "root_path": "/static"}
    assert routes.of_scope(files, "") == "/static"
    assert routes.of_scope({}, "") is None


async def plain(scope: Any, receive: Any, send: Any) -> None: ...


class Callable3:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Old:
    def __init__(self, scope: Any) -> None: ...


class Anything:
    def __call__(self, *words: Any) -> None: ...


def wsgi(environ: Any, start_response: Any) -> None: ...


@pytest.mark.parametrize(
    ("app", "looks"),
    [
        (plain, "ASGI"),
        (Callable3(), "ASGI"),
        (functools.partial(plain), "ASGI"),
        (wsgi, "WSGI"),
        (functools.partial(lambda x, environ, start: None, 1), "WSGI"),
        (Old, None),
        (Anything(), None),
    ],
)
def test_an_application_shows_which_it_is(app: Any, looks: str | None) -> None:
    assert interface.of(app) == looks


def test_an_application_is_found_as_servers_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "granary.py").write_text("class app:\n  inner = 1\ndef create(a, b=0):\n  return (a, b)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert found("granary:app.inner") == 1
    assert found("granary:create('x', b=2)") == ("x", 2)
    with pytest.raises(AttributeError, match="nothing"):
        found("granary:nothing")


def test_the_accept_queue_of_a_port_is_what_waits_there() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=7) as listening:
        host, port = listening.getsockname()
        door = Port(host, port)
        assert door.accept_queue() == (0, 7)
        with socket.create_connection((host, port)), socket.create_connection((host, port)):
            assert door.accept_queue() == (2, 7)
        assert door.url == f"http://127.0.0.1:{port}"
    assert Port(host, port).accept_queue() is None


def test_isolation_leaves_modules_path_and_environment_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    mine, path = sys.modules["prometheus_client"], list(sys.path)
    isolated.load(str(Path(prometheus_client.__file__).parents[1]))
    assert sys.modules["prometheus_client"] is mine
    assert sys.path == path
