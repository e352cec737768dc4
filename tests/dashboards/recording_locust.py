"""The lab's own Locust, which besides notes every request it counts in the file LAB_RECORD: a line of JSON each.

LAB_PARSE_MS gives it so much work with each answer, as a user class has that parses what it gets.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from locust import events

from locustfiles import drain
from locustfiles.lab import *  # noqa: F403  the user classes, and by importing it all else that makes it the lab's

RECORD = Path(os.environ["LAB_RECORD"]).open("a", buffering=1)  # noqa: SIM115  open as long as the process lives
# A test ends it by SIGTERM and then compares counts, so that every answer has to be waited for.
drain.LEAVE_SECONDS = drain.DRAIN_SECONDS
PARSE_SECONDS = int(os.environ["LAB_PARSE_MS"]) / 1000


@events.request.add_listener
def note(
    name: str,
    response_time: float,
    exception: Any,
    context: dict[str, Any],
    start_time: float | None = None,  # who makes his own requests does not say
    **_: Any,
) -> None:
    """When it was sent (seconds since the epoch), how long after it was due it was answered, and whether well."""
    if "part" in context:  # of an answer
        return
    seconds = response_time / 1000 + context["late_seconds"]
    sent = start_time if start_time is not None else time.time() - response_time / 1000
    RECORD.write(json.dumps([name, sent, seconds, exception is None]) + "\n")
    done = time.perf_counter() + PARSE_SECONDS
    while time.perf_counter() < done:
        pass
