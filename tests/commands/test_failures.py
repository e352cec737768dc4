"""An expected fault of a command is a message and an exit code, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(sys.executable).with_name("lab")


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_a_folder_that_cannot_be_is_named(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "LAB_HOME": str(tmp_path / "file/lab"), "RUNTIME": "local"}
    done = subprocess.run([LAB, command], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 122
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr
