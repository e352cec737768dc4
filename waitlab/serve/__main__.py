"""`python -m waitlab.serve`: one service from its environment, and its parent for life."""

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace

from waitlab import descriptors
from waitlab.serve import listening, postgres, settings
from waitlab.serve.run_dir import RunDir, RunDirTakenError
from waitlab.serve.service import Service

WRONG_SETTING = 2
PORT_TAKEN = 106


def main(environment: Mapping[str, str]) -> int:
    """Serve until told to stop; the exit code."""
    descriptors.raise_limit()  # workers inherit it: how many connections they hold must not be the shell's to decide
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # until the service minds it: a clean way out
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        return _serve(environment)
    except (listening.PortTakenError, settings.SettingError, RunDirTakenError) as error:
        print(f"waitlab.serve: {error}", file=sys.stderr)
        return PORT_TAKEN if isinstance(error, listening.PortTakenError) else WRONG_SETTING


def _serve(environment: Mapping[str, str]) -> int:
    asked = settings.read(environment)
    most_workers = _most_workers(asked, environment)
    with contextlib.ExitStack() as until_served:
        listener = until_served.enter_context(_bound(asked))
        run_dir = RunDir(asked.run_dir)
        until_served.callback(run_dir.close)
        complete = replace(asked, run_dir=run_dir.path, port=listener.getsockname()[1])
        service = Service(complete, run_dir, listening.Bound(listener), most_workers)
        until_served.pop_all()  # from here on the service closes them
        return service.run({**environment, **complete.environment()})


def _bound(asked: settings.Settings) -> socket.socket:
    try:
        return listening.bind(asked.host, asked.port, asked.backlog)
    except OSError as error:
        raise settings.SettingError(f"HOST={asked.host!r} is not allowed: {error.strerror}") from None


def _most_workers(asked: settings.Settings, environment: Mapping[str, str]) -> int:
    """How many workers the database has connections for. Raises SettingError when the asked-for ones are too many."""
    limit = postgres.connections(environment) if asked.database_url else None
    if limit is None:
        return settings.MOST_WORKERS
    needed = asked.workers * asked.pool_size
    if needed > limit:
        raise settings.SettingError(
            f"WORKERS={asked.workers} x POOL_SIZE={asked.pool_size} = {needed} connections, "
            f"but PostgreSQL gives {limit}: set fewer workers or smaller pools"
        )
    return min(settings.MOST_WORKERS, limit // asked.pool_size)


if __name__ == "__main__":
    sys.exit(main(os.environ))
