"""What an arm's service runs with, defaults filled in: the environment for waitlab.serve, and the case for a law."""

import re
from collections.abc import Mapping
from dataclasses import replace

from waitlab.case import Case
from waitlab.errors import LabError
from waitlab.experiment import Arm, Experiment, Prediction
from waitlab.experiment.paths import split
from waitlab.laws import LAWS, Predicted
from waitlab.runtime.local import plan
from waitlab.serve import settings

_SAMPLES_WITH_BOTH = ("httpx-await", "httpx-await-corrected")
DATABASE = ("query", "profile", *_SAMPLES_WITH_BOTH)
UPSTREAM = ("fetch", "profile", "client-per-request", "client-per-request-corrected", *_SAMPLES_WITH_BOTH)
_KNOBS = "|".join(row.name for row in settings.TABLE)


def environment(arm: Arm) -> dict[str, str]:
    """The settings that the arm names, as waitlab.serve reads them, with APP, SERVICE, server and worker class.

    CORES is left to whoever starts the service: it knows which CPUs are free. LabError 2 for knobs that do not go
    together.
    """
    prefix = arm.service.upper()
    named = {f"{prefix}_{name.upper()}": _text(value) for name, value in arm.knobs.items() if name != "cores"}
    try:
        given = plan.service_knobs(arm.service, named)
        found = {**given, "APP": plan.SERVICES[arm.service].app, "SERVICE": arm.service}
        settings.read(found)
    except (LabError, settings.SettingError) as error:
        message = re.sub(rf"\b(?:{prefix}_)?({_KNOBS})\b", lambda name: name[1].lower(), str(error))
        remedy = error.remedy if isinstance(error, LabError) else ""
        raise LabError(f"arm {arm.name!r}: {message}", remedy, 2) from None
    return found


def check(asked: Experiment) -> None:
    """LabError 2 for an arm that no machine can start, and for a law that says nothing of the arm it is asked about."""
    arms = {arm.name: arm for arm in asked.arms}
    for arm in asked.arms:
        environment(arm)
    for one in asked.predictions:
        for member in one.members.values() or (one,):
            if member.law and not member.measured:
                try:
                    predict(member, arms[member.arm], {}, cores=1.0)
                except LabError as error:
                    raise LabError(
                        f"{asked.name}: {one.says} ({member.arm}): {error.message}", error.remedy, 2
                    ) from None


def dependencies(arm: Arm) -> frozenset[str]:
    """The parts of the lab that the arm's requests ask: postgres, upstream, both or none."""
    found: set[str] = set()
    for request in filter(None, (arm.request, arm.load.victim)):
        path, parameters = split(request)
        workload = path.rpartition("/")[2]
        if workload in DATABASE or parameters.get("dep") == "session":
            found.add("postgres")
        if workload in UPSTREAM:
            found.add("upstream")
    return frozenset(found)


def case(arm: Arm, cores: float) -> Case:
    """What laws may know of the arm. `cores`: what its service has where the arm does not say."""
    known = settings.read(environment(arm))
    path, parameters = split(arm.request)
    _, style, workload = path.split("/")
    return Case(
        style=style,
        workload=workload,
        parameters=parameters,
        worker_class=known.worker_class,
        workers=known.workers,
        threads=known.threads,
        tokens=known.tokens,
        executor_threads=known.executor_threads,
        pool_size=known.pool_size,
        cores=float(arm.knobs.get("cores", cores)),
        users=arm.load.users,
        think_s=arm.load.think_ms / 1000,
        concurrent=arm.load.concurrent,
        rate=arm.load.rate,
    )


def predict(
    prediction: Prediction, arm: Arm, measured: Mapping[str, float], cores: float, executor_threads: int | None = None
) -> Predicted:
    """What the prediction's law says of its arm, from the inputs that were measured. LabError where it says nothing.

    `executor_threads`: what the arm's service had, where it ran on another machine: their default is that machine's.
    """
    known = case(arm, cores)
    if executor_threads:
        known = replace(known, executor_threads=executor_threads)
    return LAWS[prediction.law].predict(known, measured)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
