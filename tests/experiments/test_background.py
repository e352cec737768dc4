"""A mix of requests: what a file may say of it, what a plan makes of it, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from waitlab import forecast
from waitlab.drive import command
from waitlab.errors import LabError
from waitlab.experiment import Experiment, read
from waitlab.report import arms as words

MIX = """
title = "A title"
question = "A question?"

[load]
users = 3
think_ms = 100
background_users = 2

[arms.alone]
service = "fastapi"
request = "/async/sleep?ms=100"

[arms.mixed]
service = "fastapi"
request = "/async/sleep?ms=100"
background = ["/sync/sleep?ms=2500", "/offload/burn?rounds=5"]

[[predictions]]
says = "It feels nothing of the others."
arm = "mixed"
quantity = "p50_ms"
at_most = { arm = "alone", times = 1.1 }
"""
HELD = 'client = "idle"\nvictim = "/async/ping"\nbackground ='


def asked(folder: Path, text: str = MIX) -> Experiment:
    file = folder / "mix.toml"
    file.write_text(text)
    return read(file)


def test_arms_may_differ_in_what_runs_beside_them(tmp_path: Path) -> None:
    alone, mixed = asked(tmp_path).arms
    assert (alone.name, mixed.name) == ("alone", "mixed")  # a mix is one load: its list does not expand
    assert alone.load.population == 3
    assert mixed.load.population == 3 + 2 * 2
    assert alone.requests == (alone.request,) == mixed.requests[:1]
    assert mixed.requests[1:] == ("/sync/sleep?ms=2500", "/offload/burn?rounds=5") == mixed.load.background
    assert [(one.request, one.load.users, one.load.think_ms) for one in mixed.background] == [
        ("/sync/sleep?ms=2500", 2, 100),
        ("/offload/burn?rounds=5", 2, 100),
    ]


def test_an_arm_may_take_back_what_all_have_in_the_background(tmp_path: Path) -> None:
    shared = MIX.replace("[load]", '[load]\nbackground = ["/sync/sleep?ms=20"]')
    alone, mixed = asked(tmp_path, shared.replace("[arms.alone]", "[arms.alone]\nbackground = []")).arms
    assert (alone.background, len(mixed.background)) == ((), 2)


def test_the_plan_waits_for_the_last_answer_of_the_background_too(tmp_path: Path) -> None:
    alone, mixed = asked(tmp_path).arms
    more = forecast.turn_s((mixed,), 1.0) - forecast.turn_s((alone,), 1.0)
    assert more == pytest.approx(2.5 - 0.1)


def test_the_load_is_told_and_can_be_typed_with_its_background(tmp_path: Path) -> None:
    alone, mixed = asked(tmp_path).arms
    shown = command("http://127.0.0.1:8002", mixed.request, mixed.load)
    assert "-u 4 -r 4 " in shown
    assert "--background '/sync/sleep?ms=2500 /offload/burn?rounds=5' --background-users 2 " in shown
    assert shown.endswith(" Visitor Background")
    assert "ackground" not in command("http://127.0.0.1:8002", alone.request, alone.load)
    assert ", beside 2 users each at /sync/sleep?ms=2500 and /offload/burn?rounds=5" in words.load(mixed.load)
    assert "beside" not in words.load(replace(mixed.load, background=()))


@pytest.mark.parametrize(
    ("old", "new", "message", "remedy"),
    [
        ('["/sync/sleep?ms=2500", ', '["no path", ', "arms.mixed.background = ['no path'", "at most 4 different paths"),
        ('["/sync/sleep?ms=2500", "/offload/burn?rounds=5"]', '"/sync/ping"', "background = '/sync/ping'", "a list of"),
        ("/sync/sleep?ms=2500", "/offload/burn?rounds=5", "is not allowed", "different paths"),
        ("/sync/sleep?ms=2500", "/sync/slep?ms=2500", "arms.mixed.background is not known", "/sync/sleep"),
        ("/sync/sleep?ms=2500", "/sync/sleep?s=2500", "arms.mixed.background is not known", "ms"),
        ("/sync/sleep?ms=2500", "/async/sleep?ms=50", "has the path of the request that is measured", "by style and"),
        ("/sync/sleep?ms=2500", "/ws", "is a WebSocket", "by style and workload"),
        ("background_users = 2", "", "arms.mixed.background has no users", "background_users"),
        ("background_users = 2", "background_users = 0", "load.background_users = 0", "from 1 to 1000"),
        ("[arms.alone]", "[arms.alone]\nbackground_users = 3", "background_users has no background", "say which"),
        ("background =", HELD, "background needs a load of requests", "no client that holds"),
        ("background =", "concurrent = 2\nbackground =", "background needs a load of requests", "users or a rate"),
        ("background =", "duet = true\nbackground =", "arms has 1 arm in duet", "2 to 4"),
        ('at_most = { arm = "alone", times = 1.1 }', 'law = "response_time"\nwithin = 0.1', "of 'mixed'", "alone"),
    ],
)
def test_a_fault_of_a_mix_is_named(tmp_path: Path, old: str, new: str, message: str, remedy: str) -> None:
    assert old in MIX
    with pytest.raises(LabError) as fault:
        asked(tmp_path, MIX.replace("think_ms = 100\n", "").replace(old, new, 1))
    assert message in fault.value.message
    assert remedy in str(fault.value.remedy)


def test_what_shares_a_core_in_duet_has_nothing_beside_it(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"arms\.mixed\.background does not go with duet"):
        asked(tmp_path, MIX.replace("[load]", "[load]\nduet = true"))
