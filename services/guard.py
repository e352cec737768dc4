"""The door in front of a framework: what is not a valid request of the contract is answered here, alike on every stack.

A handler below sees only known paths, GET, no body, and a complete, canonical query. Whatever a handler raises becomes
problem+json here too: a Problem as it says, anything else a 500.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from services import contract, parameters, settings
from services.contract import Endpoint, Value
from services.problem import Problem

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

VALUES = "services.parameters"  # where a handler finds its parameters: in WSGI's environment, in ASGI's scope
ALLOWED = "GET"

logger = logging.getLogger(__name__)


class Door:
    """What one stack lets in."""

    def __init__(self, stack: str) -> None:
        plain = {path: Endpoint(path, "", path, ()) for path in contract.UNMEASURED}
        self._endpoints = contract.offered(stack) | plain
        self._no_socket = contract.NO_SOCKET.get(stack, "")
        self._refused = {
            f"/{style}/{workload}": contract.reason(stack, style, workload) for style, workload in contract.pairs()
        } | {contract.SOCKET: self._no_socket}

    def admit(self, method: str, path: str, query: bytes, has_body: bool) -> dict[str, Value]:
        """The parameters of a valid request; Problem 404, 405, 413 or 400 for any other."""
        endpoint = self._endpoints.get(path)
        if path == contract.SOCKET and not self._no_socket:
            raise Problem(426, "This path speaks WebSocket only.", {"upgrade": "websocket"})
        if endpoint is None:
            raise Problem(404, self._refused.get(path) or "There is no such path here.")
        if endpoint.style == "async" and settings.current.about.get("worker_class") == "gevent":
            raise Problem(404, contract.NOT_UNDER_GEVENT)
        if method != ALLOWED:
            raise Problem(405, f"This path answers {ALLOWED} only.", {"allow": ALLOWED})
        if has_body:
            raise Problem(413, "No request takes a body here.", {"connection": "close"})
        return parameters.read(query, endpoint.parameters)

    def admit_socket(self, path: str, query: bytes) -> None:
        """Problem 404 or 400 for any handshake but that of the contract's WebSocket."""
        if path != contract.SOCKET or self._no_socket:
            raise Problem(404, self._refused.get(path) or "There is no WebSocket here.")
        parameters.read(query, ())

    def name(self, path: str) -> tuple[str, str] | None:
        """The (style, workload) an offered path is measured as; None for any other."""
        if path == contract.SOCKET and not self._no_socket:
            return contract.SOCKET_NAME
        endpoint = self._endpoints.get(path)
        return (endpoint.style, endpoint.workload) if endpoint and endpoint.style else None


def explained(error: Exception) -> Problem:
    """The answer to what a handler raised. An unexpected error is logged in full; the client learns its kind only."""
    if isinstance(error, Problem):
        return error
    logger.error("a handler failed", exc_info=error)
    return Problem(500, f"The handler failed with {type(error).__name__}; the service's log has the details.")


class Wsgi:
    """The door as WSGI middleware. Parameters go to the handler in the environment, under `VALUES`."""

    def __init__(self, app: Callable[..., Iterable[bytes]], door: Door) -> None:
        self._app, self._door = app, door
        self.request_name = door.name

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            environ[VALUES] = self._door.admit(
                environ["REQUEST_METHOD"],
                environ["PATH_INFO"],
                environ.get("QUERY_STRING", "").encode("latin-1", "replace"),
                environ.get("CONTENT_LENGTH", "") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ,
            )
            return self._app(environ, start_response)
        except Exception as error:
            problem = explained(error)
            body = problem.body()
            start_response(f"{problem.status:d} {problem.status.phrase}", problem.fields(len(body)))
            return [body] if environ["REQUEST_METHOD"] != "HEAD" else []


class Asgi:
    """The door as ASGI middleware. Parameters go to the handler in the scope, and in the canonical, complete query."""

    def __init__(self, app: AsgiApp, door: Door) -> None:
        self._app, self._door = app, door
        self.request_name = door.name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await self._socket(scope, receive, send)
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            values = self._door.admit(scope["method"], scope["path"], scope["query_string"], _has_body(scope))
            await self._app(self._rewritten(scope, values), receive, watched)
        except Exception as error:
            if started:  # too late for another answer: the connection must break
                raise
            await refuse(explained(error), scope["method"], send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._door.admit_socket(scope["path"], scope["query_string"])
        except Problem as problem:
            await refuse_socket(problem, scope, send)
        else:
            await self._app(scope, receive, send)

    def _rewritten(self, scope: Scope, values: dict[str, Value]) -> Scope:
        # A dependency belongs to a handler's signature, so each `dep` has a handler of its own, one path deeper.
        path = scope["path"] + (f"/{values.pop('dep')}" if "dep" in values else "")
        query = parameters.written(values)
        return {**scope, "path": path, "raw_path": path.encode(), "query_string": query, VALUES: values}


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in scope["headers"]
    )


async def refuse(problem: Problem, method: str, send: Send) -> None:
    """Send `problem` as the whole answer of an ASGI application."""
    body = problem.body()
    fields = [(name.encode(), value.encode()) for name, value in problem.fields(len(body))]
    await send({"type": "http.response.start", "status": int(problem.status), "headers": fields})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


async def refuse_socket(problem: Problem, scope: Scope, send: Send) -> None:
    """Answer a handshake with `problem`, where the server can: gunicorn knows no answer but a bare 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = problem.body()
    fields = [(name.encode(), value.encode()) for name, value in problem.fields(len(body))]
    await send({"type": "websocket.http.response.start", "status": int(problem.status), "headers": fields})
    await send({"type": "websocket.http.response.body", "body": body})
