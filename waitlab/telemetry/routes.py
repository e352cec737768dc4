"""Names for the requests of an application that names none: its framework's route, or else the path without ids.

So many at most, and the rest is "other": a label that took every path would make a series of each id that anybody asks
for. A request is named when it is answered, since only then its route is known; a path that nothing answers has none.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from waitlab.telemetry import names

MOST = 40
_MOST_SEGMENTS = 8
_PLAIN = re.compile(r"[A-Za-z0-9._~+:-]{1,40}")
_ID = re.compile(r"\d+|.*\d{4}.*|(?=.*\d)[0-9a-fA-F-]{8,}|(?=.*\d).{20,}")
_NOBODYS = (404, 405)
_ROUTE = "waitlab.route"


class Routes:
    """The names of one application's requests, as they come."""

    def __init__(self, style: str) -> None:
        self._style = style
        self._names: dict[str, tuple[str, str]] = {}

    def name(self, path: str, route: str | None, status: int) -> tuple[str, str]:
        """Style and workload of a request that was answered with `status`; `route` is None where nothing says it."""
        if route is None:
            if status in _NOBODYS:
                return names.OTHER
            route = without_ids(path)
        found = self._names.get(route)
        if found is None:
            if len(self._names) >= MOST:
                return names.OTHER
            found = self._names[route] = (self._style, route)
        return found


def without_ids(path: str) -> str:
    """A path whose segments that look like an id, or like no word at all, are {id}: /orders/17 is /orders/{id}."""
    segments = path.lstrip("/").split("/", _MOST_SEGMENTS)
    if len(segments) > _MOST_SEGMENTS:
        segments[-1] = "..."
    return "/" + "/".join(
        one if not one or (_PLAIN.fullmatch(one) and not _ID.fullmatch(one)) else "{id}" for one in segments
    )


def note(environ: MutableMapping[str, Any], script_name: str) -> None:
    """Keep what Flask knows of the route while it answers: once it has, it forgets. Not called after that."""
    rule = getattr(getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None)
    if isinstance(rule, str):
        environ[_ROUTE] = _shown(_below(environ.get("SCRIPT_NAME", ""), script_name) + rule)


def of_environ(environ: Mapping[str, Any]) -> str | None:
    """The route of a WSGI request that `note` has kept."""
    return environ.get(_ROUTE)


def of_scope(scope: Mapping[str, Any], root_path: str) -> str | None:
    """The route that Starlette, and so FastAPI, leaves in an ASGI request's scope; `root_path` is what it came with."""
    path = getattr(scope.get("route"), "path", None)
    if not isinstance(path, str):
        return None
    mounted = _below(scope.get("root_path", ""), root_path)
    return _shown(mounted if mounted.endswith(path) else mounted + path)


def _below(now: str, before: str) -> str:
    return now[len(before) :] if now.startswith(before) else ""


def _shown(route: str) -> str:
    """As a label may hold it: lone surrogates would spoil the whole page."""
    return route[:200].encode("utf-8", "replace").decode()
