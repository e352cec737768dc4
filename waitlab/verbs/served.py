"""`lab serve`: a service of the user's, with the lab's telemetry added from outside."""

import logging
import os
import sys
from dataclasses import replace

from waitlab.errors import LabError
from waitlab.runtime.local import lab, plan
from waitlab.runtime.local.state import Home
from waitlab.serve import outside


def run(asked: outside.Asked) -> int:
    """Serve under the name of `asked` in the running lab's Prometheus, if it runs; the exit code."""
    home = Home.of(os.environ)
    named = outside.checked(asked)
    if named.service in plan.PARTS:
        raise LabError(f"{named.service} is a part of the lab", "give the service a name of its own: --name NAME", 2)
    if not lab.is_up(home):
        print("The lab is not up: what is measured is kept nowhere until ./lab up has started it.", flush=True)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    placed = replace(named, run_dir=home.run(named.service), targets_dir=home.targets)
    return outside.run(placed, os.environ)
