"""What is measured: how it is started, what is asked of it, what may be chosen."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from waitlab.target.settings import Choices, Setting

Kind = Literal["command", "running"]
Scale = Literal["restart", "signals", "replicas", "control"]  # control: as waitlab.serve takes it, by a file
PLACEHOLDER = re.compile(r"\{(\w+)\}")
LOGIN_OF_URL = re.compile(r"://[^/\s@]+@")
TYPED_PORT = 8000  # what a person would take


@dataclass(frozen=True)
class Request:
    """One kind of request of the mix; `weight` is its share against the others'."""

    path: str
    weight: float = 1.0
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True)
class Target:
    """A service of the lab's or of a user's.

    It is started with a command (`words`, with placeholders, and what `given` adds to its environment), or runs already
    at `url`, as the process that `pid_file` names or that listens there, or as the compose service `compose`. It has
    `requests` or a `locustfile` of its own. `scale`: how its workers become more or fewer while it runs. `allow`:
    addresses beyond this machine that may be loaded. `needs`: of the lab's dependencies what it asks.
    """

    name: str
    directory: Path
    health: str
    choices: Choices
    kind: Kind
    requests: tuple[Request, ...] = ()
    locustfile: Path | None = None
    words: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    pid_file: Path | None = None
    compose: str = ""
    scale: Scale = "restart"
    allow: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    shown: frozenset[str] = frozenset()  # of `given` what may be printed though nothing of it is chosen
    prefix: str = ""  # of its compose variables
    digest: str = ""  # of the file that describes it, and of its locustfile

    def command(self, setting: Setting, port: int) -> list[str]:
        """The words that start it; no shell reads them."""
        return [filled(word, setting, port) for word in shlex.split(self.words)]

    def environment(self, setting: Setting, port: int = TYPED_PORT) -> dict[str, str]:
        """What is added to the environment it starts in."""
        return {name: filled(text, setting, port) for name, text in self.given.items()}

    def typed(self, setting: Setting) -> str:
        """The command line a person would type; of its environment what is chosen, since the rest may be secret. Of a
        service that runs already there is none: then the setting in words.
        """
        if self.kind == "running" and not self.compose:
            return str(setting)
        told = {name: value for name, value in self.environment(setting).items() if value and self._is_shown(name)}
        words = [f"{name}={shlex.quote(value)}" for name, value in told.items()]
        typed = " ".join([*words, shlex.join(self._composed(setting) or self.command(setting, TYPED_PORT))])
        return LOGIN_OF_URL.sub("://...@", typed)

    def variables(self, setting: Setting) -> dict[str, str]:
        """The choice as variables for a compose file: those of its environment that hold a choice, or by their names
        in capitals where its command holds them.
        """
        chosen = {name: value for name, value in setting.values.items() if value}
        named = {name: text for name, text in self.given.items() if set(PLACEHOLDER.findall(text)) & chosen.keys()}
        held = {word for text in named.values() for word in PLACEHOLDER.findall(text)}
        found = {name: filled(text, setting, TYPED_PORT) for name, text in named.items()}
        found |= {name.upper(): value for name, value in chosen.items() if name not in held}
        return {f"{self.prefix}{name}": value for name, value in found.items()}

    @property
    def takes_workers(self) -> bool:
        """Whether its command or its environment says how many workers there shall be."""
        return any("workers" in PLACEHOLDER.findall(text) for text in (self.words, *self.given.values()))

    @property
    def has_replicas(self) -> bool:
        """Whether each worker is a container: it is a compose service, and no variable takes them."""
        return bool(self.compose) and not self.takes_workers

    def _composed(self, setting: Setting) -> list[str]:
        """What gives a compose service its setting, as words; none of another."""
        scaled = ["--scale", f"{self.compose}={setting.workers}"] if self.has_replicas and setting.workers else []
        return ["docker", "compose", "up", "--detach", *scaled, self.compose] if self.compose else []

    def _is_shown(self, name: str) -> bool:
        return name in self.shown or bool(PLACEHOLDER.findall(self.given[name]))


def filled(text: str, setting: Setting, port: int) -> str:
    """The text with its placeholders filled in; what is in braces and none of them stays as it is."""
    values = {**setting.values, "port": str(port)}
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)
