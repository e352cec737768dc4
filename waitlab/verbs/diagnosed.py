"""`lab diagnose`: which service is meant, watching it, and saying what limits it."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from waitlab import runtime, status, target
from waitlab.diagnose import by_command, decision, sources, watch, words
from waitlab.diagnose.limits import Limit
from waitlab.diagnose.sources import Source
from waitlab.errors import LabError
from waitlab.runtime.compose.looks import ContainerLab
from waitlab.runtime.local import plan
from waitlab.runtime.local.looks import LocalLab
from waitlab.runtime.local.state import Home
from waitlab.runtime.looks import Lab
from waitlab.target import compose
from waitlab.target.reading import NAME

CANNOT_TELL = 120
_LOOK_SECONDS = 1.0


def run(what: str | None, seconds: float, as_json: bool) -> int:
    """Watch and say; the exit status. LabError where there is nothing to watch."""
    source = _source(what, os.environ)
    console = Console(stderr=True, highlight=False)
    with console.status(f"watching {source.name} for {seconds:g} s") as line:
        seen = watch.watch(source, seconds, lambda done: line.update(f"watching {source.name}: {done:.0%}"))
    verdict = decision.decide(seen)
    print(words.as_json(seen, verdict) if as_json else words.text(seen, verdict))
    return CANNOT_TELL if verdict.limit is Limit.UNKNOWN else 0


def _source(what: str | None, environment: Mapping[str, str]) -> Source:
    """An address, or a file or a folder with lab.toml, is a user's service; a name is one that runs here."""
    if what is None:
        return _unnamed(environment)
    if "/" in what or what.endswith(".toml"):
        return _of_user(what, environment)
    if runtime.in_container(environment):
        return sources.of_lab(ContainerLab(environment), what)
    home = Home.of(environment)
    if what not in plan.SERVICES and (home.run(what) / "serve.json").exists():
        return _served(home.run(what), home)
    return sources.of_lab(LocalLab(home), what)


def _unnamed(environment: Mapping[str, str]) -> Source:
    """The busiest service of the lab that runs; where none runs, or nobody asks it anything, that of lab.toml here."""
    in_container = runtime.in_container(environment)
    lab: Lab = ContainerLab(environment) if in_container else LocalLab(Home.of(environment))
    try:
        return sources.of_lab(lab, _busiest(lab))
    except LabError:
        if in_container or not Path(NAME).exists():
            raise
    return _of_user(NAME, environment)


def _of_user(what: str, environment: Mapping[str, str]) -> Source:
    """With its telemetry where `lab serve` started it, and else by its port or its containers alone."""
    if runtime.in_container(environment):
        raise LabError("a service of your own is not diagnosed from a container", "RUNTIME=local ./lab diagnose", 2)
    home = Home.of(environment)
    if "://" in what:
        return _at(what, what, home)
    read = target.read(Path(what))
    if read.compose:
        return sources.of_containers(read.name, read.url, compose.running(read, environment)[1])
    if "{port}" not in read.url:
        return _at(read.name, read.url, home)
    run_dir = None if read.name in plan.SERVICES else sources.served_as(read.name, home.folder / "run")
    return _served(run_dir, home) if run_dir else sources.of_port(read.name, by_command.url(read))


def _at(name: str, url: str, home: Home) -> Source:
    """What serves at an address: with its telemetry where `lab serve` started it."""
    run_dir = sources.served_at(url, home.folder / "run")
    return _served(run_dir, home) if run_dir else sources.of_port(name, url)


def _served(run_dir: Path, home: Home) -> Source:
    return sources.of_run_dir(run_dir, home.targets / f"{run_dir.name}.json", home.targets)


def _busiest(lab: Lab) -> str:
    """The service of the lab that answers most; LabError when none is asked anything."""
    meter = status.Meter(lab)
    meter.read(probe=False)
    time.sleep(_LOOK_SECONDS)
    services = meter.read(probe=False).services
    load = {
        name: (one.requests_per_second, sum(worker.in_flight for worker in one.each_worker) + one.accept_queue)
        for name, one in services.items()
    }
    name = max(load, key=lambda one: load[one], default="")
    if not name or not any(load[name]):
        raise LabError("no service of the lab is asked anything", "start a load on Locust's page, or name a service", 2)
    return name
