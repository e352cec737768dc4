"""Every rule on a trial that keeps it, one that breaks it and one that does not say, and what each takes away."""

import math
from dataclasses import replace

import pytest

from tests.verdicts import made
from waitlab import quantities, rules, validity
from waitlab.experiment import Load
from waitlab.trial import Outside, Slice, Trial

CLOSED, OPEN = made.load(), made.load(users=0, rate=100.0)
AT_ONCE, ERRORS = made.load(users=0, concurrent=2), made.load(expects_errors=True)
THROUGHPUT, LATENCY, CPU, CORES = {"throughput_rps"}, {"mean_ms"}, {"cpu_ms_per_request"}, {"cores_used"}
EVERYTHING = {*THROUGHPUT, *LATENCY, *CPU, *CORES, "pss_mb"}


def say(rule: str, trial: Trial, load: Load) -> validity.Finding:
    return next(one for one in validity.findings(trial, load) if one.rule == rule)


def taken(finding: validity.Finding) -> set[str]:
    """Of five quantities, one of a kind, those that the finding takes away."""
    return {name for name in EVERYTHING if validity.voided([finding], name)}


def identified(**changes: object) -> Trial:
    return made.trial(identity=(made.IDENTITY, made.IDENTITY, {**made.IDENTITY, **changes}))


def open_loop(trial: Trial | None = None, **changes: object) -> Trial:
    return made.client(trial or made.trial(), **{"users": 0, "in_flight": 20.0} | changes)


def client(**changes: object) -> Trial:
    return made.client(made.trial(), **changes)


def server(**changes: object) -> Trial:
    return made.server(made.trial(), **changes)


def machine(**changes: object) -> Trial:
    return made.machine(made.trial(), **changes)


ONE_ALIVE = made.trial(identity=({**made.IDENTITY, "pids": [11]},) * 3)
SLOWING = made.trial(slices=tuple(Slice(float(at), 1.0, 105 - at, 0.2) for at in range(10)))
GROWING = made.trial(slices=tuple(Slice(float(at), 1.0, 100, 0.2 + 0.02 * at) for at in range(10)))
UNEXPLAINED = server(duration_mean_s=0.1, queue_mean_s=0.05)
QUEUED = server(duration_mean_s=0.1, queue_mean_s=0.098)
SLOWED = machine(noisy_slices=0.3, steal_ratio=0.02)
STOLEN = machine(noisy_slices=0.9, steal_ratio=0.21)
CROWDED = machine(noisy_slices=0.9, foreign_ratio=0.51)
FAST = made.client(made.trial(), response_us={210_000: 1000})

