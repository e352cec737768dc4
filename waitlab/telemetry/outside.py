"""A stranger's application, measured from outside: the server is given `waitlab.telemetry.outside:app` in its place.

WAITLAB_OUTSIDE (JSON, see `Told`) says which application that is and where its figures go. Whatever of the telemetry
fails is left out: the application is then served as if nobody looked.
"""

import ast
import atexit
import contextlib
import importlib
import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from waitlab import telemetry
from waitlab.telemetry import current, failure, interface, isolated, names, routes
from waitlab.telemetry.asgi import MeasuredAsgi, Message, Receive, Send
from waitlab.telemetry.watched import WatchedExecutor, watched
from waitlab.telemetry.wsgi import Environ, MeasuredWsgi

VARIABLE = "WAITLAB_OUTSIDE"


@dataclass(frozen=True)
class Told:
    """What the parent of the server tells its workers.

    `serves` is WSGI or ASGI where the server serves nothing else, "" where the application's looks decide; `parent`
    the parent's process id, by which the server's main process knows itself; `prometheus` the folder that holds
    prometheus_client alone.
    """

    app: str
    service: str
    run_dir: str
    prometheus: str
    serves: str
    parent: int
    traces: str = "off"
    otlp_endpoint: str | None = None
    announce: str = "loopback"


class Start:
    """Begins the telemetry once in every process that serves; one that fails is not tried again."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._pid = 0
        self._lock = threading.Lock()

    def here(self) -> None:
        """In this process, if not yet."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    current.worker = None
                    with _degrading("nothing of this worker is measured"):
                        self._begin()
                    self._pid = os.getpid()

    def in_wsgi_worker(self) -> None:
        """A WSGI worker is one before its first request: at once, or after the fork where the master loads the code."""
        if os.getppid() != self._told.parent:
            self._serve()
        else:
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        """In gunicorn's workers alone, not in what an application forks for itself."""
        if _frame_of("spawn_worker", sys._getframe()):
            self._serve()

    def _serve(self) -> None:
        self.here()
        serving()
        with _degrading("its threads are not watched"):  # of a gunicorn that loads the code in its workers
            _watch_threads(sys._getframe())

    def _begin(self) -> None:
        from waitlab.telemetry.worker import WorkerSettings  # noqa: PLC0415  it needs what `isolated` brings

        told = self._told
        loudness = logging.getLogger("opentelemetry").level  # the tracing would silence the application's own too
        try:
            telemetry.start(
                WorkerSettings(
                    service=told.service,
                    run_dir=Path(told.run_dir),
                    traces=told.traces,
                    otlp_endpoint=told.otlp_endpoint,
                    announce=told.announce,
                )
            )
        finally:
            logging.getLogger("opentelemetry").setLevel(loudness)
        atexit.register(_stop, os.getpid())


class Guarded:
    """One exchange, named when it is answered; a fault in its end ends nothing else."""

    __slots__ = ("_exchange", "_name")

    def __init__(self, exchange: Any, name: Callable[[int], tuple[str, str]]) -> None:
        self._exchange = exchange
        self._name = name

    def end(self, status: int, body_bytes: int, whole: bool) -> None:
        """As `worker.Exchange.end`."""
        with contextlib.suppress(Exception):
            self._exchange.rename(self._name(status))
        with contextlib.suppress(Exception):
            self._exchange.end(status, body_bytes, whole)


class Unmeasured:
    """Stands for an exchange that could not be begun."""

    def end(self, status: int, body_bytes: int, whole: bool) -> None:
        """Nothing was counted, so nothing is."""


