"""One service alone on a free port, without the rest of the lab: for the demonstration, and for a measurement."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from waitlab import process
from waitlab.errors import LabError
from waitlab.runtime.local import logs
from waitlab.runtime.local.state import PROJECT

START_SECONDS = 20.0
STOP_SECONDS = 6.0  # waitlab.serve promises five


@contextmanager
def running(
    settings: Mapping[str, str], run_dir: Path, log: Path, seconds: float = START_SECONDS, grace: float = STOP_SECONDS
) -> Iterator[str]:
    """The service that `settings` describe, for the length of a `with`: yields its URL once every worker serves.

    LabError with the log's last words when it does not within `seconds`; `grace` is how long it may take to end.
    """
    child = process.start(
        [sys.executable, "-m", "waitlab.serve"],
        environment={**settings, "PORT": "0", "RUN_DIR": str(run_dir)},
        log=log,
        cwd=PROJECT,
    )
    ready = run_dir / "serve.json"
    deadline = time.monotonic() + seconds
    try:
        while not ready.exists():
            if child.poll() is not None or time.monotonic() > deadline:
                why = "ended at its start" if child.poll() is not None else f"does not serve after {seconds:.0f} s"
                message = f"the service {settings['SERVICE']} {why}:\n{logs.last_words(log)}"
                raise LabError(message, "./lab doctor looks at this machine", code=122)
            time.sleep(0.05)
        yield str(json.loads(ready.read_text())["url"])
    finally:
        process.stop(child, grace)