BROKEN = [
    ("G0", identified(nonce="another"), CLOSED, "nonce", EVERYTHING),
    ("G0", identified(code="another"), CLOSED, "code", EVERYTHING),
    ("G0", identified(server="uvicorn"), CLOSED, "server", EVERYTHING),
    ("G0", identified(pids=[11, 13]), CLOSED, "pids", EVERYTHING),
    ("G0", ONE_ALIVE, CLOSED, "workers alive", EVERYTHING),
    ("G1", made.trial(wrong_answers=("200 without a body",)), CLOSED, "200 without a body", EVERYTHING),
    ("G2", client(sent=1299), CLOSED, "clients sent 1299", EVERYTHING),
    ("G2", server(accepted=1301), CLOSED, "service took 1301", EVERYTHING),
    ("G2", client(sent=1302, unanswered=2), CLOSED, "clients sent 1302", EVERYTHING),
    ("G2", client(sent=1303, unanswered=2), ERRORS, "clients sent 1303", EVERYTHING),
    ("G3", client(users=21), CLOSED, "generator-bound: 21 users", THROUGHPUT | LATENCY),
    ("G3", client(think_s=-0.02), CLOSED, "generator-bound", THROUGHPUT | LATENCY),
    ("G3", client(accounted_s=193.0), CLOSED, "generator-bound: 20 users", THROUGHPUT | LATENCY),
    ("G3", client(accounted_s=207.0), CLOSED, "-3.5% of their time is missing", THROUGHPUT | LATENCY),
    ("G3", open_loop(unsent=1), OPEN, "1 requests never left", THROUGHPUT | LATENCY),
    ("G3", open_loop(late_p99_s=0.02), OPEN, "20.0 ms late", THROUGHPUT | LATENCY),
    ("G3", open_loop(late_p99_s=0.05, late_mean_s=0.02), OPEN, "on average they left 20.0 ms", THROUGHPUT | LATENCY),
    ("G4", client(cpu_ratio=0.71), CLOSED, "71% of a core of its own", THROUGHPUT | LATENCY),
    ("G4", made.machine(client(cpu_ratio=0.11), service_cores=4), CLOSED, "service uses too", THROUGHPUT | LATENCY),
    ("G5", UNEXPLAINED, CLOSED, "do not explain", LATENCY),
    ("G6", made.burning(made.trial(), 16.0), CLOSED, "107% of the service's 3 cores", THROUGHPUT | CPU | CORES),
    ("G6", FAST, CLOSED, "more answers than the users could have asked for", THROUGHPUT | CPU | CORES),
    ("G7", SLOWED, CLOSED, "30% of the slices", CPU),
    ("G7", made.burning(SLOWED), CLOSED, "30% of the slices", THROUGHPUT | LATENCY | CPU),
    ("G7", machine(steal_ratio=0.03, foreign_ratio=0.03), CLOSED, "steal 3.0%, foreign CPU 3.0%", CORES),
    ("G7", STOLEN, CLOSED, "steal 21.0%", THROUGHPUT | LATENCY | CPU | CORES),
    ("G7", CROWDED, CLOSED, "foreign CPU 51.0%", THROUGHPUT | LATENCY | CPU | CORES),
    ("G9", SLOWING, CLOSED, "throughput still drifted by 10.0%", THROUGHPUT | LATENCY),
    ("G9", GROWING, CLOSED, "response time still drifted by 69.0%", THROUGHPUT | LATENCY),
    ("G9", made.trial(warm_up_s=1.0), CLOSED, "warmed up for 1.0 s, it needs 2.0 s", THROUGHPUT | LATENCY),
    ("G9", made.trial(4.0, warm_up_s=4.0), CLOSED, "it needs 5.0 s", THROUGHPUT | LATENCY),
    ("G11", client(failures=2), CLOSED, "2 of 1000 requests failed", THROUGHPUT | LATENCY),
]

KEPT = [
    ("G1", made.trial(verified=5), CLOSED, "warn", "only 5 of 1300"),
    ("G2", client(sent=1302, unanswered=2), ERRORS, "pass", "clients sent 1302"),
    ("G3", client(think_s=0.0015), CLOSED, "pass", "20 users"),
    ("G3", client(think_s=-0.004), CLOSED, "warn", "20 users"),
    ("G3", client(counted=900, response_us={200_000: 900}, accounted_s=199.0), CLOSED, "pass", "0.5% of their time"),
    ("G3", client(accounted_s=197.0), CLOSED, "warn", "1.5% of their time is missing"),
    ("G3", open_loop(late_p99_s=0.009), OPEN, "pass", "20.0 in flight"),
    ("G3", open_loop(in_flight=15.0), OPEN, "warn", "in flight: 15.0, by Little's law 20.0"),
    ("G3", open_loop(in_flight=None), OPEN, "warn", "not sampled"),
    ("G4", client(cpu_ratio=0.70), CLOSED, "pass", "70%"),
    ("G5", QUEUED, CLOSED, "pass", "98.0 ms in the queue in front of the handler"),
    ("G5", server(duration_mean_s=0.19, queue_count=0), CLOSED, "pass", "as long as the service took"),
    ("G7", machine(noisy_slices=0.1), CLOSED, "warn", "10% of the slices"),
    ("G8", machine(clock_step_s=-120.0), CLOSED, "warn", "120000 ms apart"),
    ("G9", open_loop(GROWING), OPEN, "warn", "as a queue before an open loop may"),
    ("G11", client(failures=1), CLOSED, "pass", "1 of 1000"),
    ("G11", client(failures=500), ERRORS, "pass", "the experiment expects errors"),
]

