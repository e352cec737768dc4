"""Where the lab runs. A runtime is five verbs: start, scale, stop, addresses, logs; so far there is one, `local`."""

import socket
from collections.abc import Mapping

from waitlab.errors import LabError

DOCKER_SOCKET = "/var/run/docker.sock"


def choose(environment: Mapping[str, str]) -> tuple[str, str]:
    """The runtime to use, and why. RUNTIME forces one; LabError for one that is not there."""
    wanted = environment.get("RUNTIME", "")
    if wanted == "local":
        return "local", "RUNTIME=local"
    if wanted == "compose":
        raise LabError("RUNTIME=compose is not built in this version of the lab", "use RUNTIME=local, or unset it", 122)
    if wanted:
        raise LabError(f"RUNTIME={wanted[:80]!r} is not allowed", "RUNTIME takes local or compose", 2)
    if _docker_answers():
        return "local", "a Docker engine answers, but this version has no compose runtime"
    return "local", "no Docker engine answers"


def _docker_answers() -> bool:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(1)
        try:
            engine.connect(DOCKER_SOCKET)
            engine.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in engine.recv(64)
        except OSError:
            return False
