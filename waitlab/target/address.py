"""Where a load may go: this machine, and what is named expressly. A load tool must not be aimed by accident."""

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from waitlab.errors import LabError


def beyond(url: str, allow: Collection[str]) -> tuple[str, ...]:
    """The addresses of `url` that are not this machine's loopback, all of them allowed; none for one that is.

    LabError 2 for a machine that `allow` does not name as the URL does, 122 for a name that nobody knows.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(host, parts.port or 80, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise LabError(f"{host} cannot be looked up: {why}", "see service.url in lab.toml", 122) from None
    others = tuple(sorted(one for one in found if not ipaddress.ip_address(one.partition("%")[0]).is_loopback))
    if others and host not in {name.lower() for name in allow}:
        message = f"{host} is not this machine ({', '.join(others)}): it gets no load"
        raise LabError(message, f'if it is yours and may be loaded, name it: allow = ["{host}"] in [service]', 2)
    return others


def port_of(url: str) -> int:
    """The port a URL leads to."""
    return urlsplit(url).port or 80
