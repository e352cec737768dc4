"""Made-up trials for tests: no machine measured them. A healthy one is consistent by Little's law and in its counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from waitlab.experiment import Arm, Experiment, Load, Prediction
from waitlab.laws import Predicted
from waitlab.trial import Client, Machine, Server, Single, Slice, Trial, Worker

SECONDS, USERS = 10.0, 20
NOTICE = "MADE UP for tests: no machine measured this"
STAMP = "2026-11-21T10-32-07"
QUESTION = f"""# {NOTICE}
title = "A synchronous worker serves one request at a time"
question = "How many requests a second do 2 sync workers serve when each waits 200 ms?"

[load]
users = 20
seconds = 10
repeats = 3

[arms.sync]
service = "flask"
request = "/sync/sleep?ms=200"
worker_class = "sync"
workers = 2

[[predictions]]
says = "Throughput is workers / wait."
quantity = "throughput_rps"
law = "concurrency_limit"
within = 0.10

[[predictions]]
says = "A request that waits computes next to nothing."
quantity = "cpu_ms_per_request"
at_most = 10.0
"""
IDENTITY = {"nonce": "n1", "code": "c1", "pids": [11, 12], "server": "gunicorn", "worker_class": "sync"}


def load(**changes: Any) -> Load:
    return replace(Load(users=USERS, seconds=SECONDS, repeats=3), **changes)


def arm(name: str = "sync", **changes: Any) -> Arm:
    return Arm(name, name, "flask", "/sync/sleep?ms=200", {"workers": 2}, load(**changes))


def trial(rate: float = 100.0, arm: str = "sync", repeat: int = 1, **changes: Any) -> Trial:
    """A healthy closed-loop trial of `USERS` users who got `rate` answers a second, each after USERS/rate seconds."""
    counted, response_s = round(rate * SECONDS), USERS / rate
    worker = Worker(counted // 2, 0.2, 20_000_000, 3, counted, 5)
    healthy = Trial(
        arm=arm,
        repeat=repeat,
        order=repeat,
        seed=1,
        began="2026-11-21T10:32:07Z",
        ended="measured",
        commands={"service": "python -m waitlab.serve", "load": "locust"},
        service={"nonce": "n1", "workers": "2", "server": "gunicorn"},
        identity=(IDENTITY, IDENTITY, IDENTITY),
        verified=counted,
        warm_up_s=max(2.0, response_s),
        client=Client(
            users=USERS,
            seconds=SECONDS,
            counted=counted,
            failures=0,
            sent=counted + 300,
            think_s=0.0,
            cpu_ratio=0.1,
            response_us={round(response_s * 1e6): counted},
        ),
        server=Server(
            accepted=counted + 300,
            completed=counted + 300,
            failed=0,
            workers={"1": worker, "2": worker},
            duration_mean_s=response_s,
            queue_mean_s=0.0,
            queue_count=counted,
        ),
        machine=Machine(4, 3, 0.005, 0.01, 0.02, 0.0, 0.001),
        slices=tuple(Slice(float(second), 1.0, counted // 10, response_s) for second in range(10)),
    )
    return replace(healthy, **changes)


def healthy() -> list[Trial]:
    """Three repeats that confirm QUESTION."""
    return [trial(rate, repeat=repeat, began=NOTICE) for repeat, rate in enumerate((9.8, 9.9, 9.8), 1)]


def singles(*answered: float, **changes: Any) -> Trial:
    """A healthy trial of single requests sent at once, finished after so many seconds."""
    count = len(answered)
    requests = tuple(Single(0.0, 0.001, seconds, 200) for seconds in answered)
    seen = Client(0, max(answered), count, 0, count, 0.0, 0.01, {round(seconds * 1e6): 1 for seconds in answered})
    known = server(trial(), accepted=count, completed=count)
    return replace(known, **{"client": seen, "singles": requests, "slices": (), "verified": count} | changes)


def client(of: Trial, **changes: Any) -> Trial:
    assert of.client
    return replace(of, client=replace(of.client, **changes))


def server(of: Trial, **changes: Any) -> Trial:
    assert of.server
    return replace(of, server=replace(of.server, **changes))


def machine(of: Trial, **changes: Any) -> Trial:
    assert of.machine
    return replace(of, machine=replace(of.machine, **changes))


def burning(of: Trial, cpu_s: float = 9.0) -> Trial:
    """The same, but each of its two workers computed for so long."""
    assert of.server
    return server(of, workers={name: replace(worker, cpu_s=cpu_s) for name, worker in of.server.workers.items()})


def experiment(arms: Sequence[Arm], *predictions: Prediction) -> Experiment:
    return Experiment("made", "Made up", "Is this made up?", tuple(arms), predictions, text='title = "Made up"\n')


def prediction(**changes: Any) -> Prediction:
    known: dict[str, Any] = {"says": "As theory has it.", "arm": "sync", "quantity": "throughput_rps"}
    return Prediction(**known | changes)


def law(value: float) -> Callable[[Prediction, Arm, Mapping[str, float]], Predicted]:
    """A law that gives `value` for every arm."""
    return lambda _prediction, _arm, _inputs: Predicted(value, "W / w")
