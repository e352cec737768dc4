"""Real control groups for a test: the kernel's own files, where this machine lets one make them (root, version 1)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import wait_for


@contextmanager
def limited(controller: str, setting: str, value: str) -> Iterator[Path]:
    """A group with one limit; a process joins it by its id in the file `cgroup.procs`."""
    top = Path("/sys/fs/cgroup") / controller
    if not (os.access(top, os.W_OK) and (top / "cgroup.procs").exists() and any(top.glob(f"{controller}.*"))):
        pytest.skip(f"no real limit of {controller} was tried: that needs root and cgroup v1")
    group = top / f"waitlab-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / setting).write_text(value)
        yield group
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text(), "the end of all in the group", 10)
        group.rmdir()
