"""The user's own interpreter: which it is, and what it has that a service measured from outside needs."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waitlab.errors import LabError

OLDEST = (3, 11)
_SECONDS = 30
_PROGRAM = """
import json, sys
from importlib.util import find_spec
def has(name):
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
found = {"version": sys.version_info[:2], "fault": ""}
found.update({name: has(name) for name in sys.argv[2:]})
if sys.version_info[:2] >= (3, 11):
    try:
        from waitlab.telemetry import isolated, outside
        isolated.load(sys.argv[1])
    except Exception as error:
        found["fault"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""
_SDK = "opentelemetry.sdk.trace"
_OTLP, _FILE = "opentelemetry.exporter.otlp.proto.http", "opentelemetry.exporter.otlp.json.file"
_DISTRIBUTIONS = {
    _SDK: "opentelemetry-sdk",
    _OTLP: "opentelemetry-exporter-otlp-proto-http",
    _FILE: "opentelemetry-exporter-otlp-json-file",
}


@dataclass(frozen=True)
class Interpreter:
    """A Python that can run the server, measured; `no_traces` says what it lacks to record traces, "" for nothing."""

    python: Path
    version: str
    no_traces: str


def chosen(given: Path | None, environment: Mapping[str, str]) -> Path:
    """The user's interpreter: the given one (or a virtual environment's folder), else the active environment's."""
    folder = environment.get("VIRTUAL_ENV")
    if given is None and not folder:
        raise LabError(
            "no virtual environment is active, so which Python runs the application is not known",
            "activate the application's own, or name its interpreter: --python .venv/bin/python",
            2,
        )
    named = given or Path(str(folder))
    python = named / "bin/python" if named.is_dir() else named
    if not python.is_file():
        raise LabError(f"{python} is no file", "name the interpreter itself: --python .venv/bin/python", 2)
    return python.absolute()  # not resolved: an environment's interpreter is a link, and the link says which


def examine(
    python: Path, server: str, prometheus: Path, environment: Mapping[str, str], endpoint: str | None
) -> Interpreter:
    """Ask it, in the environment that the server will have. LabError when it cannot run that server, or is too old."""
    exporter = _OTLP if endpoint else _FILE
    found = _answer(python, [str(prometheus), server, _SDK, exporter], environment)
    version = ".".join(map(str, found["version"]))
    if tuple(found["version"]) < OLDEST:
        raise LabError(
            f"{python} is Python {version}", f"the telemetry needs {'.'.join(map(str, OLDEST))} or newer", 122
        )
    if not found[server]:
        raise LabError(f"{python} has no {server}", f"install it there: {python} -m pip install {server}", 122)
    if found["fault"]:
        raise LabError(
            f"{python} cannot import the telemetry: {found['fault']}", "serve it without: its own server", 122
        )
    lacking = " and ".join(_DISTRIBUTIONS[name] for name in (_SDK, exporter) if not found[name])
    return Interpreter(python, version, lacking)


def _answer(python: Path, words: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    command = [str(python), "-c", _PROGRAM, *words]
    try:
        asked = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        return dict(json.loads(asked.stdout.strip().splitlines()[-1]))
    except OSError as error:
        reason = error.strerror or str(error)
    except subprocess.TimeoutExpired:
        reason = f"it does not answer within {_SECONDS} s"
    except (ValueError, IndexError):
        reason = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
    raise LabError(f"{python} is no Python that works here: {reason}", "name another: --python PATH", 2)
