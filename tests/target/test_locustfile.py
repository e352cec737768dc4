"""A user's own locustfile drives the load, as it is; what Locust tells of it is the recording."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.target.conftest import GUNICORN, written
from waitlab.errors import LabError
from waitlab.target import Setting, Target, read, rig

USERS = """
from helpers_of_mine import PATH
from locust import FastHttpUser, HttpUser, LoadTestShape, between, constant, events, task


class Buyer(HttpUser):
    wait_time = constant(0.05)

    @task
    def buy(self):
        with self.client.get("/broken", catch_response=True) as answer:
            answer.success()
        self.client.get(PATH)


class Reader(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def read(self):
        self.client.get(PATH)


class Tide(LoadTestShape):
    def tick(self):
        return (1, 1)
"""


def target(shop: Path, text: str) -> Target:
    (shop / "load").mkdir()
    (shop / "load" / "locustfile.py").write_text(text)
    (shop / "load" / "helpers_of_mine.py").write_text('PATH = "/orders"')
    (shop / "load" / "locust.conf").write_text("users = 1\nrun-time = 1s\n")
    (shop / "load" / "locustfiles").mkdir()  # a package of theirs is none of ours
    (shop / "load" / "locustfiles" / "__init__.py").write_text("")
    command = f"{GUNICORN} --threads {{threads}}"
    service = f"[service]\ncommand = '{command}'\nlocustfile = \"load/locustfile.py\"\n"
    return read(written(shop, f"{service}[choices]\nthreads = 8\n"))


def test_users_of_a_locustfile_are_recorded_as_locust_tells_of_them(shop: Path, environment: Mapping[str, str]) -> None:
    with rig(target(shop, USERS), 1, (), environment) as placed, placed.serve(Setting(0, threads=8)) as service:
        found = service.measure(users=4, seconds=2)
        with pytest.raises(LabError) as fault:
            service.measure(rate=10, seconds=1)
    assert "who come at no rate" in fault.value.message
    # Two buyers take 50 + 50 ms for two requests, two readers 50 + 50 ms for one; each a little more.
    assert 15 < found.throughput_rps <= 1.1 * (2 * 20 + 2 * 10)
    assert found.error_ratio == 0  # a task may call a 500 a success
    assert found.p95_ms > 45


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("class Nothing: ...\n", "No User class found"),
        (USERS.replace("self.client.get(PATH)", 'self.client.get("http://192.0.2.1/")'), "may not be loaded"),
        (USERS.replace("PATH)", '"/account")'), "answers under load are 401"),
    ],
)
def test_a_locustfile_that_cannot_be_driven_is_named_with_the_reason(
    shop: Path, environment: Mapping[str, str], text: str, message: str
) -> None:
    with (
        rig(target(shop, text), 1, (), environment) as placed,
        placed.serve(Setting(0, threads=8)) as service,
        pytest.raises(LabError) as fault,
    ):
        service.measure(users=2, seconds=1)
    assert message in fault.value.message
