"""What a load may be, decided before it begins: the pure part, without Locust."""

import json
import socket
from typing import Any

import pytest

from locustfiles.arguments import MOST_USERS, arguments
from locustfiles.order import check, check_user_settings, read_addresses, read_site
from locustfiles.request import NATURAL, Refused, read_name, resolve
from services.contract import SERVICES, offered

ADDRESSES = {"flask": "http://127.0.0.1:1", "fastapi": "http://127.0.0.1:2"}
OPTIONS = {
    "num_users": 5,
    "host": None,
    "service": "flask",
    "style": NATURAL,
    "workload": NATURAL,
    "parameters": "",
}


@pytest.mark.parametrize(
    ("choices", "target"),
    [
        (("flask", NATURAL, NATURAL, "", "sleep"), "/sync/sleep"),
        (("fastapi", NATURAL, NATURAL, "", "burn"), "/async/burn"),
        (("fastapi", "blocked", "sleep", " ms=5 ", "ping"), "/blocked/sleep?ms=5"),
        (("fastapi", "sync", "burn", "rounds=3&kind=hash", "sleep"), "/sync/burn?rounds=3&kind=hash"),
        (("fastapi", NATURAL, "httpx-await", "", "sleep"), "/sample/httpx-await"),
        (("django-wsgi", NATURAL, NATURAL, "", "sleep"), "/sync/sleep"),
        (("django-asgi", "bridged", "sleep", "sensitive=0", "ping"), "/bridged/sleep?sensitive=0"),
    ],
)
def test_choices_left_open_become_natural_ones(choices: tuple[str, str, str, str, str], target: str) -> None:
    request = resolve(*choices)
    assert request.target == target
    assert request.name == f"{choices[0]} {target.partition('?')[0]}"


def test_every_offered_endpoint_can_be_chosen() -> None:
    for service in SERVICES:
        for endpoint in offered(service).values():
            assert resolve(service, endpoint.style, endpoint.workload, "", "ping").target == endpoint.path


def test_the_websocket_has_a_path_of_its_own() -> None:
    request = resolve("fastapi", NATURAL, NATURAL, "", "ws")
    assert (request.target, request.name) == ("/ws", "fastapi /async/ws")
    assert read_name(request.name) == ("fastapi", "async", "ws")
    assert resolve("fastapi", NATURAL, NATURAL, "items=3", "sse").target == "/async/sse?items=3"