SILENT = [
    ("G0", made.trial(identity=()), CLOSED),
    ("G0", made.trial(identity=(made.IDENTITY,) * 2), CLOSED),
    ("G0", made.trial(service={}), CLOSED),
    ("G0", made.trial(identity=({"nonce": "n1", "code": "c1"},) * 3), CLOSED),
    ("G1", made.trial(verified=0), CLOSED),
    ("G2", made.trial(server=None), CLOSED),
    ("G2", made.trial(client=None), CLOSED),
    ("G3", made.trial(client=None), CLOSED),
    ("G3", client(users=0), CLOSED),
    ("G3", client(seconds=0.0), CLOSED),
    ("G3", client(response_us={}), CLOSED),
    ("G3", client(response_us={200_000: 10}), CLOSED),
    ("G3", client(think_s=math.nan), CLOSED),
    ("G3", client(accounted_s=math.nan), CLOSED),
    ("G3", client(users=0, accounted_s=200.0), CLOSED),
    ("G4", client(cpu_ratio=math.nan), CLOSED),
    ("G5", server(duration_mean_s=0.0), CLOSED),
    ("G5", server(duration_mean_s=0.1, queue_count=0), CLOSED),
    ("G6", server(workers={}), CLOSED),
    ("G6", machine(service_cores=0), CLOSED),
    ("G7", made.trial(machine=None), CLOSED),
    ("G7", machine(steal_ratio=math.nan), CLOSED),
    ("G8", made.trial(machine=None), CLOSED),
    ("G9", made.trial(slices=()), CLOSED),
    ("G9", made.trial(slices=(Slice(0.0, 10.0, 1000, 0.2),)), CLOSED),
    ("G11", client(counted=0), CLOSED),
]


def test_a_healthy_trial_keeps_every_rule() -> None:
    assert {one.rule: one.verdict for one in validity.findings(made.trial(), CLOSED) if one.verdict != "pass"} == {
        "G10": "void"  # 1,000 answers are too few for the 99.9th percentile, and that is all it takes away
    }
    assert {name for name in validity.KINDS if validity.voided(validity.findings(made.trial(), CLOSED), name)} == set()


@pytest.mark.parametrize(("rule", "trial", "load", "says", "takes"), BROKEN)
def test_a_broken_rule_says_why_and_takes_its_quantities(
    rule: str, trial: Trial, load: Load, says: str, takes: set[str]
) -> None:
    found = say(rule, trial, load)
    assert (found.verdict, taken(found)) == ("void", takes)
    assert says in found.says
    assert found.figure is not None


@pytest.mark.parametrize(("rule", "trial", "load", "verdict", "says"), KEPT)
def test_what_lies_within_the_limit_takes_nothing(rule: str, trial: Trial, load: Load, verdict: str, says: str) -> None:
    found = say(rule, trial, load)
    assert (found.verdict, taken(found)) == (verdict, set())
    assert says in found.says


@pytest.mark.parametrize(("rule", "trial", "load"), SILENT)
def test_what_cannot_be_computed_is_never_a_pass(rule: str, trial: Trial, load: Load) -> None:
    found = say(rule, trial, load)
    assert found.says.startswith("cannot be computed: ")
    assert found.verdict == "void"


def test_a_trial_that_recorded_nothing_breaks_every_rule_and_gives_nothing() -> None:
    empty = Trial("sync", 1, 1, 1, "", "the service died", {}, {})
    found = validity.findings(empty, CLOSED)
    assert {one.verdict for one in found} == {"void"}
    assert all(validity.voided(found, name) for name in validity.KINDS)


def held(**changes: object) -> tuple[Trial, Load]:
    """Twenty idle connections, and a victim of whose 200 requests each was answered."""
    load = made.load(client="idle", victim="/sync/ping")
    trial = made.trial()
    assert trial.client
    quiet = replace(trial.client, counted=0, response_us={}, victim_us={2_000: 200}, connections_held=20)
    return replace(trial, slices=(), client=replace(quiet, **changes)), load  # type: ignore[arg-type]


