"""Which interface an application has, by its looks: it is not called to find out."""

import inspect
from typing import Any


def of(app: Any) -> str | None:
    """ASGI, WSGI, or None for a callable that does not show which."""
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004
        return "ASGI"
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return None
    needed = sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)
    return {2: "WSGI", 3: "ASGI"}.get(needed)
