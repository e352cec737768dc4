"""Does `lab diagnose` name what binds? Twins of the catalogue whose limit is known, with varied parameters.

Each case is a service of the runner's own, driven by the runner's own load, and watched twice at the same time: with
its telemetry, and from outside as a stranger's. Cases that leave most of the machine idle are watched some at a time.
The confusion matrices are written into docs/diagnose.md.
"""

import itertools
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from rich.table import Table

from benchmarks.heavy_client import locustfile
from benchmarks.record import FOLDER, console, once
from waitlab import configuration, drive
from waitlab.diagnose import decision, sources, watch
from waitlab.diagnose.figures import Figures
from waitlab.diagnose.limits import Limit
from waitlab.drive import driver
from waitlab.experiment import Arm, Load
from waitlab.runner import cores, service, surroundings
from waitlab.runner.surroundings import Surroundings
from waitlab.serve import scale

NAME, SEED = "diagnose", 7
DOCS = Path(__file__).resolve().parents[1] / "docs" / "diagnose.md"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
SECONDS = 8.0
SETTLE_SECONDS = 3.0
AT_ONCE = 4  # of the cases that leave the machine idle
CONNECTIONS = 100  # of PostgreSQL's, for all of them
LEAST_RIGHT = 0.95
VIEWS = ("with telemetry", "from outside")
Value = int | str | bool


@dataclass(frozen=True)
class Case:
    """One service under one load, and what binds it. `grows_to`: workers it is given when all connections are open.

    `cost_ms`: CPU that the generator is made to compute for each request. `alone`: it needs the machine for itself.
    """

    limit: Limit
    service: str
    request: str
    users: int = 0
    knobs: dict[str, Value] = field(default_factory=dict)
    load: dict[str, Any] = field(default_factory=dict)
    grows_to: int = 0
    cost_ms: int = 0

    @property
    def alone(self) -> bool:
        return self.limit in (Limit.CPU, Limit.GENERATOR) or "burn" in self.request

    @property
    def name(self) -> str:
        """What is special about it, fit for a file."""
        given = {**self.knobs, **self.load, "to": self.grows_to, "cost": self.cost_ms}
        words = [self.service, self.request.strip("/"), f"{self.users} users" if self.users else ""]
        words += [f"{name} {value}" for name, value in given.items() if value]
        return "".join(letter if letter.isalnum() else "-" for letter in " ".join(filter(None, words)))

    @property
    def arm(self) -> Arm:
        load = Load(users=self.users, **self.load)
        return Arm(self.name, self.name, self.service, self.request, self.knobs, load)


def cases() -> Iterator[Case]:
    """All of them, by what binds."""
    yield from _loop()
    yield from _thread_pool()
    yield from _workers()
    yield from _database()
    yield from _upstream()
    yield from _cpu()
    yield from _skew()
    yield from _slow_clients()
    yield from _generator()
    yield from _nothing()


def _loop() -> Iterator[Case]:
    for ms, users, workers in ((200, 10, 1), (50, 20, 1), (1000, 5, 1), (200, 20, 2), (100, 40, 2)):
        yield Case(Limit.LOOP, "fastapi", f"/blocked/sleep?ms={ms}", users, {"workers": workers})
    yield Case(Limit.LOOP, "fastapi", "/blocked/fetch?ms=200", 10, {"workers": 1})
    yield Case(Limit.LOOP, "fastapi", "/blocked/query?ms=50", 10, {"workers": 1})
    yield Case(Limit.LOOP, "django-asgi", "/blocked/sleep?ms=100", 10, {"workers": 1})
    yield Case(Limit.LOOP, "fastapi", "/blocked/sleep?ms=200", 20, {"workers": 2, "server": "gunicorn"})


def _thread_pool() -> Iterator[Case]:
    def case(request: str, users: int, **knobs: Value) -> Case:
        return Case(Limit.THREAD_POOL, "fastapi", request, users, {"workers": 1, **knobs})

    yield case("/sync/sleep?ms=200", 100)
    yield case("/sync/sleep?ms=100", 30, tokens=10)
    yield case("/sync/sleep?ms=300", 100, tokens=20, workers=2)
    yield case("/sync/depends?ms=200&dep=sync", 80)
    yield case("/async/depends?ms=200&dep=sync", 80)
    yield case("/sync/fetch?ms=300", 40, tokens=10)
    yield case("/offload/sleep?ms=200", 30, executor_threads=8)
    yield case("/offload/sleep?ms=500", 60, executor_threads=20)


