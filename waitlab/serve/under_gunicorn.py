"""Serving under gunicorn: its settings, and where its workers meet the telemetry."""

from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.http import message  # type: ignore[import-untyped]

from waitlab import telemetry
from waitlab.serve import application, limits
from waitlab.serve.settings import Settings
from waitlab.telemetry import current
from waitlab.telemetry.watched import WatchedExecutor, watched


class Gunicorn(BaseApplication):  # type: ignore[misc]
    """gunicorn with settings of ours alone: it reads no configuration file, no command line and no environment."""

    def __init__(self, settings: Settings, descriptor: int) -> None:
        self._settings = settings
        self._descriptor = descriptor
        super().__init__()

    def load_config(self) -> None:
        for name, value in _configuration(self._settings, self._descriptor).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return application.load(self._settings)


def run(settings: Settings, descriptor: int) -> None:
    """Be gunicorn's master until told to stop."""
    # The WSGI workers' parser lets limit_request_line lower this constant, or at 0 lift every bound, but not raise it.
    message.MAX_REQUEST_LINE = limits.REQUEST_LINE_BYTES
    if settings.worker_class == "asgi":
        from waitlab.serve import gunicorn_websocket  # noqa: PLC0415  the other classes need no asyncio

        gunicorn_websocket.install()
    Gunicorn(settings, descriptor).run()


def _configuration(settings: Settings, descriptor: int) -> dict[str, Any]:
    def worker_starts(worker: Any) -> None:
        application.begin(settings)
        _watch_threads(worker, settings.worker_class)

    configuration = {
        "bind": f"fd://{descriptor}",
        "backlog": settings.backlog,
        "workers": settings.workers,
        "worker_class": settings.worker_class,
        "threads": settings.threads,
        "asgi_loop": settings.loop,
        "preload_app": settings.preload,
        "keepalive": limits.KEEP_ALIVE_SECONDS,
        "graceful_timeout": limits.GRACEFUL_SECONDS,
        "limit_request_line": limits.REQUEST_LINE_BYTES,
        "websocket_max_message_size": limits.WEBSOCKET_MESSAGE_BYTES,
        "control_socket_disable": True,  # one path a user: two services would fight over it
        "proc_name": settings.service,
        "post_worker_init": worker_starts,
        "worker_exit": lambda server, worker: telemetry.stop(),
    }
    shared_memory = Path("/dev/shm")
    if shared_memory.is_dir():  # a heartbeat file on a slow disk can block a worker until it is killed for silence
        configuration["worker_tmp_dir"] = str(shared_memory)
    return configuration


def _watch_threads(worker: Any, worker_class: str) -> None:
    """A WSGI worker serves as soon as it is told so; an ASGI one says so itself, after the application's start."""
    if worker_class == "gthread":
        watched.worker_threads = WatchedExecutor(worker.tpool)
    elif worker_class == "sync":
        watched.worker_threads = 1
    if worker_class != "asgi" and current.worker is not None:
        current.worker.serving()
