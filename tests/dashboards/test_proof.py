"""Proof that what every panel shows is true: one real lab is put under load whose truth the test counts itself.

`make test-long` runs it. The lab goes through every phase once, in about four minutes; then Prometheus is asked about
each of them, as Grafana and `lab panels` would have asked meanwhile.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.dashboards import truths
from tests.dashboards.lab_under_load import lab_after_load
from tests.dashboards.prometheus_api import filled
from tests.dashboards.proof_table import PROOFS
from tests.dashboards.run import SEEN_SECONDS, Run
from waitlab import dashboards
from waitlab.dashboards.vocabulary import Query
from waitlab.runtime.local.prometheus import CONFIGURATION

FOUND_SECONDS = 10  # what the lab allows itself until Prometheus sees that a process has come or gone

QUERIES = {
    (dashboard.name, panel.title, query.legend): query
    for dashboard in dashboards.ALL
    for panel in dashboard.panels
    for query in panel.queries
}
OF_PROMETHEUS = {
    (dashboard.name, panel.title, query.legend): query
    for dashboard in dashboards.ALL
    for panel in dashboard.panels
    for query in panel.queries
    if panel.kind != "traces"
}
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


def each(queries: dict[tuple[str, str, str], Query]) -> list[object]:
    return [pytest.param(*key, id=": ".join(key)) for key in queries]


def test_every_query_of_every_panel_has_its_proof() -> None:
    proven = {
        (dashboard, title, legend)
        for dashboard, panels in PROOFS.items()
        for title, legends in panels.items()
        for legend in legends
    }
    assert proven == set(QUERIES)
    unproven = {key for key in OF_PROMETHEUS if not PROOFS[key[0]][key[1]][key[2]]}
    assert not unproven
    assert len(QUERIES) == sum(len(panel.queries) for board in dashboards.ALL for panel in board.panels)


def test_every_rule_has_its_proof() -> None:
    assert set(ALERTS) == {rule["alert"] for rule in RULES if "alert" in rule}
    asked = " ".join(query.expr for query in QUERIES.values())
    for rule in RULES:
        assert "alert" in rule or rule["record"] in asked, "a recording rule is proven by the panels that show it"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with lab_after_load(tmp_path_factory.mktemp("dashboards")) as done:
        yield done


@long
@pytest.mark.parametrize(("dashboard", "title", "legend"), each(OF_PROMETHEUS))
def test_a_query_shows_the_truth(run: Run, dashboard: str, title: str, legend: str) -> None:
    expression = QUERIES[dashboard, title, legend].expr
    found = {
        f"{proof.phase}: {whose}": words
        for proof in PROOFS[dashboard][title][legend]
        for whose, words in proof.differences(run, expression).items()
    }
    assert not found


@long
@pytest.mark.parametrize(("dashboard", "title", "legend"), each(OF_PROMETHEUS))
def test_a_query_has_data(run: Run, dashboard: str, title: str, legend: str) -> None:
    query = QUERIES[dashboard, title, legend]
    assert run.prometheus.over(filled(query.expr), run.began, run.ended, step=2) or query.may_be_empty


@long
@pytest.mark.parametrize(("dashboard", "title", "legend"), each(OF_PROMETHEUS))
def test_a_query_shows_only_what_was_chosen(run: Run, dashboard: str, title: str, legend: str) -> None:
    asked = filled(QUERIES[dashboard, title, legend].expr, {"service": "flask"})
    shown = {one.labels.get("service", "") for one in run.prometheus.over(asked, run.began, run.ended, step=2)}
    assert shown <= {"flask", ""} or "$service" not in QUERIES[dashboard, title, legend].expr


@long
@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_silent_while_all_is_well(run: Run, alert: str) -> None:
    healthy = run.phases["healthy"]
    if alert == "CpuSaturated" and truths.idle_cores(run, healthy) < 0.1 * truths.CPUS:
        pytest.skip("other programs took the machine's CPU, so that it was no false alarm: not checked")
    assert not run.prometheus.over(firing(alert), run.began, healthy.ended)


@long
@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_when_its_cause_is_there(run: Run, alert: str) -> None:
    phase, whose = run.phases[ALERTS[alert][0]], ALERTS[alert][1]
    if alert == "GeneratorSaturated" and truths.locust_cpu(run, phase)["main"] < 0.75:
        pytest.skip("other programs took the machine's CPU, so that Locust could not use up a core: not checked")
    fired = run.prometheus.over(firing(alert), phase.began, phase.ended + SEEN_SECONDS)
    assert fired
    assert {one.labels["service"] for one in fired} <= whose


def firing(alert: str = ".+") -> str:
    return f'ALERTS{{alertname=~"{alert}", alertstate="firing"}}'


EXEMPLARS = {key: query for key, query in OF_PROMETHEUS.items() if query.exemplars}


@long
@pytest.mark.parametrize(("dashboard", "title", "legend"), each(EXEMPLARS))
def test_the_dots_are_requests_that_were_sampled(run: Run, dashboard: str, title: str, legend: str) -> None:
    """Each dot is a request of the test's own clients (Locust keeps its trace ids to itself), as high as it took long.

    A server may stop its clock after its client has the last byte: by as long as it then waits for a CPU.
    """
    asked = filled(QUERIES[dashboard, title, legend].expr)
    took = {request.trace_id: request.seconds for request in run.requests if request.trace_id}
    dots = run.prometheus.exemplars(asked, run.began, run.ended)
    known = dots.keys() & took.keys()
    assert known
    assert all(0 < dots[trace] <= took[trace] + 0.1 for trace in known)


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
    assert {"LoopBlocked fastapi", "WorkersExhausted flask"} <= marks


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