def _workers() -> Iterator[Case]:
    def case(  # noqa: PLR0917
        service: str, request: str, users: int, kind: str, workers: int, threads: int = 0, **load: Any
    ) -> Case:
        knobs: dict[str, Value] = {"worker_class": kind, "workers": workers}
        return Case(Limit.WORKERS, service, request, users, knobs | ({"threads": threads} if threads else {}), load)

    yield case("flask", "/sync/sleep?ms=200", 10, "sync", 2)
    yield case("flask", "/sync/sleep?ms=200", 20, "sync", 4)
    yield case("flask", "/sync/sleep?ms=50", 5, "sync", 1)
    yield case("flask", "/sync/sleep?ms=200", 20, "gthread", 1, 4)
    yield case("flask", "/sync/sleep?ms=300", 40, "gthread", 2, 8)
    yield case("django-wsgi", "/sync/sleep?ms=200", 12, "sync", 2)
    yield case("django-wsgi", "/sync/sleep?ms=500", 30, "gthread", 1, 10)
    yield case("flask", "/sync/fetch?ms=200", 10, "sync", 2)
    yield case("flask", "/sync/query?ms=100", 24, "gthread", 1, 8)
    yield case("flask", "/sync/mixed?ms=150&rounds=2", 10, "sync", 2)
    yield case("flask", "/sync/sleep?ms=200", 0, "sync", 4, rate=40.0)


def _database() -> Iterator[Case]:
    def case(service: str, request: str, users: int, pool_size: int, **knobs: Value) -> Case:
        return Case(Limit.DATABASE, service, request, users, {"workers": 1, "pool_size": pool_size, **knobs})

    yield case("fastapi", "/async/query?ms=100", 30, 5)
    yield case("fastapi", "/async/query?ms=50", 50, 10)
    yield case("fastapi", "/async/query?ms=100&driver=asyncpg", 30, 5)
    yield case("fastapi", "/sync/query?ms=100", 30, 5)
    yield case("fastapi", "/sync/query?ms=100", 80, 10)
    yield case("flask", "/sync/query?ms=100", 20, 5, worker_class="gthread", threads=20)
    yield case("fastapi", "/async/depends?ms=100&dep=session", 30, 5)
    yield case("fastapi", "/async/query?ms=200", 60, 4, workers=2)
    yield case("fastapi", "/async/depends?ms=100&dep=sqlalchemy", 30, 5)


def _upstream() -> Iterator[Case]:
    def case(service: str, request: str, users: int, places: int, **knobs: Value) -> Case:
        return Case(Limit.UPSTREAM, service, request, users, {"workers": 1, "upstream_concurrency": places, **knobs})

    yield case("fastapi", "/async/fetch?ms=200", 40, 10)
    yield case("fastapi", "/sync/fetch?ms=200", 40, 10)
    yield case("fastapi", "/sync/fetch?ms=200", 80, 8)
    yield case("flask", "/sync/fetch?ms=100", 20, 5, worker_class="gthread", threads=20)
    yield case("fastapi", "/async/fetch?ms=300", 80, 20, workers=2)
    yield case("flask", "/sync/fetch?ms=100", 10, 2, worker_class="sync", workers=4)


def _cpu() -> Iterator[Case]:
    def case(service: str, request: str, users: int, workers: int = 1, **knobs: Value) -> Case:
        return Case(Limit.CPU, service, request, users, {"workers": workers, **knobs})

    yield case("flask", "/sync/burn?rounds=10", 4, worker_class="sync")
    yield case("flask", "/sync/burn?rounds=10", 8, worker_class="gthread", threads=8)
    yield case("flask", "/sync/burn?rounds=10", 8, 2, worker_class="sync")
    yield case("flask", "/sync/burn?rounds=10&kind=hash", 8, worker_class="gthread", threads=4)
    yield case("fastapi", "/async/burn?rounds=10", 8)
    yield case("fastapi", "/sync/burn?rounds=5", 20)
    yield case("fastapi", "/blocked/burn?rounds=20", 8)
    yield case("fastapi", "/offload/burn?rounds=20", 8)
    yield case("django-wsgi", "/sync/mixed?ms=10&rounds=20", 20, 2, worker_class="sync")
    yield case("django-asgi", "/async/burn?rounds=10", 8)


def _skew() -> Iterator[Case]:
    def case(request: str, users: int, grows_to: int, **knobs: Value) -> Case:
        return Case(Limit.SKEW, "fastapi", request, users, {"workers": 1, **knobs}, grows_to=grows_to)

    yield case("/sync/sleep?ms=200", 30, 3, tokens=10)
    yield case("/sync/sleep?ms=300", 60, 4, tokens=20)
    yield case("/async/query?ms=100", 30, 2, pool_size=5)
    yield case("/offload/sleep?ms=200", 30, 2, executor_threads=8)
    yield case("/async/burn?rounds=10", 4, 2, cores=2)


