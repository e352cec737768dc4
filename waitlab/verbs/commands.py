"""Whether a machine can start the arms of an experiment, and the commands of a trial as a person would type them."""

import sys

from waitlab import configuration
from waitlab.errors import LabError
from waitlab.experiment import THEIR_MIX, Arm, Experiment

ADDRESS = "http://127.0.0.1:PORT"


def check(asked: Experiment) -> None:
    """LabError 2 for an arm that no machine can start, by its knobs or by its lab.toml, and for a law out of place."""
    configuration.check(asked)
    if sys.platform.startswith("linux"):
        from waitlab.target import of_arm  # noqa: PLC0415

        for arm in asked.arms:
            if arm.is_own:
                of_arm(arm)


def commands(arm: Arm) -> dict[str, str]:
    """The service's and the load's; instead of the service's why this machine cannot start it."""
    if not sys.platform.startswith("linux"):  # where a plan can be read, and nothing can be measured
        return {}
    from waitlab import drive  # noqa: PLC0415

    started = _own(arm) if arm.is_own else _service(arm)
    if arm.load.concurrent:
        return {"service": started, "load": f"{arm.load.concurrent} requests at once, by the runner itself"}
    if arm.request == THEIR_MIX:
        return {"service": started, "load": f"{THEIR_MIX}, by the runner's Locust"}
    return {"service": started, "load": drive.command(ADDRESS, arm.request, arm.load)}


def _own(arm: Arm) -> str:
    from waitlab.target import of_arm  # noqa: PLC0415

    target, setting = of_arm(arm)
    return target.typed(setting)


def _service(arm: Arm) -> str:
    from waitlab.runner import cores, service  # noqa: PLC0415

    try:
        return service.command(arm, cores.of(arm, cores.usable()))
    except LabError as error:
        return f"cannot be started here: {error.message}"
