"""A service seen from outside: the tree of its processes, and the accept queue of its port, by /proc."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tree:
    """A process and all below it now. `cpu_s` is of all that live and of those they have reaped since they began, so
    that a difference of two trees holds what ended meanwhile too.
    """

    pids: tuple[int, ...]
    cpu_s: float
    threads: int


def tree(root: int) -> Tree | None:
    """None when the root is gone."""
    raise NotImplementedError


def pss_bytes(pids: tuple[int, ...]) -> int | None:
    """Their proportional set sizes together; None when one of them may not be looked at."""
    raise NotImplementedError


def accept_queue(port: int) -> int:
    """Connections that wait to be accepted on this port; 0 when nobody listens."""
    raise NotImplementedError


def holders(port: int) -> tuple[int, ...]:
    """The processes that hold the listening socket of this port; none when they may not be looked at."""
    raise NotImplementedError


def master(port: int) -> int | None:
    """The one of them that no other is the parent of."""
    raise NotImplementedError
