"""`lab compare` warns of what differs between two runs besides what they measured, in words and in JSON."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.verdicts import made
from waitlab import results
from waitlab.verbs import past

QUESTION = """
title = "Made up"
question = "Is it the same?"

[load]
users = 20
repeats = 5

[arms.sync]
service = "flask"
request = "/sync/sleep?ms=200"

[[predictions]]
says = "It is as fast."
arm = "sync"
quantity = "throughput_rps"
at_least = 1
"""
MACHINE: dict[str, Any] = {
    "kernel": "6.1",
    "python": "3.13.5",
    "cores": 4,
    "usable_cores": 4,
    "cgroup_cpus": None,
    "memory_bytes": 8_000_000_000,
    "steal_ratio": 0.001,
    "versions": {"flask": "3.1.3", "gunicorn": "27.0.1"},
}


def written(root: Path, hour: int, machine: dict[str, Any], code: str = "c1") -> str:
    folder = results.create(root, "mine", f"2026-11-21T{hour}-00-00", QUESTION, machine)
    for repeat in range(1, 6):
        trial = made.trial(9.8 + 0.02 * repeat, repeat=repeat)
        results.append(folder, replace(trial, identity=({**made.IDENTITY, "code": code},) * 3))
    return folder.name


def notes(root: Path, before: str, after: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """As JSON has them, and as the terminal says them too."""
    past.compare(root, before, after, (), as_json=True)
    found: list[str] = json.loads(capsys.readouterr().out)["notes"]
    past.compare(root, before, after, (), as_json=False)
    told = " ".join(capsys.readouterr().out.split())
    assert all(f"Mind: {note}" in told for note in found)
    assert told.count("Mind:") == len(found)
    return found


def test_the_same_machine_and_code_need_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = MACHINE | {"steal_ratio": 0.09}  # that is noise, which rules judge trial by trial
    assert notes(tmp_path, written(tmp_path, 10, MACHINE), written(tmp_path, 11, again), capsys) == []


@pytest.mark.parametrize(
    ("machine", "code", "says"),
    [
        ({"kernel": "6.12", "cores": 2}, "c1", "the machines differ: kernel 6.1 and 6.12, cores 4 and 2"),
        ({"cgroup_cpus": 1.5}, "c1", "the machines differ: cgroup_cpus None and 1.5"),
        (
            {"versions": {"flask": "3.2.0", "gunicorn": "27.0.1"}},
            "c1",
            "package versions differ: flask 3.1.3 and 3.2.0",
        ),
        (
            {"versions": {"flask": "3.1.3", "gunicorn": "27.0.1", "uvloop": "0.23.0"}},
            "c1",
            "package versions differ: uvloop unknown and 0.23.0",
        ),
        (
            {"versions": "none of it"},
            "c1",
            "package versions differ: flask 3.1.3 and unknown, gunicorn 27.0.1 and unknown",
        ),
        ({}, "c2", "the code of what was measured differs: sync"),
    ],
)
def test_what_differs_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], machine: dict[str, Any], code: str, says: str
) -> None:
    before, after = written(tmp_path, 10, MACHINE), written(tmp_path, 11, MACHINE | machine, code)
    assert notes(tmp_path, before, after, capsys) == [says]
