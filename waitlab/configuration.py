"""What an arm's service runs with, defaults filled in: the environment for waitlab.serve, and the case for a law."""

import re
from collections.abc import Mapping
from dataclasses import replace

from waitlab.case import FETCHING, ON_A_CONNECTION, Case
from waitlab.errors import LabError
from waitlab.experiment import Arm, Experiment, Prediction
from waitlab.experiment.paths import pair, split
from waitlab.experiment.question import Value
from waitlab.laws import LAWS, Predicted
from waitlab.runtime.local import plan
from waitlab.serve import settings

_SAMPLES_WITH_BOTH = ("httpx-await", "httpx-await-corrected")
DATABASE = ("query", "profile", *_SAMPLES_WITH_BOTH)
ON_DATABASE = {"dep": ON_A_CONNECTION, "to": ("queue",)}  # parameter -> its values that ask it too
OF_UPSTREAM = "upstream_"  # what the knobs begin with that are the upstream's settings
AROUND = ("cores", "edge", "replicas", OF_UPSTREAM)  # how the knobs of an arm begin that are no settings of its service
_KNOBS = "|".join(row.name for row in settings.TABLE)


def environment(arm: Arm) -> dict[str, str]:
    """The settings that the arm names, as waitlab.serve reads them, with APP, SERVICE, server and worker class.

    CORES is left to whoever starts the service: it knows which CPUs are free. LabError 2 for knobs that do not go
    together.
    """
    prefix = plan.prefix(arm.service)
    knobs = {name: value for name, value in arm.knobs.items() if not name.startswith(AROUND)}
    named = {f"{prefix}_{name.upper()}": _text(value) for name, value in knobs.items()}
    try:
        given = plan.service_knobs(arm.service, named)
        found = {**given, "APP": plan.SERVICES[arm.service].app, "SERVICE": arm.service}
        settings.read(found)
    except (LabError, settings.SettingError) as error:
        message = re.sub(rf"\b(?:{prefix}_)?({_KNOBS})\b", lambda name: name[1].lower(), str(error))
        remedy = error.remedy if isinstance(error, LabError) else ""
        raise LabError(f"arm {arm.name!r}: {message}", remedy, 2) from None
    return found


def replicas(arm: Arm) -> int:
    """How many of its service stand behind its edge."""
    return int(arm.knobs.get("replicas", 1))


def check(asked: Experiment) -> None:
    """LabError 2 for an arm that no machine can start, and for a law that says nothing of the arm it is asked about."""
    arms = {arm.name: arm for arm in asked.arms}
    for arm in asked.arms:
        if not arm.is_own:
            environment(arm)
    for one in asked.predictions:
        for member in one.members.values() or (one,):
            if member.law and not member.measured and member.arm in arms:  # a map is about all of them
                try:
                    predict(member, arms[member.arm], {}, cores=1.0)
                except LabError as error:
                    raise LabError(
                        f"{asked.name}: {one.says} ({member.arm}): {error.message}", error.remedy, 2
                    ) from None


def dependencies(arm: Arm) -> frozenset[str]:
    """The parts of the lab that the arm's requests ask: postgres, upstream, both or none. A service of the user's own
    brings what it needs.
    """
    found: set[str] = set()
    if arm.is_own:
        return frozenset()
    for request in arm.requests:
        path, parameters = split(request)
        workload = path.rpartition("/")[2]
        if workload in DATABASE or any(parameters.get(name) in values for name, values in ON_DATABASE.items()):
            found.add("postgres")
        if workload in FETCHING:
            found.add("upstream")
    return frozenset(found)


def upstream(arm: Arm) -> dict[str, Value]:
    """The upstream's settings that the arm names, as the upstream's own page calls them; none where it takes it as is.

    LabError 2 where its requests do not call the upstream.
    """
    named = {name: value for name, value in arm.knobs.items() if name.startswith(OF_UPSTREAM)}
    if named and "upstream" not in dependencies(arm):
        message = f"arm {arm.name!r}: {next(iter(named))} changes nothing: it calls no upstream"
        raise LabError(message, "fetch does, as /async/fetch", 2)
    return {name.removeprefix(OF_UPSTREAM): value for name, value in named.items()}


def case(arm: Arm, cores: float) -> Case:
    """What laws may know of the arm. `cores`: what its service has where the arm does not say.

    LabError for a service of the user's own: what its requests wait for is not in their names.
    """
    if arm.is_own:
        raise LabError(f"arm {arm.name!r}: no law knows what {arm.service} waits for", "say a number", 2)
    known, outside = settings.read(environment(arm)), upstream(arm)
    path, parameters = split(arm.request)
    style, workload = pair(path)
    return Case(
        style=style,
        workload=workload,
        parameters=parameters,
        worker_class=known.worker_class,
        workers=known.workers * replicas(arm),
        threads=known.threads,
        tokens=known.tokens,
        executor_threads=known.executor_threads,
        pool_size=known.pool_size,
        cores=float(arm.knobs.get("cores", cores)),
        users=arm.load.users,
        think_s=arm.load.think_ms / 1000,
        concurrent=arm.load.concurrent,
        rate=arm.load.rate,
        backlog=known.backlog,
        upstream_concurrency=int(outside.get("concurrency", 0)),
        upstream_delay_s=int(outside.get("delay_ms", 0)) / 1000,
        service=arm.service,
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
