"""Loads that change by themselves and own their length: Steady, Ramp, Steps and Spike."""

# Locust is only partly typed.
# mypy: disable-error-code="no-untyped-call"

import math
from abc import abstractmethod
from typing import Any, ClassVar

from locust import LoadTestShape
from locust.env import Environment

from locustfiles.arguments import NO_SHAPE


class Shape(LoadTestShape):
    """`users` as a function of the share of its length that has passed. Locust asks once a second."""

    abstract: ClassVar[bool] = True

    @abstractmethod
    def users(self, passed: float, options: Any) -> int:
        """How many, when the share `passed`, from 0 to 1, of the length is over."""

    def tick(self) -> tuple[int, float] | None:
        """Users, and how many a second may come or go; None ends the load."""
        assert self.runner is not None
        options: Any = self.runner.environment.parsed_options
        passed = self.get_run_time() / options.shape_seconds
        # A rate of all users a second: what is missing at a tick is there before the next one.
        return (self.users(passed, options), float(options.shape_users)) if passed < 1 else None


class Steady(Shape):
    """All users from the first second to the last."""

    def users(self, passed: float, options: Any) -> int:
        return int(options.shape_users)


class Ramp(Shape):
    """From one user to all of them, evenly: where does the service stop keeping up?"""

    def users(self, passed: float, options: Any) -> int:
        return int(max(1, math.ceil(options.shape_users * passed)))


class Steps(Shape):
    """Up in equal steps, each held for an equal time, long enough to read a figure at every level."""

    def users(self, passed: float, options: Any) -> int:
        step = math.floor(options.shape_steps * passed) + 1
        return int(-(-options.shape_users * step // options.shape_steps))  # rounded up


class Spike(Shape):
    """Few users, all users in the middle third, few again: how long does the queue outlive its cause?"""

    def users(self, passed: float, options: Any) -> int:
        return int(options.shape_users if 1 / 3 <= passed < 2 / 3 else options.shape_low_users)


SHAPES: dict[str, type[Shape]] = {shape.__name__: shape for shape in (Steady, Ramp, Steps, Spike)}


def offer(environment: Environment) -> None:
    """Let the web UI's class picker list the shapes, and run the one the command line asked for, if any.

    They are kept out of lab.py's names: Locust would take the first shape it finds there for every run, asked or not.
    """
    environment.available_shape_classes = {name: shape() for name, shape in SHAPES.items()}
    chosen = getattr(environment.parsed_options, "shape", NO_SHAPE)
    if chosen != NO_SHAPE:
        environment.shape_class = environment.available_shape_classes[chosen]
        environment.shape_class.runner = environment.runner
