"""How many files and connections a process may have open at once: the kernel's soft limit, raised to the hard one."""

import resource

SPARE = 200  # beside its connections, what a process has open


def raise_limit() -> int:
    """Take all that this process may have, for itself and for all that it starts; how much that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def hard_limit() -> int:
    """What it could be raised to without being root."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def lack(connections: int) -> str:
    """Why a process cannot hold so many connections; empty when it can."""
    needed, hard = connections + SPARE, hard_limit()
    if hard == resource.RLIM_INFINITY or hard >= needed:
        return ""
    return f"{connections} connections need {needed} open files, and the hard limit is {hard}"
