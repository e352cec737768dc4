"""The demonstration ends as the essays say: blocked 2 s and 4 s, awaited 2 s and 2 s, in threads 2 s and 2 s."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from waitlab import demo

LAB = Path(sys.executable).with_name("lab")


def race(style: str, *finished: float | None) -> demo.Race:
    arm = next(arm for arm in demo.ARMS if arm.style == style)
    return demo.Race(arm, 0, [demo.Request(seconds) for seconds in finished])


def bars(drawn: object) -> list[str]:
    return [line.plain for line in drawn.renderables[1:-1]]  # type: ignore[attr-defined]


def test_a_finished_bar_shows_the_wait_for_the_loop_before_the_two_seconds() -> None:
    first, second = bars(demo.draw(race("blocked", 4.02, 2.01), now=5.0))
    assert (first.count("░"), first.count("█")) == (0, 20)
    assert (second.count("░"), second.count("█")) == (20, 20)
    assert first.endswith("2.0 s")
    assert second.endswith("4.0 s")


def test_a_picture_loads_nothing_from_elsewhere() -> None:
    picture = demo._picture([race("blocked", 2.01, 4.02)])
    assert "2.0&#160;s" in picture
    assert set(re.findall(r"https?://[^\"' )]+", picture)) <= {
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",
    }
    assert "font-face" not in picture


def test_a_bar_grows_while_its_request_is_under_way() -> None:
    (line,) = bars(demo.draw(race("async", None), now=1.0))
    assert line.count("█") == 10
    assert "s" not in line.removeprefix("  request 1")


def test_real_requests_finish_as_they_should() -> None:
    """Also where the shell has settings of its own that the service would read."""
    exported = {"HOST": "192.0.2.1", "DATABASE_URL": "postgresql://lab@192.0.2.1/lab", "WORKER_CLASS": "sync"}
    environment = {**os.environ, **exported}
    done = subprocess.run(
        [LAB, "demo", "--json"], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    arms = json.loads(done.stdout.splitlines()[-1])
    blocked, awaited, threads = (sorted(arms[style]["seconds"]) for style in ("blocked", "async", "sync"))
    assert blocked == [pytest.approx(2, abs=0.5), pytest.approx(4, abs=0.8)]
    assert awaited == [pytest.approx(2, abs=0.5)] * 2
    assert threads == [pytest.approx(2, abs=0.5)] * 2