@pytest.mark.parametrize(
    ("own_workload", "change", "says"),
    [
        ("ws", {}, "WSGI hands over one request"),
        ("ws", {"service": "fastapi", "style": "sync"}, "/ws has no style"),
        ("ws", {"service": "fastapi", "parameters": "ms=1"}, "no parameters"),
        ("ws", {"service": "fastapi", "workload": "sleep"}, "It does ws and nothing else"),
        ("sse", {"workload": "stream"}, "It does sse and nothing else"),
        ("sse", {"parameters": "items=0"}, "from 1 to 1000"),
    ],
)
def test_a_user_who_can_do_one_thing_is_refused_another(own_workload: str, change: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        check(OPTIONS | change, {"One": own_workload}, ADDRESSES)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"style": "offload"}, "Flask has no event loop"),
        ({"workload": "depends"}, "Flask has no dependency injection"),
        ({"service": "fastapi", "style": "sample"}, "There is no such path"),
        ({"parameters": "ms=10001"}, "from 0 to 10000"),
        ({"parameters": "ms=-1"}, "from 0 to 10000"),
        ({"parameters": "ms=1&ms=2"}, "more than once"),
        ({"parameters": "rounds=1"}, "takes ms"),
        ({"parameters": "ms=\udcff"}, "from 0 to 10000"),
        ({"num_users": MOST_USERS + 1}, f"0 to {MOST_USERS}"),
        ({"num_users": -1}, f"0 to {MOST_USERS}"),
        ({"host": "http://example.com"}, "not one of the lab's own services"),
        ({"host": "http://127.0.0.1:1@example.com"}, "not one of the lab's own services"),
        ({"host": ADDRESSES["fastapi"]}, "the service chosen is flask"),
    ],
)
def test_a_load_that_cannot_be_is_refused_with_what_can(change: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        check(OPTIONS | change, {"IoBound": "sleep"}, ADDRESSES)


def test_parameters_must_fit_every_user_class() -> None:
    check(OPTIONS | {"parameters": "ms=5", "host": ADDRESSES["flask"]}, {"IoBound": "sleep"}, ADDRESSES)
    with pytest.raises(Refused, match="CpuBound cannot start"):
        check(OPTIONS | {"parameters": "ms=5"}, {"IoBound": "sleep", "CpuBound": "burn"}, ADDRESSES)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("service", ["", "django", "Flask"]),
        ("style", ["Sync", "sync "]),
        ("think_time_ms", ["", "-1", "1.5", "1_0", "+1", "١", "600001", "nan"]),
        ("shape_users", ["0", "10001"]),
        ("shape_seconds", ["0", "9" * 5000]),
    ],
)
def test_an_argument_outside_its_choices_is_refused(name: str, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(Refused, match=name):
            arguments(ADDRESSES, ())[name].read(text)


@pytest.mark.parametrize(
    "settings",
    [
        [],
        {"user_class_name": "Nobody"},
        {"user_class_name": "IoBound", "host": "http://example.com"},
        {"user_class_name": "IoBound", "host": 5},
        {"user_class_name": "IoBound", "addresses": {"flask": "http://example.com"}},
        {"user_class_name": "IoBound", "network_timeout": 0},
        {"user_class_name": "IoBound", "weight": -1},
        {"user_class_name": "IoBound", "fixed_count": 10**9},
        {"user_class_name": "IoBound", "tasks": []},
    ],
)
def test_only_the_dialogues_own_settings_of_a_user_class_pass(settings: Any) -> None:
    with pytest.raises(Refused):
        check_user_settings(settings, {"IoBound"}, ADDRESSES)


def test_the_dialogues_own_settings_pass() -> None:
    page = {"user_class_name": "IoBound", "host": "", "weight": 2, "fixed_count": 0, "tasks": ["send"]}
    check_user_settings(page, {"IoBound"}, ADDRESSES)
    check_user_settings(page | {"host": ADDRESSES["flask"]}, {"IoBound"}, ADDRESSES)


def test_addresses_come_from_the_environment_or_the_contract() -> None:
    assert read_addresses(None) == {
        "flask": "http://127.0.0.1:8001",
        "fastapi": "http://127.0.0.1:8002",
        "django-wsgi": "http://127.0.0.1:8003",
        "django-asgi": "http://127.0.0.1:8004",
    }
    assert read_addresses('{"fastapi": "http://10.0.0.1:80/", "upstream": "x"}') == {"fastapi": "http://10.0.0.1:80"}
    assert read_addresses('{"flask": "http://flask:8001"}') == {"flask": "http://flask:8001"}
    assert read_addresses('{"flask": "http://[::1]:8001"}') == {"flask": "http://[::1]:8001"}
    for wrong in ("{", "[]", "3", '{"upstream": "http://a"}', '{"flask": 8001}'):
        with pytest.raises(Refused, match="LAB_SERVICES"):
            read_addresses(wrong)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a",
        "http://",
        "flask:8001",
        "http://a:99999",
        "http://a:0",
        "http://user@a",
        "http://a/path",
        "http://a?x",
    ],
)
def test_an_address_of_a_service_is_scheme_host_and_port_and_no_more(url: str) -> None:
    with pytest.raises(Refused, match="LAB_SERVICES"):
        read_addresses(json.dumps({"flask": url}))


@pytest.mark.parametrize(
    "host", ["http://flask:8002", "http://evil:8001", "http://10.0.0.1:8001", "http://flask:8001/x"]
)
def test_a_service_that_is_named_by_the_lab_opens_no_other_host(host: str) -> None:
    addresses = read_addresses('{"flask": "http://flask:8001"}')
    check(OPTIONS | {"host": "http://flask:8001/"}, {"IoBound": "sleep"}, addresses)
    with pytest.raises(Refused, match="not one of the lab's own services"):
        check(OPTIONS | {"host": host}, {"IoBound": "sleep"}, addresses)


def test_where_a_locust_process_is_found_is_loopback_or_a_name_of_its_own() -> None:
    assert read_site(None).host == read_site("").host == read_site("loopback").bind == "127.0.0.1"
    name = socket.gethostname()
    assert (read_site("hostname").bind, read_site("hostname").host) == ("0.0.0.0", name)
    with pytest.raises(Refused, match=r"LAB_ANNOUNCE is '10\.0\.0\.1'\. It must be one of loopback, hostname"):
        read_site("10.0.0.1")


def test_the_name_of_a_request_can_be_read_back() -> None:
    assert read_name("fastapi /sample/httpx-await") == ("fastapi", "sample", "httpx-await")
    assert read_name("flask /sync/sleep?ms=200") == ("flask", "sync", "sleep")
    assert read_name("django-asgi /bridged/sleep") == ("django-asgi", "bridged", "sleep")
    assert read_name("/login") is None
