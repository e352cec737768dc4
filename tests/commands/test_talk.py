"""docs/talk.md: five demonstrations that fit into ten minutes, every command of which is one that works as printed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import blocks
from waitlab import experiment, forecast
from waitlab.catalogue import recordings

PROJECT = Path(__file__).resolve().parents[2]
TALK = (PROJECT / "docs/talk.md").read_text()
COMMANDS = re.findall(r"^(\S.*)$", "".join(blocks(TALK, "console")), re.M)
ROWS = re.findall(r"^\| (\d+:\d\d) \| (\d+:\d\d) \| .*? \| `(.*?)` \|", TALK, re.MULTILINE)
ENDS = {  # without a lab: what a command must come to
    "status": "the lab is not up",
    "scale": "the lab is not up",
    "panels": "written: waitlab-panels.html",
}
CPU_TOO_SLOW = 1.4  # a run takes longer on two shared cores than the forecast says


def seconds(clock: str) -> int:
    minutes, rest = clock.split(":")
    return 60 * int(minutes) + int(rest)


def of(verb: str) -> list[list[str]]:
    return [words[2:] for words in map(str.split, COMMANDS) if words[:2] == ["./lab", verb]]


def lab(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "PYTHONPATH": str(PROJECT), "RUNTIME": "local", "LAB_HOME": str(folder / "lab")}
    command = [sys.executable, "-m", "waitlab.cli", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_five_demonstrations_follow_one_another_within_ten_minutes() -> None:
    assert len(ROWS) == 5
    ends = [seconds(begins) + seconds(takes) for begins, takes, _ in ROWS]
    assert [seconds(begins) for begins, _, _ in ROWS] == [0, *ends[:-1]]
    assert ends[-1] <= 600
    assert [command in COMMANDS for _, _, command in ROWS] == [True] * 5
    assert len(re.findall(r"^## \d\. ", TALK, re.MULTILINE)) == 5


def test_every_demonstration_has_something_to_say_and_a_recorded_run() -> None:
    for part in re.split(r"^## \d\. ", TALK, flags=re.MULTILINE)[1:]:
        assert re.search(r'^> ".+"$', part, re.MULTILINE)
        assert f"./lab report {recordings.SHOWN}/" in part


def test_what_is_run_live_has_the_time_it_needs() -> None:
    slots = {command: seconds(takes) for _, takes, command in ROWS}
    for (name,) in of("run"):
        asked = experiment.read(experiment.find(name))
        assert forecast.run_s(asked, forecast.CORES) * CPU_TOO_SLOW <= slots[f"./lab run {name}"]


@pytest.mark.parametrize("words", [words for words in map(str.split, COMMANDS) if words[0] == "make"], ids=" ".join)
def test_its_make_targets_lead_to_the_lab(words: list[str]) -> None:
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", *words[1:]], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"./lab {words[1]}"  # which tests/commands/test_demo.py runs


@pytest.mark.parametrize("words", of("plan"), ids=" ".join)
def test_its_plans_are_printed(tmp_path: Path, words: list[str]) -> None:
    done = lab(tmp_path, "plan", *words)
    assert done.returncode == 0, done.stderr
    assert "Nothing was run" in " ".join(done.stdout.split())


@pytest.mark.parametrize("words", of("report"), ids=" ".join)
def test_its_recorded_runs_are_shown_as_printed(tmp_path: Path, words: list[str]) -> None:
    asked = experiment.read(experiment.find(Path(words[0]).stem))
    shutil.copytree(PROJECT / recordings.SHOWN, tmp_path / recordings.SHOWN)
    done = lab(tmp_path, "report", *words)
    assert done.returncode == 0, done.stderr
    assert asked.question in " ".join(done.stdout.split())
    assert (tmp_path / words[0]).with_suffix(".html").exists()


@pytest.mark.parametrize("verb", ENDS)
def test_its_commands_about_a_lab_are_understood(tmp_path: Path, verb: str) -> None:
    assert of(verb)
    for words in of(verb):
        done = lab(tmp_path, verb, *words)
        assert ENDS[verb] in done.stdout + done.stderr


def test_it_has_no_command_that_is_not_tested() -> None:
    tested = {"report", "plan", "run", *ENDS}
    assert {words[0] if words[0] == "make" else words[1] for words in map(str.split, COMMANDS)} <= {"make", *tested}
