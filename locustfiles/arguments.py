"""The choices Locust's web UI, command line and environment offer for a load, each with the words that teach it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from locustfiles.request import NATURAL, Refused
from services.contract import SAMPLE, SAMPLES, STYLES, WORKLOADS

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser  # at run time it would patch the importing process

MOST_USERS = 10_000
NO_SHAPE = "none"
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True)
class Argument:
    """One choice: `name` in the web form, --name on the command line, LOCUST_NAME in the environment.

    It takes one of `choices`, or a whole number up to `maximum`, or else any text.
    """

    name: str
    default: str | int
    help: str
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int | None = None
    in_web_ui: bool = True

    def read(self, text: str) -> str | int:
        """The value that `text` means; Refused with what is allowed."""
        if self.choices and text not in self.choices:
            raise Refused(f"{self.name} must be one of {', '.join(self.choices)}, not {text!r}.")
        if self.maximum is None:
            return text
        if not _WHOLE_NUMBER.fullmatch(text) or not self.minimum <= int(text) <= self.maximum:
            raise Refused(f"{self.name} must be a whole number from {self.minimum} to {self.maximum}, not {text!r}.")
        return int(text)

    def add_to(self, parser: "LocustArgumentParser") -> None:
        """Offer it on the command line, in the environment and, unless it has no place there, in the web form."""
        parser.add_argument(
            f"--{self.name.replace('_', '-')}",
            env_var=f"LOCUST_{self.name.upper()}",
            type=self.read,
            choices=self.choices or None,
            default=self.default,
            help=self.help,
            include_in_web_ui=self.in_web_ui,
        )


def arguments(addresses: Mapping[str, str], shapes: Iterable[str]) -> dict[str, Argument]:
    """Every argument by its name, in the order of the web UI; `addresses` are the services there are to choose from."""
    listed = (
        Argument(
            "service",
            next(iter(addresses)),
            "which service gets the load; its address comes with it",
            tuple(addresses),
        ),
        Argument(
            "style",
            NATURAL,
            "where a request waits; natural = sync on WSGI, async on ASGI",
            (NATURAL, *STYLES, SAMPLE),
        ),
        Argument(
            "workload",
            NATURAL,
            "what a request does; natural = IoBound sleeps, CpuBound burns CPU, OneRequest pings",
            (NATURAL, *WORKLOADS, *SAMPLES),
        ),
        Argument("parameters", "", "how much of it, as in a URL: ms=200 or rounds=50&kind=hash; empty = the defaults"),
        Argument(
            "think_time_ms",
            0,
            "how long a user rests between answer and next request; 0 = as fast as it is answered",
            maximum=600_000,
        ),
        Argument(
            "trace_one_in",
            100,
            "one request in this many is traced through the service; 1 = all, which costs the service, 0 = none",
            maximum=1_000_000,
        ),
        Argument(
            "shape",
            NO_SHAPE,
            "a load that changes by itself and ends by itself; in the web UI pick it as Shape Class",
            (NO_SHAPE, *shapes),
            in_web_ui=False,
        ),
        Argument("shape_users", 50, "for a Shape Class: users at its highest", minimum=1, maximum=MOST_USERS),
        Argument("shape_seconds", 60, "for a Shape Class: its whole length", minimum=1, maximum=86_400),
        Argument("shape_steps", 5, "for Steps: how many equal steps up", minimum=1, maximum=100),
        Argument("shape_low_users", 5, "for Spike: users before and after", maximum=MOST_USERS),
    )
    return {argument.name: argument for argument in listed}