class OutsideWsgi(MeasuredWsgi):
    """A stranger's WSGI application."""

    def __init__(self, app: Any, start: Start) -> None:
        super().__init__(app, _later, frozenset())
        self._start = start
        self._routes = routes.Routes("wsgi")
        self._knows_threads = False

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self._start.here()
        if not self._knows_threads:
            self._knows_threads = True
            with _degrading("its threads are not watched"):
                serving()
                _watch_threads(sys._getframe())
        script_name = environ.get("SCRIPT_NAME", "")

        def noting(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            with contextlib.suppress(Exception):
                routes.note(environ, script_name)
            return start_response(status, headers, *error)

        return super().__call__(environ, noting)

    def _begin(self, worker: Any, environ: Environ, path: str) -> Any:
        try:
            exchange = super()._begin(worker, environ, path)
        except Exception:
            return Unmeasured()
        return Guarded(exchange, lambda status: self._routes.name(path, routes.of_environ(environ), status))


class OutsideAsgi(MeasuredAsgi):
    """A stranger's ASGI application."""

    def __init__(self, app: Any, start: Start) -> None:
        super().__init__(app, _later, frozenset())
        self._start = start
        self._routes = routes.Routes("asgi")
        self._knows_loop = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self._start.here()
        if not self._knows_loop and current.worker is not None:
            self._knows_loop = True
            with _degrading("its event loop is not watched"):
                _watch_tokens()
                current.worker.watch_loop()
            with _degrading("its executor is not watched"):
                _watch_executor()
        if scope["type"] != "lifespan":  # a server may be told to leave that out
            serving()
        await super().__call__(scope, receive, send)

    def _begin(self, worker: Any, scope: Message, method: str) -> Any:
        root_path = scope.get("root_path", "")
        try:
            exchange = super()._begin(worker, scope, method)
        except Exception:
            return Unmeasured()
        path = scope["path"]
        return Guarded(exchange, lambda status: self._routes.name(path, routes.of_scope(scope, root_path), status))

    async def _live(self, worker: Any, scope: Message, receive: Receive, send: Send) -> None:
        async def closing_send(message: Message) -> None:
            await send(message)
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                _stop(os.getpid())  # uvicorn raises its stop signal again at its end: no exit handler is called then

        await super()._live(worker, scope, receive, closing_send)


def wrapped(told: Told) -> Any:
    """The application that `told` names, measured if it can be. Raises what its import raises, and nothing else."""
    measured = False
    with _degrading("nothing is measured"):
        isolated.load(told.prometheus)
        measured = True
    try:
        app = found(told.app)
    except BaseException as error:  # SystemExit too: a module may call sys.exit
        failure.note(Path(told.run_dir), traceback.format_exception_only(error)[-1])
        raise
    kind = interface.of(app) or (told.serves if told.serves == "WSGI" else None)
    if not measured or kind is None:
        if measured:
            _say(f"{told.app} looks neither like a WSGI nor like an ASGI 3 application: it is not measured")
        return app
    start = Start(told)
    if kind == "ASGI":
        return OutsideAsgi(app, start)
    measured_app = OutsideWsgi(app, start)
    start.in_wsgi_worker()
    return measured_app


def found(name: str) -> Any:
    """The application of a name as servers take it: module:app, module:package.app or module:create("x").

    Raises ImportError, AttributeError, or whatever the module or its function does.
    """
    module, _, expression = name.partition(":")
    target = importlib.import_module(module)
    body = ast.parse(expression, mode="eval").body
    call = body if isinstance(body, ast.Call) else None
    for attribute in ast.unparse(call.func if call else body).split("."):
        target = getattr(target, attribute)
    if call is None:
        return target
    named = {one.arg: ast.literal_eval(one.value) for one in call.keywords if one.arg}
    return target(*map(ast.literal_eval, call.args), **named)  # type: ignore[operator]  # a factory, says the user


def serving() -> None:
    """Let the parent see that this worker serves."""
    if current.worker is not None:
        current.worker.serving()


def _later(path: str) -> tuple[str, str]:
    return names.LATER


def _stop(pid: int) -> None:
    """End the telemetry of this process, and not of the one that it was forked from."""
    if pid == os.getpid() and current.worker is not None:
        with contextlib.suppress(Exception):
            telemetry.stop()
        current.worker = None


def _watch_threads(frame: FrameType | None) -> None:
    """Whose threads run requests stands on the stack of each: gunicorn's worker, or else the executor of a loop."""
    base = sys.modules.get("gunicorn.workers.base")
    while frame is not None and not watched.worker_threads:
        worker = frame.f_locals.get("self")
        if base is not None and isinstance(worker, base.Worker):
            if pool := getattr(worker, "tpool", None):
                watched.worker_threads = WatchedExecutor(pool)
            elif any(kind.__name__ == "SyncWorker" for kind in type(worker).__mro__):
                watched.worker_threads = 1
            return
        if frame.f_code.co_name == "_worker" and (pool := frame.f_locals.get("executor_reference", lambda: None)()):
            watched.worker_threads = WatchedExecutor(pool)
            return
        frame = frame.f_back


def _watch_tokens() -> None:
    """The threads that run `def` endpoints, where the application's framework is built on anyio."""
    if "anyio" in sys.modules:
        from anyio import to_thread  # noqa: PLC0415  the application's own

        telemetry.watch_limiter(to_thread.current_default_thread_limiter())


def _watch_executor() -> None:
    """The loop's own threads (`asyncio.to_thread`), and whatever the application puts in their place later on."""
    import asyncio  # noqa: PLC0415  must not precede gevent's patching
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    loop: Any = asyncio.get_running_loop()
    put = loop.set_default_executor

    def watching(executor: Any) -> None:
        put(executor)
        telemetry.watch_executor(executor)

    watching(getattr(loop, "_default_executor", None) or ThreadPoolExecutor(thread_name_prefix="asyncio"))
    loop.set_default_executor = watching


def _frame_of(function: str, frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


@contextlib.contextmanager
def _degrading(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        _say(f"{what}: {type(error).__name__}: {error}")


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed stream
        print(f"waitlab: {text}", file=sys.stderr)


# Servers take a global of the module: hypercorn looks in its dictionary, so nothing can be made on demand.
if VARIABLE in os.environ:
    app = wrapped(Told(**json.loads(os.environ[VARIABLE])))
