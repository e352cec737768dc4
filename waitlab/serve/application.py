"""The application of one worker: found, configured and measured."""

import importlib
import inspect
import platform
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from waitlab import telemetry
from waitlab.serve import source
from waitlab.serve.settings import Settings
from waitlab.telemetry import failure, interface
from waitlab.telemetry.worker import WorkerSettings


class WrongApplicationError(Exception):
    """APP names nothing, or something the worker class cannot serve: the message says what to change."""


def load(settings: Settings) -> Any:
    """APP ready to be served. What goes wrong is left for the parent to report, and raised."""
    try:
        module, app = _find(settings.app)
        _check_interface(app, settings)
        if configure := getattr(module, "configure", None):
            configure(**_accepted(configure, _configuration(settings, module)))
        wrap = telemetry.asgi if settings.worker_class == "asgi" else telemetry.wsgi
        # One module may hold two applications, each with names of its own.
        named = getattr(app, "request_name", None) or getattr(module, "request_name", None)
        return wrap(app, named, getattr(module, "unmeasured", frozenset()))
    except BaseException as error:  # SystemExit too: a module may call sys.exit
        assert settings.run_dir is not None
        reason = str(error) if isinstance(error, WrongApplicationError) else traceback.format_exception_only(error)[-1]
        failure.note(settings.run_dir, reason)
        raise


def begin(settings: Settings) -> None:
    """Start the telemetry of this worker process."""
    assert settings.run_dir is not None
    telemetry.start(
        WorkerSettings(
            service=settings.service,
            run_dir=settings.run_dir,
            traces=settings.traces,
            otlp_endpoint=settings.otlp_endpoint,
            access_log=settings.access_log,
            announce=settings.announce,
        )
    )


def _find(name: str) -> tuple[Any, Any]:
    module_name, _, attributes = name.partition(":")
    module = found = importlib.import_module(module_name)
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise WrongApplicationError(f"APP={name}: {module_name} has no {attributes}")
        found = getattr(found, attribute)
    return module, found


def _check_interface(app: Any, settings: Settings) -> None:
    served = "ASGI" if settings.worker_class == "asgi" else "WSGI"
    if not callable(app):
        raise WrongApplicationError(f"an application must be callable, not a {type(app).__name__}")
    looks = interface.of(app)
    if looks not in (served, None):
        remedy = "WORKER_CLASS=asgi" if looks == "ASGI" else "SERVER=gunicorn and WORKER_CLASS=sync, gthread or gevent"
        raise WrongApplicationError(
            f"APP={settings.app} is a {looks} application, WORKER_CLASS={settings.worker_class} serves {served}: "
            f"set {remedy}"
        )


def _configuration(settings: Settings, module: ModuleType) -> dict[str, object]:
    """What `configure` of an application may take."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    code = source.digest(Path(module.__file__)) if module.__file__ else ""
    facts = {"python": platform.python_version(), "gil": gil, "cpus": settings.cpus(), "code": code}
    about = {**settings.knobs(), **facts}
    return {
        "service": settings.service,
        "database_url": settings.database_url,
        "upstream_url": settings.upstream_url,
        "upstream_tls_url": settings.upstream_tls_url,
        "upstream_ca": settings.upstream_ca,
        "pool_size": settings.pool_size,
        "tokens": settings.tokens,
        "executor_threads": settings.executor_threads,
        "receivers": settings.receivers,
        "middleware": settings.middleware,
        "about": about,
    }


def _accepted(function: Any, offered: dict[str, object]) -> dict[str, object]:
    """The offered arguments that `function` names, or all of them when it takes any."""
    parameters = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return offered
    return {name: value for name, value in offered.items() if name in parameters}
