"""A mix of requests goes over the wire as asked, each as often as its weight says; and no load leaves its fence."""

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from locustfiles.mix import Asked, Turn, turns
from waitlab.errors import LabError
from waitlab.target import address

PROJECT = Path(__file__).resolve().parents[2]


def taken(count: int, *mix: Asked) -> list[Turn]:
    return list(itertools.islice(turns(mix, "shop:80"), count))


def test_after_any_number_of_turns_each_has_gone_as_often_as_its_weight_says_within_one() -> None:
    mix = [Asked("GET", "/a", 3), Asked("GET", "/b", 1), Asked("GET", "/c", 0.5)]
    found = taken(900, *mix)
    for count in (1, 7, 10, 100, 899, 900):
        counted = Counter(turn.name for turn in found[:count])
        assert all(abs(counted[one.path] - count * one.weight / 4.5) <= 1 for one in mix)


def test_a_request_says_what_it_is_asked_to_say() -> None:
    (turn,) = taken(1, Asked("POST", "/orders?a=1", 1, {"Authorization": "Bearer secret"}, '{"café": 1}'))
    assert turn.name == "POST /orders?a=1"
    assert turn.head == (
        "POST /orders?a=1 HTTP/1.1\r\nHost: shop:80\r\nAuthorization: Bearer secret\r\nContent-Length: 12\r\n"
    )
    assert turn.body == '{"café": 1}'.encode()
    assert taken(1, Asked("GET", "/"))[0] == Turn("/", "GET", "GET / HTTP/1.1\r\nHost: shop:80\r\n", b"")
    assert taken(1, Asked("GET", "/", headers={"host": "other"}))[0].head == "GET / HTTP/1.1\r\nhost: other\r\n"
    assert "Content-Length: 0" in taken(1, Asked("POST", "/"))[0].head


@pytest.mark.parametrize("url", ["http://127.0.0.1:80", "http://127.9.9.9", "http://[::1]:80", "http://localhost"])
def test_this_machine_may_be_loaded(url: str) -> None:
    assert address.beyond(url, ()) == ()


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1",
        "http://0.0.0.0",
        "http://[2001:db8::1]:80",
        "http://[::]",
        "http://3221225985",
        "http://0xc0000201",
        "http://[::ffff:192.0.2.1]",
        "http://127.0.0.1@192.0.2.1",
        "http://192.0.2.1.",
    ],
)
def test_no_other_machine_is_loaded_unless_it_is_named(url: str) -> None:
    with pytest.raises(LabError) as fault:
        address.beyond(url, ("orders.internal", "127.0.0.1"))
    assert fault.value.code in (2, 122)


def test_a_machine_that_is_named_may_be_loaded() -> None:
    assert address.beyond("http://192.0.2.1:9000", ("192.0.2.1",)) == ("192.0.2.1",)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("socket.create_connection(('127.0.0.1', 9), timeout=1)", 1),  # refused, and so not fenced
        ("socket.create_connection(('192.0.2.1', 9), timeout=1)", 77),
        ("gevent.socket.create_connection(('192.0.2.1', 9), timeout=1)", 77),
        ("urllib.request.urlopen('http://192.0.2.1:9')", 77),
        ("socket.socket(socket.AF_UNIX).connect('/nowhere')", 1),
    ],
)
def test_a_generator_cannot_connect_beyond_its_fence(code: str, status: int) -> None:
    program = "import socket, urllib.request, gevent.socket\nfrom locustfiles import fence\n"
    program += f"fence.install(['192.0.2.9'])\n{code}"
    ended = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ended.returncode == status
    assert ("may not be loaded" in ended.stderr) == (status == 77)
