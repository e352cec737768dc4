"""Whether the settings of a lab in containers are allowed: asked by ./lab before anything starts.

`python -m waitlab.runtime.compose.settings` takes them from the environment, and from a .env file on standard input,
over which the environment wins. It prints what ./lab itself has to know of them, or what is wrong.
"""

import os
import re
import sys
from collections.abc import Mapping

from waitlab.errors import LabError
from waitlab.runtime.compose import containers
from waitlab.runtime.local import plan

PORTS = {f"{plan.prefix(part)}_PORT": port for part, (_, port) in containers.PUBLISHED.items()}  # by default as inside
LEFT_OUT_BY = {f"LAB_{part.upper()}": part for part in containers.OPTIONAL}
ALLOWED = {
    "CPUS": (r"\d{1,4}(\.\d{1,3})?|\.\d{1,3}", "a number of CPUs such as 2 or 0.5"),
    "MEMORY": (r"\d{1,12}([bkmgBKMG]|[kmgKMG][bB])?", "an amount such as 512M or 2G"),
    "PIDS": (r"[1-9]\d{0,6}", "a number of processes and threads"),
}


def check(environment: Mapping[str, str]) -> dict[str, int]:
    """Setting -> published port. LabError 2 names the first wrong setting."""
    plan.refuse_misspelt(environment)
    found = {setting: plan.port(environment, setting, default) for setting, default in PORTS.items()}
    for name in plan.SERVICES:
        knobs = {**plan.service_knobs(name, environment), "APP": plan.SERVICES[name].app, "SERVICE": name}
        plan.check_service(name, knobs, with_database=True)
    for setting in sorted(plan.CONTAINER_SETTINGS | {"LAB_CPUS"}):
        _require(environment, setting, *ALLOWED[setting.rpartition("_")[2]])
    for setting in LEFT_OUT_BY:
        _require(environment, setting, "[01]", "1, or 0 to leave it out")
    plan.switched_on(environment, "EDGE_BUFFERING")
    if environment.get("EDGE") and not plan.switched_on(environment, "EDGE"):
        raise LabError("EDGE='off' is not possible here", "containers are reached through the edge only: unset it", 2)
    _require(environment, "LAB_BIND", r"\d{1,3}(\.\d{1,3}){3}", "an IPv4 address of this machine")
    for setting, port in found.items():
        twin = next((other for other in found if other != setting and found[other] == port), None)
        if twin is not None:
            raise LabError(f"{setting} and {twin} are both {port}", "give each part a port of its own", 2)
    return found


def dotenv(text: str) -> dict[str, str]:
    """The variables of a .env file: NAME=value, the value in quotes or not."""
    rows = re.findall(r"^\s*(?:export\s+)?(\w+)\s*=\s*(\"[^\"]*\"|'[^']*'|.*?)\s*(?:\s#.*)?$", text, re.MULTILINE)
    return {name: value[1:-1] if value[:1] in ("'", '"') else value for name, value in rows}


def _require(environment: Mapping[str, str], setting: str, pattern: str, allowed: str) -> None:
    text = environment.get(setting, "")
    if text and not re.fullmatch(pattern, text):
        raise LabError(f"{setting}={text[:80]!r} is not allowed", f"{setting} takes {allowed}", 2)


def main() -> None:
    """Print a line for each published port, and one for each part that is left out; or end with what is wrong."""
    given = {**dotenv(sys.stdin.read()), **os.environ}
    try:
        for setting, port in check(given).items():
            print("port", setting, port, given.get("LAB_BIND") or "127.0.0.1")
        for setting, part in LEFT_OUT_BY.items():
            if given.get(setting) == "0":
                print("without", part)
    except LabError as error:
        print(error.told, file=sys.stderr)
        sys.exit(error.code)


if __name__ == "__main__":
    main()