def _slow_clients() -> Iterator[Case]:
    def case(  # noqa: PLR0917
        service: str, client: str, users: int, kind: str, workers: int, threads: int = 0
    ) -> Case:
        request = "/sync/stream?items=500&interval_ms=0&kb=64" if client == "reader" else "/sync/ping"
        knobs: dict[str, Value] = {"worker_class": kind, "workers": workers}
        knobs |= {"threads": threads} if threads else {}
        return Case(Limit.SLOW_CLIENTS, service, request, users, knobs, {"client": client, "victim": "/sync/ping"})

    yield case("flask", "upload", 2, "sync", 2)
    yield case("flask", "upload", 4, "sync", 4)
    yield case("flask", "upload", 2, "gthread", 1, 2)
    yield case("django-wsgi", "upload", 2, "sync", 2)
    yield case("flask", "reader", 2, "sync", 2)
    yield case("flask", "reader", 4, "gthread", 1, 4)


def _generator() -> Iterator[Case]:
    for request, users, cost_ms in (
        ("/async/ping", 100, 2),
        ("/async/sleep?ms=20", 150, 2),
        ("/async/sleep?ms=50", 200, 3),
        ("/async/sleep?ms=20", 100, 4),
    ):
        yield Case(Limit.GENERATOR, "fastapi", request, users, {"workers": 1}, cost_ms=cost_ms)


def _nothing() -> Iterator[Case]:
    def case(service: str, request: str, users: int, load: dict[str, Any] | None = None, **knobs: Value) -> Case:
        return Case(Limit.NONE, service, request, users, knobs, load or {})

    yield case("fastapi", "/async/sleep?ms=200", 20, workers=1)
    yield case("fastapi", "/async/sleep?ms=100", 10, workers=2)
    yield case("fastapi", "/sync/sleep?ms=200", 20, workers=1)
    yield case("flask", "/sync/sleep?ms=100", 2, {"think_ms": 100}, worker_class="sync", workers=4)
    yield case("flask", "/sync/sleep?ms=200", 4, worker_class="sync", workers=8)
    yield case("flask", "/sync/sleep?ms=50", 3, {"think_ms": 500}, worker_class="sync", workers=2)
    yield case("flask", "/sync/sleep?ms=200", 8, worker_class="gthread", workers=2, threads=8)
    yield case("django-wsgi", "/sync/sleep?ms=200", 8, worker_class="gthread", workers=1, threads=20)
    yield case("django-asgi", "/async/sleep?ms=200", 10, workers=1)
    yield case("fastapi", "/async/query?ms=50", 5, workers=1, pool_size=10)
    yield case("fastapi", "/sync/query?ms=100", 5, workers=1, pool_size=10)
    yield case("fastapi", "/async/fetch?ms=200", 20, workers=1)
    yield case("fastapi", "/async/fetch?ms=100", 5, workers=1, upstream_concurrency=20)
    yield case("fastapi", "/offload/sleep?ms=200", 8, workers=1, executor_threads=20)
    yield case("flask", "/sync/burn?rounds=5", 0, {"rate": 20.0}, worker_class="sync", workers=1)
    yield case("fastapi", "/async/burn?rounds=5", 0, {"rate": 30.0}, workers=1)
    yield case("fastapi", "/async/ping", 4, {"client": "upload", "victim": "/async/ping"}, workers=1)


def measure(group: Sequence[Case], around: Surroundings) -> list[dict[str, Any]]:
    """Start them one after the other, watch all at the same time, and say what each was called."""
    with ExitStack() as until_ended:
        started = [until_ended.enter_context(_driven(case, around)) for case in group]
        time.sleep(SETTLE_SECONDS)
        with ThreadPoolExecutor(len(VIEWS) * len(group)) as pool:
            seen = list(pool.map(lambda source: watch.watch(source, SECONDS), itertools.chain(*started)))
    return [dict(zip(VIEWS, map(_told, pair), strict=True)) for pair in zip(seen[::2], seen[1::2], strict=True)]


def _told(figures: Figures) -> dict[str, Any]:
    verdict = decision.decide(figures)
    return {
        "limit": verdict.limit.value,
        "confidence": verdict.confidence,
        "evidence": verdict.evidence,
        "doubts": verdict.doubts,
        "figures": asdict(figures),
    }


