"""A WSGI application, measured."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from waitlab.telemetry import current, names

Environ = dict[str, Any]
RequestName = Callable[[str], tuple[str, str] | None]


def guarded(request_name: RequestName | None) -> Callable[[str], tuple[str, str]]:
    """The application's naming of requests, which must not fail one: what it cannot name is "other"."""
    if request_name is None:
        return lambda path: names.OTHER

    def name(path: str) -> tuple[str, str]:
        try:
            return request_name(path) or names.OTHER
        except Exception:
            return names.OTHER

    return name


class MeasuredWsgi:
    """Passes everything through, and counts it once telemetry is started in this process."""

    def __init__(self, app: Any, request_name: RequestName | None, unmeasured: frozenset[str]) -> None:
        self.app = app
        self._name = guarded(request_name)
        self._unmeasured = unmeasured

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        worker = current.worker
        path = environ.get("PATH_INFO", "")
        if worker is None or path in self._unmeasured:
            return self.app(environ, start_response)  # type: ignore[no-any-return]
        answer = Answer(self._begin(worker, environ, path), start_response)
        try:
            body = self.app(environ, answer.start_response)
            return answer.over(body, environ.get("wsgi.file_wrapper"))
        except BaseException:
            answer.end(whole=False)
            raise

    def _begin(self, worker: Any, environ: Environ, path: str) -> Any:
        return worker.begin(
            self._name(path),
            environ.get("REQUEST_METHOD", ""),
            path,
            environ.get("HTTP_X_REQUEST_START", ""),
            environ.get("HTTP_TRACEPARENT", ""),
        )


class Answer:
    """The iterable that the server reads: it is whole when the server has asked for more and there was none."""

    __slots__ = ("_body", "_bytes", "_chunks", "_ended", "_exchange", "_start_response", "_status", "_whole")

    def __init__(self, exchange: Any, start_response: Any) -> None:
        self._exchange = exchange
        self._start_response = start_response
        self._status = 500  # what a server answers when the application raises before it has said anything
        self._bytes = 0
        self._whole = False
        self._ended = False

    def start_response(self, status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        self._status = int(status[:3]) if status[:3].isdecimal() else 0
        return self._start_response(status, headers, *error)

    def over(self, body: Any, file_wrapper: type | None) -> Iterable[bytes]:
        """The answer to hand to the server: a file stays one, since servers send only the plain wrapper by sendfile."""
        self._body = body
        if file_wrapper is not None and isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
            self._close_with(body)
            return cast(Iterable[bytes], body)
        self._chunks = iter(body)
        return self

    def _close_with(self, body: Any) -> None:
        close = getattr(body, "close", None)

        def closed() -> None:
            # Servers close in a `finally`: an exception in flight is the client that went away.
            self.end(whole=sys.exc_info()[0] is None)
            if close is not None:
                close()

        body.close = closed

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk: bytes = next(self._chunks)
        except StopIteration:
            self._whole = True
            raise
        self._bytes += len(chunk)
        return chunk

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self.end(self._whole)

    def end(self, whole: bool) -> None:
        if not self._ended:
            self._ended = True
            self._exchange.end(self._status, self._bytes, whole)
