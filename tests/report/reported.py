"""Made-up runs of the lab's own experiments, with a sweep, single requests and bystanders: no machine measured them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tests.verdicts import made
from waitlab import configuration, experiment, forecast, results
from waitlab.experiment import Arm, Experiment
from waitlab.laws import finish_s
from waitlab.trial import Single, Trial

STAMP, NOTICE = made.STAMP, made.NOTICE
MACHINE = {
    "notice": NOTICE,
    "cores": 4,
    "memory_bytes": 8_000_000_000,
    "steal_ratio": 0.004,
    "probe_ms": {"0": 5.1, "1": 5.2},
    "doubts": [],
    "trusted_for_io": True,
}


def write(root: Path, name: str, change: Callable[[Trial], Trial] = lambda trial: trial) -> Path:
    """The results folder of a run of one of the lab's experiments in which nearly all came as predicted."""
    asked = experiment.read(experiment.find(name))
    folder = results.create(root, asked.name, STAMP, asked.text, MACHINE)
    for trial in trials(asked):
        results.append(folder, change(trial))
    return folder


def trials(asked: Experiment) -> list[Trial]:
    chance = random.Random(7)
    rounds = range(1, max(arm.load.repeats for arm in asked.arms) + 1)
    pairs = [(arm, repeat) for repeat in rounds for arm in asked.arms if repeat <= arm.load.repeats]
    return [one(arm, repeat, order, chance.gauss(1, 0.01)) for order, (arm, repeat) in enumerate(pairs, 1)]


def one(arm: Arm, repeat: int, order: int, luck: float) -> Trial:
    pids = list(range(11, 11 + int(arm.knobs.get("workers", 2))))
    facts = {
        "arm": arm.name,
        "repeat": repeat,
        "order": order,
        "began": NOTICE,
        "service": settings(arm),
        "identity": tuple({"nonce": "n1", "code": "c1", "pids": pids} for _ in range(3)),
    }
    if arm.load.concurrent:
        known = configuration.case(arm, 3)
        finished = [finish_s(known, k) * luck + 0.004 * k for k in range(1, arm.load.concurrent + 1)]
        wait_s = known.wait_s or 0.3
        singles = tuple(Single(0.0, max(0.001, end - wait_s), end, 200) for end in finished)
        return replace(made.singles(*finished), **{**facts, "singles": singles})
    response_s = max(0.001, forecast.response_s(arm, 3)) * luck
    rate = (arm.load.users or made.USERS) / (response_s + arm.load.think_ms / 1000)
    trial = replace(made.trial(rate, arm.name, repeat), **facts)
    inside = min(response_s, configuration.case(arm, 3).wait_s * 1.01)
    victim_s = response_s * 1.45 if arm.request.startswith("/blocked") else 0.002
    victim = {round(victim_s * 1e6): 200} if arm.load.victim else {}
    seen = made.client(trial, users=arm.load.users, think_s=arm.load.think_ms / 1000, victim_us=victim)
    seen = made.client(seen, response_us={round(response_s * 1e6): seen.client.counted if seen.client else 0})
    return made.server(
        seen, duration_mean_s=inside, queue_mean_s=response_s - inside, loop_lag_max_s=response_s, duration_p95_s=inside
    )


def settings(arm: Arm) -> Mapping[str, object]:
    return {"nonce": "n1", **{key: str(value) for key, value in arm.knobs.items()}}
