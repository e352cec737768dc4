"""The slow outside world that `fetch` calls: `python -m services.upstream`.

GET /item?ms=200 answers after 200 ms plus what the outside world adds of its own: delay, jitter, a queue when only so
many calls are served at once, 429 above a rate, 500 for a share of calls. GET /settings tells these, PUT or POST
/settings?delay_ms=100 changes them while it runs, and the environment (DELAY_MS=100) sets them at the start.
"""

import asyncio
import json
import os
import random
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar, NoReturn

import uvicorn
import uvloop

from services import guard, parameters
from services.contract import Parameter, Value
from services.problem import Problem

MS = Parameter("ms", "int", 0, 0, 10_000, unit="milliseconds of waiting")
SETTINGS = (
    Parameter("delay_ms", "int", 0, 0, 60_000, unit="milliseconds added to every call"),
    Parameter("jitter_ms", "int", 0, 0, 60_000, unit="milliseconds of random delay added at most"),
    Parameter("error_rate", "int", 0, 0, 100, unit="percent of calls answered 500"),
    Parameter("concurrency", "int", 0, 0, 10_000, unit="calls served at once; 0: as many as come"),
    Parameter("rate", "int", 0, 0, 100_000, unit="calls a second, 429 above; 0: as many as come"),
    Parameter("keep_alive", "bool", True),
)
QUEUE = 1_000  # callers that wait when `concurrency` are served; one more is refused at once
BACKLOG = 2_048


class Upstream:
    """The ASGI application, and the state of the world it plays."""

    def __init__(self, settings: Mapping[str, Value]) -> None:
        self.settings = dict(settings)
        self._busy = self._waiting = 0
        self._change = asyncio.Condition()
        self._free_at = 0.0  # when the rate allows the next call

    async def __call__(self, scope: guard.Scope, _receive: guard.Receive, send: guard.Send) -> None:
        try:
            answer = await self._answer(scope["method"], scope["path"], scope["query_string"])
        except Problem as problem:
            await guard.refuse(problem, scope["method"], send)
            return
        body = json.dumps(answer).encode()
        fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if not self.settings["keep_alive"]:
            fields.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, method: str, path: str, query: bytes) -> Mapping[str, object]:
        methods = {"/item": ["GET"], "/healthz": ["GET"], "/settings": ["GET", "PUT", "POST"]}.get(path)
        if methods is None:
            raise Problem(404, "There is no such path here; there are /item, /settings and /healthz.")
        if method not in methods:
            raise Problem(405, f"This path answers {', '.join(methods)} only.", {"allow": ", ".join(methods)})
        if path == "/item":
            return await self._item(int(parameters.read(query, [MS])["ms"]))
        if path == "/settings" and method != "GET":
            await self._set(query)
        else:
            parameters.read(query, [])
        return self.settings if path == "/settings" else {"healthy": True}

    async def _item(self, ms: int) -> Mapping[str, object]:
        self._limit_rate()
        async with self._place():
            waited_ms = ms + self._number("delay_ms") + random.uniform(0, self._number("jitter_ms"))
            await asyncio.sleep(waited_ms / 1000)
            if random.uniform(0, 100) < self._number("error_rate"):
                raise Problem(500, "This call is one of the share that fails.")
            return {"ms": ms, "waited_ms": round(waited_ms, 3)}

    def _limit_rate(self) -> None:
        """Let calls through at the rate, and a tenth of a second's worth at once; Problem 429 for the others."""
        rate, now = self._number("rate"), time.monotonic()
        if not rate:
            return
        if self._free_at - now > 0.1:
            raise Problem(429, f"More than {rate} calls a second.", {"retry-after": "1"})
        self._free_at = max(self._free_at, now) + 1 / rate

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the places that `concurrency` allows, after waiting for it; Problem 503 when too many wait already."""
        async with self._change:
            if self._waiting >= QUEUE:
                raise Problem(503, f"All places are taken and {QUEUE} calls wait for one.", {"retry-after": "1"})
            self._waiting += 1
            try:
                await self._change.wait_for(lambda: self._busy < (self._number("concurrency") or self._busy + 1))
            finally:
                self._waiting -= 1
            self._busy += 1
        try:
            yield
        finally:
            async with self._change:
                self._busy -= 1
                self._change.notify()

    async def _set(self, query: bytes) -> None:
        """Change what the query names; the rest stays as it is."""
        now = [Parameter(**(vars(one) | {"default": self.settings[one.name]})) for one in SETTINGS]
        self.settings = parameters.read(query, now)
        async with self._change:
            self._change.notify_all()

    def _number(self, name: str) -> int:
        return int(self.settings[name])


class _Server(uvicorn.Server):
    """Both servers end when either is told to: uvicorn's signal handler knows only the one that was started last."""

    all: ClassVar[list["_Server"]] = []

    def handle_exit(self, sig: int, frame: object) -> None:
        for server in self.all:
            uvicorn.Server.handle_exit(server, sig, frame)  # type: ignore[arg-type]


async def serve(app: Upstream, listeners: list[tuple[socket.socket, str | None]]) -> None:
    """Serve `app` on every listener, with TLS where a certificate is named beside it, until SIGTERM or SIGINT."""
    for _, certificate in listeners:
        config = uvicorn.Config(
            app,
            ssl_certfile=certificate,
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=75,  # longer than any client of ours keeps an idle connection: none finds it closed
            timeout_graceful_shutdown=1,
        )
        _Server.all.append(_Server(config))
    await asyncio.gather(
        *(server.serve(sockets=[listener]) for server, (listener, _) in zip(_Server.all, listeners, strict=True))
    )


def from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Value]]:
    """Each setting from the variable of its name in capitals, or its default; SystemExit 2 naming a wrong one."""
    for one in SETTINGS:
        text = environment.get(one.name.upper())
        value = one.default if text is None else parameters.parsed(text, one)
        if value is None:
            _fail(2, f"{one.name.upper()}={text}: must be {one.bounds}")
        yield one.name, value


def _listen(host: str, name: str, port: str) -> socket.socket:
    if not (port.isascii() and port.isdigit() and int(port) < 65_536):
        _fail(2, f"{name}={port}: must be a port number from 0 to 65535")
    try:
        return socket.create_server((host, int(port)), backlog=BACKLOG)
    except OSError as error:
        _fail(106, f"{name}={port}: {error.strerror}")


def _fail(status: int, message: str) -> NoReturn:
    print(f"upstream: {message}", file=sys.stderr)
    raise SystemExit(status)


def main(environment: Mapping[str, str]) -> None:
    """Read the environment, listen, and serve until told to stop."""
    app = Upstream(dict(from_environment(environment)))
    host = environment.get("HOST", "127.0.0.1")
    listeners: list[tuple[socket.socket, str | None]] = [(_listen(host, "PORT", environment.get("PORT", "8009")), None)]
    if certificate := environment.get("CERTIFICATE"):
        if not os.access(certificate, os.R_OK):
            _fail(2, f"CERTIFICATE={certificate}: must be a PEM file that can be read")
        listeners.append((_listen(host, "TLS_PORT", environment.get("TLS_PORT", "8010")), certificate))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(app, listeners))


if __name__ == "__main__":
    main(os.environ)
