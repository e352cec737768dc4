"""One worker of hypercorn: `python -m waitlab.serve.hypercorn_worker FD` serves APP on the inherited listening socket.

hypercorn is imported in functions: the processes that a worker spawns import its main module too, and need none of it.
"""
# ruff: noqa: PLC0415

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypercorn.config import Config

    from waitlab.serve.settings import Settings

STARTUP_FAILURE = 3
_NO_LIMIT = 2**31  # hypercorn closes a connection after 1,000 requests, where the other servers keep it


def main(descriptor: int) -> None:
    """Serve until told to stop: SIGTERM lets requests in flight end, SIGQUIT does not."""
    from waitlab import telemetry
    from waitlab.serve import application, hypercorn_streams, settings

    hypercorn_streams.install()
    asked = settings.read(os.environ)
    try:
        app = application.load(asked)
    except BaseException:
        traceback.print_exc()
        sys.exit(STARTUP_FAILURE)
    application.begin(asked)
    with asyncio.Runner(loop_factory=_loop_factory(asked.loop)) as runner:
        try:
            code = runner.run(_serve(app, _configuration(asked, descriptor)))
        finally:
            telemetry.stop()
    sys.exit(code)


async def _serve(app: Any, configuration: "Config") -> int:
    from hypercorn.asyncio import serve
    from hypercorn.utils import LifespanFailureError

    stop = asyncio.Event()
    loop, here = asyncio.get_running_loop(), asyncio.current_task()
    assert here is not None
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGQUIT, here.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await serve(app, configuration, shutdown_trigger=stop.wait, mode="asgi")
    except LifespanFailureError as error:
        print(f"hypercorn: {error}", file=sys.stderr)
        return STARTUP_FAILURE
    return 0


def _configuration(settings: "Settings", descriptor: int) -> "Config":
    from hypercorn.config import Config

    from waitlab.serve import limits

    configuration = Config()
    configuration.bind = [f"fd://{descriptor}"]
    configuration.backlog = settings.backlog
    configuration.loglevel = "WARNING"
    configuration.keep_alive_timeout = limits.KEEP_ALIVE_SECONDS
    configuration.keep_alive_max_requests = _NO_LIMIT
    configuration.graceful_timeout = limits.GRACEFUL_SECONDS
    configuration.h11_max_incomplete_size = limits.REQUEST_LINE_BYTES
    configuration.websocket_max_message_size = limits.WEBSOCKET_MESSAGE_BYTES
    return configuration


def _loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """`auto` is uvloop, as the other servers have it."""
    if loop == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


if __name__ == "__main__":
    main(int(sys.argv[1]))
