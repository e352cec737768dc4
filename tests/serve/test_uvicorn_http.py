"""uvicorn's bounded HTTP: what it adds to a connection must not cost memory, since thousands are held."""

import asyncio
import sys
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from waitlab.serve.uvicorn_http import BoundedHttp


class Nowhere(asyncio.Transport):
    """A transport that leads to nobody."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return False


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that is never asked."""


def idle_connection(protocol: type[HttpToolsProtocol], loop: asyncio.AbstractEventLoop) -> HttpToolsProtocol:
    config = Config(nothing, log_config=None)
    made = protocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
    made.connection_made(Nowhere())
    made.on_message_begin()
    return made


def test_a_connection_is_as_small_as_uvicorns_own() -> None:
    loop = asyncio.new_event_loop()
    try:
        for _ in range(3):  # the first ones teach Python which names there are
            plain, bounded = (idle_connection(one, loop) for one in (HttpToolsProtocol, BoundedHttp))
        assert sys.getsizeof(vars(bounded)) == sys.getsizeof(vars(plain)) < 600
    finally:
        loop.close()
