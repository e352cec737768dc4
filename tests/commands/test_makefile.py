"""`make` alone explains itself, and a machine that lacks something is told so at once."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def make(*words: str, folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-C", str(folder), *words]
    environment = {**os.environ, "RUNTIME": "local"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def bare_clone(tmp_path: Path) -> Path:
    """What a clone holds of that which `make` reads, with nothing installed."""
    folder = tmp_path / "a clone"
    shutil.copytree(PROJECT / "requirements", folder / "requirements")
    for name in ("Makefile", "pyproject.toml", "lab"):
        shutil.copy(PROJECT / name, folder)
    return folder


def python_that_lacks(word: str, folder: Path) -> Path:
    """A Python that fails where its command names `word`, and otherwise says nothing."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\ncase "$*" in *{word}*) exit 1;; esac\n')
    program.chmod(0o755)
    return program


def test_make_alone_prints_every_target() -> None:
    printed = make().stdout
    for target in ("lab-up", "lab-down", "demo", "load", "scale", "status", "test", "check", "bench", "help"):
        assert f"make {target} " in printed


def test_scale_says_what_it_needs() -> None:
    refused = make("scale", "SERVICE=flask")
    assert refused.returncode == 2
    assert "make scale SERVICE=flask WORKERS=4" in refused.stderr


@pytest.mark.parametrize(
    ("lacks", "package"), [("version_info", "Python 3.11"), ("ensurepip", "python3-venv")], ids=["python", "venv"]
)
def test_a_missing_python_or_venv_is_named_before_anything_is_made(
    bare_clone: Path, tmp_path: Path, lacks: str, package: str
) -> None:
    refused = make("lab-up", f"PYTHON={python_that_lacks(lacks, tmp_path)}", folder=bare_clone)
    assert refused.returncode != 0
    assert package in refused.stderr
    assert not (bare_clone / ".venv").exists()
