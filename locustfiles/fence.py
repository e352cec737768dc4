"""Keeps a load where it belongs: a process that may ask some addresses of this machine cannot connect to any other."""

import os
import socket
import sys
from collections.abc import Collection
from typing import Any

BEYOND = 77  # the exit status: EX_NOPERM


def install(allowed: Collection[str]) -> None:
    """From now on whoever connects to an address that is none of `allowed`, and not loopback, ends this process.

    By an audit hook, which sees every socket of this process whatever library opens it, and which nothing can remove.
    """
    known = frozenset(allowed)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and not _is_allowed(arguments, known):
            words = f"the load went to {arguments[1][0]}, which may not be loaded: see `allow` in lab.toml"
            sys.stderr.write(f"locust: error: {words}\n")
            sys.stderr.flush()
            os._exit(BEYOND)

    sys.addaudithook(watch)


def _is_allowed(arguments: tuple[Any, ...], known: Collection[str]) -> bool:
    sock, address = arguments
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        return True  # names are looked up by datagrams, which carry no load
    host = str(address[0]).partition("%")[0]
    return host in known or host.startswith("127.") or host in ("::1", "localhost")