def test_users_who_hold_connections_skip_the_rules_about_answers() -> None:
    found = {finding.rule: finding for finding in validity.findings(*held())}
    assert {name: one.verdict for name, one in found.items() if one.verdict not in ("pass", "warn")} == {
        "G3": "skip",
        "G5": "skip",
        "G10": "void",  # of the users' answers, of which there are none
    }
    assert "20 of 20 were held" in found["G9"].says
    assert not validity.voided(found.values(), "victim_p95_ms")
    assert [one.rule for one in validity.voided(found.values(), "victim_p99_ms")] == ["G10"]


@pytest.mark.parametrize(
    ("changes", "rule", "quantity"),
    [
        ({"victim_failures": 2}, "G11", "victim_p95_ms"),
        ({"connections_held": None}, "G9", "victim_p95_ms"),
        ({"sent": 1}, "G2", "kb_per_connection"),
        ({"victim_us": {2_000: 199}}, "G10", "victim_p95_ms"),
    ],
)
def test_what_spoils_a_trial_of_held_connections(changes: dict[str, object], rule: str, quantity: str) -> None:
    assert [one.rule for one in validity.voided(validity.findings(*held(**changes)), quantity)] == [rule]


@pytest.mark.parametrize(
    ("client", "quantity", "seen", "is_enough"),
    [
        ("sse", "event_gap_p95_ms", {"event_gap_us": {100_000: 200}}, True),
        ("sse", "event_gap_p95_ms", {"event_gap_us": {100_000: 199}}, False),
        ("websocket", "round_trip_p95_ms", {"round_trip_us": {500: 200}}, True),
        ("websocket", "round_trip_p95_ms", {"round_trip_us": {500: 20}, "event_gap_us": {500: 200}}, False),
    ],
)
def test_a_percentile_of_events_needs_events(
    client: str, quantity: str, seen: dict[str, object], is_enough: bool
) -> None:
    trial, load = held(**seen)
    found = validity.findings(trial, replace(load, client=client))
    assert [one.rule for one in validity.voided(found, quantity)] == ([] if is_enough else ["G10"])


def test_single_requests_skip_the_rules_that_say_nothing_of_them() -> None:
    two = made.singles(2.0, 4.0, identity=(made.IDENTITY, made.IDENTITY))
    found = {one.rule: one for one in validity.findings(two, AT_ONCE)}
    skipped = [name for name, one in found.items() if one.verdict == "skip"]
    assert skipped == ["G3", "G4", "G5", "G6", "G9"]
    assert "single requests" in found["G3"].says
    assert not validity.voided(found.values(), "last_finish_ms")
    assert validity.voided(found.values(), "p50_ms")


def test_single_requests_that_failed_void_their_times() -> None:
    refused = replace(made.singles(2.0, 4.0), client=None)
    failed = replace(refused, singles=(replace(refused.singles[0], status=500), refused.singles[1]))
    assert taken(say("G11", failed, AT_ONCE)) == THROUGHPUT | LATENCY


@pytest.mark.parametrize(
    ("answers", "kept"), [(19, ()), (20, (50,)), (199, (50,)), (200, (50, 95)), (1000, (50, 95, 99))]
)
def test_a_percentile_needs_ten_answers_beyond_it(answers: int, kept: tuple[int, ...]) -> None:
    few = client(response_us={200_000: answers}, victim_us={1000: answers})
    found = [say("G10", few, made.load(victim="/async/ping"))]
    for q in (50, 95, 99):
        assert bool(validity.voided(found, f"p{q}_ms")) == (q not in kept)
        assert bool(validity.voided(found, f"victim_p{q}_ms")) == (q not in kept)
    assert not validity.voided(found, "mean_ms")


def test_many_answers_of_the_load_do_not_make_up_for_few_of_the_victim() -> None:
    found = [say("G10", client(victim_us={1000: 30}), made.load(victim="/async/ping"))]
    assert not validity.voided(found, "p99_ms")
    assert validity.voided(found, "victim_p99_ms")


