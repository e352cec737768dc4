"""The commands of a trial, as a person would type them, without starting anything."""

from waitlab import drive
from waitlab.errors import LabError
from waitlab.experiment import Arm
from waitlab.runner import cores, service

ADDRESS = "http://127.0.0.1:PORT"


def commands(arm: Arm) -> dict[str, str]:
    """The service's and the load's; instead of the service's why this machine cannot start it."""
    asked = arm.knobs.get("cores")
    try:
        started = service.command(arm, cores.share(cores.usable(), int(asked) if asked else None))
    except LabError as error:
        started = f"cannot be started here: {error.message}"
    if arm.load.concurrent:
        return {"service": started, "load": f"{arm.load.concurrent} requests at once, by the runner itself"}
    return {"service": started, "load": drive.command(ADDRESS, arm.request, arm.load)}
