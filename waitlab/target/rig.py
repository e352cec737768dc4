"""Starts a target, loads it, watches it; at the end nothing of it is left."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

from waitlab.runner.cores import Share
from waitlab.target.observation import Observation
from waitlab.target.settings import Setting
from waitlab.target.target import Target


class Service:
    """A target that serves, with one setting at a time."""

    setting: Setting
    url: str
    pid: int  # of its master

    def scale(self, workers: int) -> bool:
        """Give it so many workers, live. False where that cannot be: then it has to be started anew."""
        raise NotImplementedError

    def measure(self, *, users: int = 0, rate: float = 0.0, seconds: float) -> Observation:
        """A load of `users` in a closed loop or of arrivals at `rate` a second, first until it is warm, then for the
        window of `seconds`; every request gets its answer.

        LabError where its answers say that it is not to be measured so (a redirect, a login, a rate limit), where it
        changed meanwhile, and where nothing was answered well.
        """
        raise NotImplementedError

    def pss_mb(self) -> float:
        """What it occupies now, all its processes together."""
        raise NotImplementedError


class Rig:
    """A context manager. On exit nothing of the target is left, and one that ran before has its worker count back."""

    share: Share  # cores of the service, of the generator

    def __enter__(self) -> "Rig":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    @contextmanager
    def serve(self, setting: Setting) -> Iterator[Service]:
        """The target with this setting for the length of a `with`; LabError, with its last words, when it does not
        start or does not answer its requests as it should.
        """
        raise NotImplementedError
        yield Service()


def rig(target: Target, cores: int | None, allow: Sequence[str], environment: Mapping[str, str]) -> Rig:
    """What measures the target: `cores` for the service (default: all but one), `allow` beside the target's own list of
    addresses beyond this machine, `environment` is this process'. LabError 121 for a target that may not be loaded.
    """
    raise NotImplementedError
