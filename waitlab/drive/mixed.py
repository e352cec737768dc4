"""The load on a service that is not the lab's: a mix of requests, or the users of a locustfile of its own."""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from waitlab.drive import driver
from waitlab.drive.driver import Driver
from waitlab.drive.record import Recording
from waitlab.errors import LabError
from waitlab.experiment import Load

THEIRS = driver.LOCUSTFILE.with_name("theirs.py")
PATIENCE_SECONDS = 30.0


@contextmanager
def driving_mix(
    url: str,
    requests: Sequence[Mapping[str, Any]],
    load: Load,
    folder: Path,
    environment: Mapping[str, str],
    *,
    only: Collection[str] = (),
) -> Iterator[Driver]:
    """The load on several paths of a service, for the length of a `with`, as `driver.driving` is on one.

    Each of `requests` has path, weight, method, headers and body. The generator can reach no address but loopback and
    `only`. Headers may hold secrets: they are in a file of this user's alone, and on no command line.
    """
    words = driver.locust(url, "/", load, folder, patience_s=PATIENCE_SECONDS)
    mix = folder / "mix.json"
    mix.touch(mode=0o600, exist_ok=False)
    mix.write_text(json.dumps([dict(one) for one in requests]), encoding="utf-8")
    before = words.index("--url")
    words[before:before] = ["--mix", str(mix), "--only", " ".join(only) or "-"]
    typed = driver.command(url, "/", load).replace("--request /", "--mix MIX")
    with (
        driver.standby(folder, environment) as ready,
        driver.sending(words, typed, load, folder, ready, patience_s=PATIENCE_SECONDS) as sending,
    ):
        yield sending


@contextmanager
def driving_theirs(
    url: str,
    locustfile: Path,
    load: Load,
    folder: Path,
    environment: Mapping[str, str],
    *,
    only: Collection[str] = (),
) -> Iterator[Driver]:
    """The users of a locustfile, as many as the load says, for the length of a `with`.

    They run in the folder of their file, with whatever classes, weights and waits it gives them; a load shape of its
    own is passed over. LabError 2 with the last line that it said when it cannot be loaded.
    """
    if load.rate:
        raise LabError(f"{locustfile} has users, who come at no rate", "say requests in lab.toml for a rate", 2)
    words = ["locust", "-f", f"{THEIRS},{locustfile}", "--headless", "--only-summary", "--loglevel", "WARNING"]
    words += ["-u", str(load.users), "-r", str(load.users), "--host", url]
    words += ["--patience-s", f"{PATIENCE_SECONDS:g}", "--record-to", str(folder), "--only", " ".join(only) or "-"]
    typed = shlex.join(["locust", "-f", str(locustfile), "--headless", "-u", str(load.users), "--host", url])
    own = {"NO_PROXY": "*", "no_proxy": "*"}  # a proxy would be asked in place of the service
    with (
        _explained(locustfile, folder),
        driver.standby(folder, {**environment, **own}, cwd=locustfile.parent) as ready,
        driver.sending(words, typed, load, folder, ready, patience_s=PATIENCE_SECONDS) as sending,
    ):
        yield sending


@contextmanager
def _explained(locustfile: Path, folder: Path) -> Iterator[None]:
    """A generator that never recorded has failed in the user's file."""
    try:
        yield
    except LabError as error:
        if Recording(folder).files():
            raise
        said = (folder / driver.LOG).read_text(errors="replace").strip().splitlines()
        why = said[-1] if said else "Locust says nothing"
        raise LabError(f"{locustfile} cannot be loaded: {why}", "try it: locust --list -f FILE", 2) from error
