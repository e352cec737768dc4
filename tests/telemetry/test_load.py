"""What is imported before a fork: everything that a worker's telemetry needs, and nothing that runs."""

import subprocess
import sys

import pytest

from waitlab.telemetry import EXPORTER_TO_ENDPOINT, EXPORTER_TO_FILE

LOAD = """
import sys, threading
from waitlab import telemetry
telemetry.load({traces}, {endpoint})
assert threading.active_count() == 1, threading.enumerate()
print(*sorted(name for name in sys.modules if name.startswith(("opentelemetry", "waitlab.telemetry"))))
"""


@pytest.mark.parametrize(
    ("traces", "endpoint", "has"),
    [
        (True, None, {EXPORTER_TO_FILE, "waitlab.telemetry.tracing", "waitlab.telemetry.worker"}),
        (True, "http://127.0.0.1:4318", {EXPORTER_TO_ENDPOINT, "waitlab.telemetry.tracing"}),
        (False, None, {"waitlab.telemetry.worker"}),
    ],
)
def test_what_is_loaded_before_a_fork_starts_nothing(traces: bool, endpoint: str | None, has: set[str]) -> None:
    program = LOAD.format(traces=traces, endpoint=repr(endpoint))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = set(ended.stdout.split())
    assert has <= found
    assert any(name.startswith("opentelemetry") for name in found) == traces
