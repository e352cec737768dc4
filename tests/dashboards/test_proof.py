"""Proof that what every panel shows is true: one real lab is put under load whose truth the test counts itself.

`make test-long` runs it. The lab goes through every phase once, in about four minutes; then Prometheus is asked about
each of them, as Grafana and `lab panels` would have asked meanwhile.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import yaml

from tests.dashboards import kernel_truths
from tests.dashboards.lab_under_load import lab_after_load
from tests.dashboards.prometheus_api import filled
from tests.dashboards.proof_table import PROOFS
from tests.dashboards.proofs import Proof
from tests.dashboards.run import SEEN_SECONDS, Run
from waitlab import dashboards
from waitlab.runtime.local.prometheus import CONFIGURATION

NO_CPU = "other programs took the machine's CPU, so that this phase was not what it should be: not checked"
FOUND_SECONDS = 10  # what the lab allows itself until Prometheus sees that a process has come or gone

Key = tuple[str, str, str]  # dashboard, panel, legend
EVERY = [(dashboard, panel) for dashboard in dashboards.ALL for panel in dashboard.panels]
NOT_LOADED = ("django-wsgi", "django-asgi")  # each panel of one of these is flask's, with another name
PANELS = [(dashboard, panel) for dashboard, panel in EVERY if panel.service not in NOT_LOADED]
QUERIES = {(dashboard.name, panel.title, query.legend): query for dashboard, panel in PANELS for query in panel.queries}
OF_TEMPO = {(dashboard.name, panel.title) for dashboard, panel in PANELS if panel.kind == "traces"}
OF_PROMETHEUS = {key: query for key, query in QUERIES.items() if key[:2] not in OF_TEMPO}
EXEMPLARS = {key: query for key, query in OF_PROMETHEUS.items() if query.exemplars}
CHOOSABLE = {key: query for key, query in OF_PROMETHEUS.items() if "$workload" in query.expr}
RULES = [
    rule for group in yaml.safe_load((CONFIGURATION / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
# Alert -> the phase that causes it, and whose it may be then: who runs out of CPU first depends on how much there is.
ALERTS = {
    "LoopBlocked": ("blocked", {"fastapi"}),
    "ThreadPoolExhausted": ("threads", {"fastapi"}),
    "WorkersExhausted": ("threads", {"flask"}),
    "DatabasePoolExhausted": ("database", {"flask", "fastapi"}),
    "UnfairShare": ("one block", {"flask"}),
    "GeneratorSaturated": ("generator", {"locust"}),
    "CpuSaturated": ("cpu", {"host", "flask", "fastapi"}),
    "TargetSilent": ("half dead", {"flask"}),
    "WorkersMissing": ("half dead", {"flask"}),
}


def long(test: Any) -> Any:
    """The first of these tests waits until the lab has been through all phases."""
    return pytest.mark.long(pytest.mark.timeout(600)(test))


def each(queries: Iterable[Key]) -> Any:
    """A test for each of the queries."""
    return pytest.mark.parametrize("key", [pytest.param(key, id=": ".join(key)) for key in queries])


def proofs(key: Key) -> tuple[Proof, ...]:
    dashboard, title, legend = key
    return PROOFS[dashboard][title][legend]


def test_every_query_of_every_panel_has_its_proof() -> None:
    proven = {
        (dashboard, title, legend)
        for dashboard, panels in PROOFS.items()
        for title, legends in panels.items()
        for legend in legends
    }
    assert proven == set(QUERIES)
    assert len(QUERIES) == sum(len(panel.queries) for _, panel in PANELS), "two queries of a panel have the same legend"
    assert [key for key in OF_PROMETHEUS if not proofs(key)] == []


def test_a_panel_about_a_service_without_load_asks_what_is_proven_of_another() -> None:
    of = {service: [panel for _, panel in EVERY if panel.service == service] for service in ("flask", *NOT_LOADED)}
    for name in NOT_LOADED:
        for proven, panel in zip(of["flask"], of[name], strict=True):
            assert panel.title == proven.title.replace("flask", name)
            assert [q.expr for q in panel.queries] == [q.expr.replace('"flask"', f'"{name}"') for q in proven.queries]


def test_every_rule_has_its_proof() -> None:
    """An alert here, a recording rule in the panels and alerts that need it."""
    assert {rule["alert"] for rule in RULES if "alert" in rule} == set(ALERTS)
    asked = [query.expr for query in OF_PROMETHEUS.values()] + [rule["expr"] for rule in RULES if "alert" in rule]
    recorded = [rule["record"] for rule in RULES if "record" in rule]
    assert [name for name in recorded if name not in " ".join(asked)] == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with lab_after_load(tmp_path_factory.mktemp("dashboards")) as done:
        yield done


@long
@each(OF_PROMETHEUS)
def test_a_query_shows_the_truth(run: Run, key: Key) -> None:
    assert differences(run, key, QUERIES[key].expr) == {}
    if not all(proof.is_checkable(run) for proof in proofs(key)):
        pytest.skip(NO_CPU)


@long
@each(OF_PROMETHEUS)
def test_a_query_that_showed_half_as_much_again_would_be_found_out(run: Run, key: Key) -> None:
    assert differences(run, key, f"({QUERIES[key].expr}) * 1.5 + 0.1")


def differences(run: Run, key: Key, expression: str) -> dict[str, str]:
    """Phase and whose figure it is -> how it differs from the truth."""
    return {
        f"{proof.phase}: {whose}": words
        for proof in proofs(key)
        if proof.is_checkable(run)
        for whose, words in proof.differences(run, expression).items()
    }


@long
@each(OF_PROMETHEUS)
def test_a_query_has_data(run: Run, key: Key) -> None:
    query = QUERIES[key]
    assert run.prometheus.over(filled(query.expr), run.began, run.ended, step=2) or query.may_be_empty


@long
@each(key for key, query in OF_PROMETHEUS.items() if "$service" in query.expr)
def test_a_query_shows_only_the_service_that_was_chosen(run: Run, key: Key) -> None:
    asked = filled(QUERIES[key].expr, {"service": "flask"})
    shown = {one.labels.get("service", "") for one in run.prometheus.over(asked, run.began, run.ended, step=2)}
    assert shown <= {"flask", ""}


@long
@pytest.mark.parametrize("chosen", [{"style": "blocked"}, {"workload": "burn"}], ids=str)
@each(CHOOSABLE)
def test_a_query_shows_nothing_of_what_was_not_chosen(run: Run, key: Key, chosen: dict[str, str]) -> None:
    """In the first phase all requests sleep, and none blocks."""
    moments = run.phases["healthy"].moments
    shown = run.prometheus.over(filled(QUERIES[key].expr, chosen), moments[0], moments[-1])
    assert [one for one in shown if any(one.values)] == []


@long
@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_silent_while_all_is_well(run: Run, alert: str) -> None:
    healthy = run.phases["healthy"]
    if alert == "CpuSaturated" and not kernel_truths.has_cpu(run, healthy):
        pytest.skip(NO_CPU)
    assert run.prometheus.over(firing(alert), healthy.moments[0], healthy.ended) == []


@long
@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_when_its_cause_is_there(run: Run, alert: str) -> None:
    phase, whose = run.phases[ALERTS[alert][0]], ALERTS[alert][1]
    # On a machine without CPU to spare any loop is late, and Locust cannot use up a core.
    is_late = alert == "LoopBlocked" and not kernel_truths.has_cpu(run, phase)
    is_starved = alert == "GeneratorSaturated" and kernel_truths.locust_cpu(run, phase)["main"] < 0.75
    if is_late or is_starved:
        pytest.skip(NO_CPU)
    fired = run.prometheus.over(firing(alert), phase.began, phase.ended + SEEN_SECONDS)
    assert fired
    assert {one.labels["service"] for one in fired} <= whose


def firing(alert: str = ".+") -> str:
    return f'ALERTS{{alertname=~"{alert}", alertstate="firing"}}'


@long
@each(EXEMPLARS)
def test_the_dots_are_requests_that_were_sampled(run: Run, key: Key) -> None:
    """Each dot is a request of the test's own clients (Locust keeps its trace ids to itself), as high as it took long.

    A server may stop its clock after its client has the last byte: by as long as it then waits for a CPU. On a machine
    that others use that is now and then more than a tenth of a second; a wrong height would be that of every dot.
    """
    asked = filled(QUERIES[key].expr)
    took = {request.trace_id: request.seconds for request in run.requests if request.trace_id}
    dots = run.prometheus.exemplars(asked, run.began, run.ended)
    known = dots.keys() & took.keys()
    assert known
    higher = {trace: (dots[trace], took[trace]) for trace in known if not 0 < dots[trace] <= took[trace] + 0.1}
    assert len(higher) <= len(known) // 10, higher


@long
def test_a_change_of_workers_is_marked_when_it_was_made(run: Run) -> None:
    marks = shown(run, "scale", run.phases["healthy"].began)
    asked = run.moments["scale asked"]
    assert marks.keys() == {"flask: 4 workers asked for"}
    assert all(asked <= first <= asked + 5 for first, _ in marks.values())


@long
def test_each_trial_is_marked_from_its_beginning_to_its_end(run: Run) -> None:
    marks = shown(run, "trial", run.began)
    assert {f"proof: {trial.name}" for trial in run.trials} == marks.keys()
    for trial in run.trials:
        first, last = marks[f"proof: {trial.name}"]
        assert abs(first - trial.began) <= FOUND_SECONDS
        assert abs(last - trial.ended) <= FOUND_SECONDS


@long
def test_alerts_are_marked_with_their_name_and_whose_they_are(run: Run) -> None:
    fired = run.prometheus.over(firing(), run.began, run.ended)
    marks = {f"{one.labels['alertname']} {one.labels['service']}" for one in fired}
    assert shown(run, "alert", run.began).keys() == marks
    assert {"ThreadPoolExhausted fastapi", "WorkersExhausted flask"} <= marks


def shown(run: Run, annotation: str, began: float) -> dict[str, tuple[float, float]]:
    """Text of each mark -> when it is first and last seen."""
    (said,) = (one for one in dashboards.ANNOTATIONS if one.name == annotation)
    marks = {}
    for series in run.prometheus.over(filled(said.expr), began, run.ended):
        text = said.title
        for label, value in series.labels.items():
            text = text.replace(f"{{{{{label}}}}}", value)
        marks[text] = (series.points[0][0], series.points[-1][0])
    return marks