@contextmanager
def _driven(case: Case, around: Surroundings) -> Iterator[tuple[sources.Source, sources.Source]]:
    """The service of a case under its load, in both VIEWS."""
    arm, usable = case.arm, cores.usable()
    share = cores.of(arm, usable)
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name, ExitStack() as until_ended:
        folder = Path(name)
        outside = configuration.upstream(arm)
        own = until_ended.enter_context(surroundings.with_upstream(around, outside, folder))
        serving = until_ended.enter_context(service.serving(arm, share, own, folder))
        with cores.kept_to(share.generator):
            until_ended.enter_context(_load(case, serving.door, folder, own))
        if case.grows_to:
            time.sleep(SETTLE_SECONDS / 2)
            scale.change(serving.run_dir, case.service, case.grows_to, None)
        file = serving.run_dir / "targets" / f"{case.service}.json"
        upstream = own.settings.get("UPSTREAM_URL", "")
        inside = sources.of_run_dir(serving.run_dir, file, upstream=upstream, shows_pools=True)
        yield inside, sources.of_port(case.service, serving.door)


@contextmanager
def _load(case: Case, door: str, folder: Path, own: Surroundings) -> Iterator[None]:
    """Its users, until the end of the `with`: nobody waits for their last answers."""
    loaded = locustfile(folder, case.cost_ms / 1000) if case.cost_ms else driver.LOCUSTFILE
    recorded = folder / "load"
    recorded.mkdir()
    with (
        mock.patch.object(driver, "LOCUSTFILE", loaded),
        drive.driving(door, case.request, case.arm.load, recorded, own.inherited),
    ):
        yield


def _groups(left: Sequence[Case]) -> list[Sequence[Case]]:
    """In an order in which what drifts on the machine meets all kinds."""
    order = random.Random(SEED)
    others = [case for case in left if not case.alone]
    order.shuffle(others)
    groups = [others[at : at + AT_ONCE] for at in range(0, len(others), AT_ONCE)]
    groups += [[case] for case in left if case.alone]
    order.shuffle(groups)
    return groups


def main() -> bool:
    every = list(cases())
    left = [case for case in every if not _file(case).exists()]
    try:
        if left:
            _measure(left)
    finally:  # also of an interrupted run
        is_right = show(every)
    return is_right


def _measure(left: Sequence[Case]) -> None:
    needs = frozenset(need for case in left for need in configuration.dependencies(case.arm))
    with surroundings.surroundings(needs, CONNECTIONS, os.environ) as around:
        for group in _groups(left):
            console.print(f"[dim]{len(group)} at once")
            for case, found in zip(group, measure(group, around), strict=True):
                once(NAME, case.name, partial(dict, found))


def show(every: Sequence[Case]) -> bool:
    """What each was called, and the matrices, also in the docs; whether nearly all are right with telemetry, hardly any
    is called what it is not from outside, where more cannot be told, and none is missing.
    """
    told = [(case, json.loads(_file(case).read_text())) for case in every if _file(case).exists()]
    missing, parts, good = len(every) - len(told), [], True
    for view, forgiven in zip(VIEWS, ((), (Limit.UNKNOWN.value,)), strict=True):
        wrong = [(case, one[view]) for case, one in told if one[view]["limit"] != case.limit.value]
        table = Table(
            title=f"{view}: {len(told) - len(wrong)} of {len(told)} are called what they are", title_justify="left"
        )
        for heading in ("wrong", "is", "was called"):
            table.add_column(heading)
        for case, one in wrong:
            table.add_row(case.name, case.limit.value, f"{one['limit']}: {'; '.join(one['doubts'] or one['evidence'])}")
        console.print(table)
        parts.append(f"{view.capitalize()}: " + matrix([(case.limit.value, one[view]["limit"]) for case, one in told]))
        good &= sum(one["limit"] not in forgiven for _, one in wrong) <= (1 - LEAST_RIGHT) * len(told)
    unmeasured = [f"{missing} of {len(every)} cases are not measured yet."] if missing else []
    _write("\n\n".join(unmeasured + parts))
    return not missing and good


def _file(case: Case) -> Path:
    return FOLDER / NAME / f"{case.name}.json"


def matrix(pairs: Sequence[tuple[str, str]]) -> str:
    """As Markdown: a row for what was so, a column for what it was called, numbered as the rows are."""
    names = [limit.value for limit in Limit]
    counts = Counter(pairs)
    right = sum(count for (was, called), count in counts.items() if was == called)
    heads = [str(number) for number in range(1, len(names) + 1)]
    lines = [
        f"{right} of {len(pairs)} cases were called what they are "
        f"({sum(called == Limit.UNKNOWN.value for _, called in pairs)} could not be told).",
        "",
        f"| what it was | cases | {' | '.join(heads)} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    for number, was in enumerate(names, 1):
        total = sum(count for (known, _), count in counts.items() if known == was)
        cells = [str(counts[was, called] or "") for called in names]
        if total or was == Limit.UNKNOWN.value:
            lines.append(f"| {number} {was} | {total or ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _write(text: str) -> None:
    """Between its marks in the docs."""
    page = DOCS.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
