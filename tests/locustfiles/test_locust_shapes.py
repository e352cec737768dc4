"""Shapes change the users by themselves and end by themselves; their seconds are made few here."""

import re
import time

from locust_runs import Starter

from tests.waiting import wait_for

TICK = re.compile(r"Shape test updating to (\d+) users")
START_SECONDS = 10.0  # of Locust itself, on a busy machine


def test_each_shape_owns_its_users_and_its_length(locust: Starter) -> None:
    sizes = ("--shape-users", "12", "--shape-seconds", "3", "--shape-steps", "3", "--shape-low-users", "2")
    began = time.monotonic()
    runs = {
        shape: locust.headless("--shape", shape, *sizes, "--parameters", "ms=1", "--think-time-ms", "100", "IoBound")
        for shape in ("Steady", "Ramp", "Steps", "Spike")
    }
    assert [run.wait() for run in runs.values()] == [0, 0, 0, 0]
    assert 3 <= time.monotonic() - began < 3 + START_SECONDS
    users = {shape: [int(count) for count in TICK.findall(run.output)] for shape, run in runs.items()}
    assert users["Steady"] == [12]
    assert users["Steps"] == [4, 8, 12]
    assert users["Spike"] == [2, 12, 2]
    assert users["Ramp"][0] == 1
    assert users["Ramp"] == sorted(users["Ramp"])
    assert 8 <= users["Ramp"][-1] <= 12


def test_the_class_picker_starts_a_shape_and_plain_users_after_it(locust: Starter) -> None:
    run = locust.with_ui()
    sizes = {"shape_users": 3, "shape_seconds": 1}
    assert "'Steady'" in run.swarm(shape_class="Steady", user_count=0, **sizes)["message"]
    wait_for(lambda: run.stats()["user_count"] == 3, "the shape's users")
    wait_for(lambda: run.stats()["state"] == "stopped", "the shape's end")
    assert run.swarm(shape_class="Default", user_count=5, spawn_rate=5)["message"] == "Swarming started"
    wait_for(lambda: run.stats()["user_count"] == 5, "plain users")
