"""The lab's own prometheus_client, out of sight of the application in whose process it works.

The application may have one itself: older, newer, in multiprocess mode (whose files would then hold the lab's figures
too), or none. So ours is imported under its name from a folder of its own, kept by the instruments that need it, and
taken out of `sys.modules` again: what the application imports is what it would have imported without us.
"""

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

_NAME = "prometheus_client"
_MODE = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


def load(folder: str) -> None:
    """Import all that measures, with the prometheus_client in `folder`. Raises whatever an import may."""
    with _modules_kept(), _path(folder), _environment_without(_MODE), _native_locks():
        importlib.import_module("waitlab.telemetry.worker")


@contextlib.contextmanager
def _modules_kept() -> Iterator[None]:
    theirs = _taken_out()
    try:
        yield
    finally:
        _taken_out()
        sys.modules.update(theirs)


def _taken_out() -> dict[str, ModuleType]:
    own = [name for name in sys.modules if name == _NAME or name.startswith(f"{_NAME}.")]
    return {name: sys.modules.pop(name) for name in own}


@contextlib.contextmanager
def _path(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


@contextlib.contextmanager
def _environment_without(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextlib.contextmanager
def _native_locks() -> Iterator[None]:
    """A scrape comes in a real thread, which gevent's own locks are not made for; none is held across a wait."""
    monkey = sys.modules.get("gevent.monkey")
    patched = threading.Lock
    if monkey is not None:
        threading.Lock = monkey.get_original("threading", "Lock")
    try:
        yield
    finally:
        threading.Lock = patched
