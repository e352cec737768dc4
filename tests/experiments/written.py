"""A good experiment, and what a changed one becomes: the question it asks, or the fault that is named."""

from pathlib import Path

import pytest

from waitlab.errors import LabError
from waitlab.experiment import Experiment, read

GOOD = """
title = "A title"
question = "A question?"
settles = ["C02"]

[load]
users = 20
repeats = 5

[arms.sync]
service = "flask"
request = "/sync/sleep?ms=200"
workers = [1, 2]

[arms.async]
service = "fastapi"
request = "/async/sleep?ms=200"
workers = [1, 2]

[[predictions]]
says = "It is so."
arm = "sync"
quantity = "throughput_rps"
law = "concurrency_limit"
within = 0.10
"""
PREDICTION = GOOD[GOOD.index("[[predictions]]") :]


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def asked(folder: Path, text: str) -> Experiment:
    return read(written(folder, text))


def refused(path: Path) -> LabError:
    with pytest.raises(LabError) as fault:
        read(path)
    assert fault.value.code == 2
    assert str(path) in fault.value.message
    return fault.value


def bounded(bound: str, arm: str = "sync") -> str:
    return GOOD.replace('law = "concurrency_limit"\nwithin = 0.10', bound).replace('arm = "sync"', f'arm = "{arm}"')
