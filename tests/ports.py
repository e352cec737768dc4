"""Ports that nothing uses."""

import random
import socket


def free_ports(count: int) -> list[int]:
    """Below the kernel's own range: whatever takes any free port takes one there, and must not take these."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 12_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found


def free_port() -> int:
    return free_ports(1)[0]
