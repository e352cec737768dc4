"""Starts a target, loads it, watches it; at the end nothing of it is left."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType

from waitlab import process
from waitlab.errors import LabError
from waitlab.runner import cores as cores_
from waitlab.runner import surroundings
from waitlab.runner.cores import Share
from waitlab.target import address, answers, compose, running, starting
from waitlab.target.service import Around, Service
from waitlab.target.settings import Setting
from waitlab.target.target import Target

__all__ = ["Rig", "Service", "rig"]

POOL_SIZE = 10  # of a service that leaves it to itself


class Rig:
    """A context manager. On exit nothing of the target is left, and one that ran before has its worker count back."""

    def __init__(self, target: Target, share: Share, only: Sequence[str], environment: Mapping[str, str]) -> None:
        self.target = target
        self.share = share
        self._only = tuple(only)
        self._environment = environment
        self._until_ended = ExitStack()
        self._inherited: Mapping[str, str] = {}
        self._around: Around | None = None
        self._found: Service | None = None

    def __enter__(self) -> "Rig":
        with ExitStack() as stack:
            process.adopt_orphans()
            target = self.target
            outside = surroundings.surroundings(target.needs, _connections(target), self._environment)
            around = stack.enter_context(outside)
            is_labs = target.scale == "control"
            self._inherited = {**around.inherited, **around.given(target.needs)} if is_labs else self._environment
            self._around = Around(around.folder, self.share, self._only, self._environment)
            if target.compose:
                self._found = stack.enter_context(compose.composed(target, self._around, self._environment))
            elif target.kind == "running":
                self._found = stack.enter_context(running.found(target, self._around))
            self._until_ended = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._until_ended.__exit__(kind, error, trace)

    @property
    def pid(self) -> int | None:
        """What the processes of a target that ran before are below; None where they are not to be seen, and of one that
        is started here.
        """
        return self._found.pid if self._found else None

    @contextmanager
    def serve(self, setting: Setting) -> Iterator[Service]:
        """The target with this setting for the length of a `with`; LabError, with its last words, when it does not
        start or does not answer its requests as it should.
        """
        assert self._around, "a rig is used in a `with`"
        with ExitStack() as until_ended:
            if self._found:
                running.give(self._found, setting)
                service = self._found
            else:
                started = starting.started(self.target, setting, self._around, self._inherited)
                service = until_ended.enter_context(started)
            try:
                answers.check(self.target, service.url)
            except LabError:
                service.must_serve()  # which says more than that nobody answers
                raise
            yield service


def rig(target: Target, cores: int | None, allow: Sequence[str], environment: Mapping[str, str]) -> Rig:
    """What measures the target: `cores` for the service (default: all but one), `allow` beside the target's own list of
    addresses beyond this machine, `environment` is this process'. LabError 2 for a target that may not be loaded.
    """
    only = address.beyond(target.url.replace("{port}", "0"), (*target.allow, *allow))
    return Rig(target, cores_.share(cores_.usable(), cores), only, environment)


def _connections(target: Target) -> int:
    """How many of PostgreSQL's the neediest setting takes."""
    return max(one.workers * (one.pool_size or POOL_SIZE) for one in target.choices.settings())
