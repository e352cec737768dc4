"""Serving under uvicorn: always below its supervisor, since a lone uvicorn freezes when told to add a worker."""

import functools
import logging
import multiprocessing
import os
import signal
import socket
import sys
import traceback
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from waitlab import telemetry
from waitlab.serve import application, limits
from waitlab.serve.settings import Settings
from waitlab.serve.uvicorn_http import BoundedHttp


class Server(uvicorn.Server):
    """uvicorn's server of one worker: it raises its stop signal again at its end, so later than here is too late."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        telemetry.stop()


class Process(multiprocess.Process):
    """A worker process with that server."""

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = Server(config=self.config)
        assert isinstance(self._server, Server)
        return self._server


class Supervisor(multiprocess.Multiprocess):
    """uvicorn's supervisor, which on SIGQUIT lets its workers wait no longer for what they have in flight."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        multiprocess.Process = Process  # type: ignore[misc]  # it offers no other way to name the class
        super().__init__(config, sockets)
        signal.signal(signal.SIGQUIT, self._hurry)  # at once: its own loop no longer looks once it waits for workers

    def handle_ttou(self) -> None:
        """One worker less, without waiting for it: its last requests must hold up neither the next nor a respawn."""
        if self.processes_num > 1:
            self.processes_num -= 1
            self.processes.pop().terminate()
            multiprocessing.active_children()  # reaps those that have left since

    def _hurry(self, number: int, frame: FrameType | None) -> None:
        for process in self.processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, signal.SIGINT)


def run(settings: Settings, descriptor: int) -> None:
    """Be uvicorn's supervisor until told to stop."""
    config = uvicorn.Config(
        functools.partial(_application, settings),
        factory=True,
        workers=settings.workers,
        loop=settings.loop,
        http=BoundedHttp,
        ws="waitlab.serve.uvicorn_websocket:BoundedWebSocket",  # only workers need to load it
        backlog=settings.backlog,
        access_log=False,
        timeout_keep_alive=limits.KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=limits.GRACEFUL_SECONDS,
        ws_max_size=limits.WEBSOCKET_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # gunicorn cannot, and each connection would keep memory for it
    )
    supervisor = Supervisor(config, [socket.socket(fileno=descriptor)])
    supervisor.run()
    sys.exit(_exit_code(supervisor))


def _exit_code(supervisor: Supervisor) -> int:
    failed = any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)
    return STARTUP_FAILURE if failed else 0


def _application(settings: Settings) -> Any:
    """Called in each worker. The supervisor starts a worker again after any end but this exit code."""
    try:
        app = application.load(settings)
    except BaseException:
        traceback.print_exc()
        sys.exit(STARTUP_FAILURE)
    application.begin(settings)
    # It tells of every handshake at INFO, whatever access_log says.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "WebSocket %s" not in str(record.msg))
    return app
