"""Waiting for what a test has set in motion."""

import time
from collections.abc import Callable
from typing import Any


def eventually(read: Callable[[], Any], seconds: float) -> Any:
    """What `read` gives once that is true, or after `seconds`, whatever it is then."""
    deadline = time.monotonic() + seconds
    while not (found := read()) and time.monotonic() < deadline:
        time.sleep(0.03)
    return found


def wait_for(read: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """What `read` gives once that is true; a failed test, naming `what`, when it never is."""
    found = eventually(read, seconds)
    assert found, f"{what} did not happen within {seconds:.0f} s"
    return found
