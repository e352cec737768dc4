"""The verbs about experiments, called as a person calls them."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from waitlab import cli, experiment

Called = subprocess.CompletedProcess[str]


def lab(*words: str | Path, **environment: str) -> Called:
    """Call the verb here, without the half second that a process takes to start."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment_of(environment), clear=True),
        mock.patch.object(sys, "argv", ["lab", *map(str, words)]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        cli.main()
    return Called(sys.argv, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def started(*words: str | Path, seconds: float = 60, **environment: str) -> Called:
    """Call the verb as a person does, in a process of its own."""
    command = [sys.executable, "-m", "waitlab.cli", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds, env=environment_of(environment)
    )


def environment_of(given: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("RUNTIME", "LAB_INSIDE", "LAB_RESULTS")}
    return {**kept, **given}


def answer(*words: str | Path) -> Any:
    called = lab(*words, "--json")
    assert called.returncode in (0, 120), called.stderr
    return json.loads(called.stdout)


def refused(code: int, *words: str | Path, **environment: str) -> str:
    called = lab(*words, **environment)
    assert called.returncode == code, called.stderr
    assert called.stderr.strip()
    return called.stderr


C02_TRIALS = sum(arm.load.repeats for arm in experiment.read(experiment.find("c02")).arms)