def test_a_rule_does_not_take_away_the_figure_it_looks_at() -> None:
    found = validity.findings(client(sent=1302), CLOSED)
    assert not validity.voided(found, "uncounted")
    assert validity.voided(found, "pss_mb")
    assert validity.voided(validity.findings(identified(nonce="x"), CLOSED), "uncounted")


def test_a_quantity_of_the_experiment_s_own_is_touched_by_every_rule_but_that_of_percentiles() -> None:
    assert validity.voided(validity.findings(SLOWED, CLOSED), "my_own_figure")
    few = validity.findings(made.trial(5.0), CLOSED)
    assert validity.voided(few, "p95_ms")
    assert not validity.voided(few, "my_own_figure")


def test_every_quantity_has_its_kind() -> None:
    assert validity.KINDS.keys() == quantities.QUANTITIES.keys()


@pytest.mark.parametrize(
    ("trial", "bound"),
    [(made.trial(), False), (made.burning(made.trial(), 5.1), True), (made.trial(server=None), True)],
)
def test_what_computes_more_than_it_waits_is_cpu_bound(trial: Trial, bound: bool) -> None:
    assert rules.cpu_bound(trial) == bound


def test_few_late_requests_are_in_the_highest_percentiles_alone() -> None:
    found = validity.findings(open_loop(late_p99_s=0.02, late_mean_s=0.001), OPEN)
    assert {name for name in ("throughput_rps", "mean_ms", "p95_ms", "p99_ms") if validity.voided(found, name)} == {
        "p99_ms"
    }
    (schedule,) = (one for one in found if one.rule == "G3")
    assert "1 % left over 20.0 ms late" in schedule.says


def seen_from_outside(**changes: object) -> Trial:
    """A service of the user's own: the machine's account in the place of its own."""
    known: dict[str, object] = {"cpu_s": 0.4, "pss_bytes": 40_000_000, "processes": 3, "os_threads": 6}
    trial = replace(made.trial(), server=None, outside=Outside(**known | changes))  # type: ignore[arg-type]
    return replace(trial, service={"nonce": "n1", "setting": "2 workers"})


def test_of_a_service_of_ones_own_nobody_claims_what_nobody_sees() -> None:
    trial = seen_from_outside()
    found = {one.rule: one for one in validity.findings(trial, CLOSED)}
    assert (found["G2"].verdict, found["G5"].verdict) == ("warn", "skip")
    assert "does not say what it took" in found["G2"].says
    assert [rule for rule, one in found.items() if one.verdict == "void"] == ["G10"]  # as of any trial so short
    assert quantities.read("cores_used", trial) == pytest.approx(0.4 / made.SECONDS)
    assert quantities.read("cpu_ms_per_request", trial) == pytest.approx(400 / 1000)
    assert quantities.read("pss_mb", trial) == 40
    for name, one in quantities.QUANTITIES.items():
        if not one.outside:
            assert quantities.read(name, trial) is None, name


def test_processes_that_cannot_be_seen_leave_their_figures_to_nobody() -> None:
    trial = seen_from_outside(cpu_s=None, pss_bytes=None, accept_queue_max=None)
    assert "cannot be seen" in say("G6", trial, CLOSED).says
    assert taken(say("G6", trial, CLOSED)) == {*THROUGHPUT, *CPU, *CORES}
    assert [quantities.read(name, trial) for name in ("cores_used", "cpu_ms_per_request", "pss_mb")] == [None] * 3
    assert rules.cpu_bound(trial)


@pytest.mark.parametrize(("cpu_s", "verdict"), [(0.4, "pass"), (10.1, "pass"), (10.3, "void")])
def test_a_service_of_ones_own_cannot_compute_more_than_its_core_gives(cpu_s: float, verdict: str) -> None:
    trial = made.machine(seen_from_outside(cpu_s=cpu_s), service_cores=1)
    assert say("G6", trial, CLOSED).verdict == verdict
    assert rules.cpu_bound(trial) == (cpu_s > 5)
