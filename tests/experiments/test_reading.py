"""Reading an experiment: what a good file becomes."""

from pathlib import Path

import pytest

from tests.experiments.written import GOOD, PREDICTION, asked, bounded, refused, written
from waitlab.experiment import Load, Reference, recorded


def test_a_list_expands_in_the_order_of_the_file(folder: Path) -> None:
    text = GOOD.replace("workers = [1, 2]", "threads = [4, 2]\nworkers = [2, 1]", 1)
    names = [arm.name for arm in asked(folder, text).arms if arm.family == "sync"]
    assert names == [
        "sync threads=4 workers=2",
        "sync threads=4 workers=1",
        "sync threads=2 workers=2",
        "sync threads=2 workers=1",
    ]


def test_an_arm_has_the_loads_values_unless_it_says_its_own(folder: Path) -> None:
    text = GOOD.replace("workers = [1, 2]", "concurrent = 2\nseconds = 5.5", 1)
    arms = asked(folder, text.replace('arm = "sync"', 'arm = "async"')).arms
    assert arms[0].load == Load(concurrent=2, seconds=5.5, repeats=5)
    assert arms[1].load == Load(users=20, repeats=5)
    assert (arms[0].name, arms[0].knobs, arms[1].knobs) == ("sync", {}, {"workers": 1})


@pytest.mark.parametrize(
    ("requests", "names"),
    [
        (["/sync/mixed?ms=1&rounds=5", "/sync/mixed?ms=2&rounds=5"], ["sync ms=1", "sync ms=2"]),
        (["/sync/sleep?ms=1", "/sync/sleep"], ["sync ms=1", "sync request=/sync/sleep"]),
        (["/sync/ping", "/sync/sleep?ms=1"], ["sync request=/sync/ping", "sync request=/sync/sleep?ms=1"]),
    ],
)
def test_a_list_of_requests_is_named_by_what_differs(folder: Path, requests: list[str], names: list[str]) -> None:
    text = GOOD.replace('request = "/sync/sleep?ms=200"\nworkers = [1, 2]', f"request = {requests}")
    assert [arm.name for arm in asked(folder, text).arms if arm.family == "sync"] == names


def test_a_prediction_about_a_family_is_one_about_each_member(folder: Path) -> None:
    predictions = asked(folder, GOOD).predictions
    assert [one.arm for one in predictions] == ["sync workers=1", "sync workers=2"]
    assert {(one.law, one.within, one.expected) for one in predictions} == {("concurrency_limit", 0.1, "confirmed")}


def test_a_prediction_may_name_one_member_or_no_arm_where_there_is_one_family(folder: Path) -> None:
    one = asked(folder, GOOD.replace('arm = "sync"', 'arm = "sync workers=2"'))
    assert [prediction.arm for prediction in one.predictions] == ["sync workers=2"]
    alone = GOOD[: GOOD.index("[arms.async]")] + PREDICTION.replace('arm = "sync"\n', "")
    assert len(asked(folder, alone).predictions) == 2


def test_a_reference_finds_the_member_that_expanded_to_the_same(folder: Path) -> None:
    predictions = asked(folder, bounded('at_most = { arm = "async", quantity = "p50_ms", times = 0.5 }')).predictions
    assert [one.at_most for one in predictions] == [
        Reference("async workers=1", "p50_ms", 0.5),
        Reference("async workers=2", "p50_ms", 0.5),
    ]


def test_a_reference_to_one_arm_is_the_same_for_all_and_takes_the_predicted_quantity(folder: Path) -> None:
    predictions = asked(folder, bounded('at_least = { arm = "async workers=2" }')).predictions
    assert {one.at_least for one in predictions} == {Reference("async workers=2", "throughput_rps")}


def test_an_arms_own_other_quantity_may_be_the_reference(folder: Path) -> None:
    predictions = asked(folder, bounded('equals = { arm = "sync", quantity = "p50_ms" }\nwithin = 0.1')).predictions
    assert [one.equals for one in predictions if isinstance(one.equals, Reference)] == [
        Reference(f"sync workers={count}", "p50_ms") for count in (1, 2)
    ]


def test_a_laws_measured_input_says_where_it_comes_from(folder: Path) -> None:
    text = GOOD.replace('"concurrency_limit"', '"closed_loop"\nmeasured = { cpu_ms = "async" }')
    assert [one.measured for one in asked(folder, text).predictions] == [
        {"cpu_ms": Reference(f"async workers={count}", "cpu_ms_per_request")} for count in (1, 2)
    ]


def test_cpu_a_request_is_the_arms_own_where_no_other_is_named(folder: Path) -> None:
    predictions = asked(folder, GOOD.replace('"concurrency_limit"', '"closed_loop"')).predictions
    assert {one.measured["cpu_ms"].arm == one.arm for one in predictions if one.law == "closed_loop"} == {True}
    assert [one.in_step for one in predictions] == [one.law == "closed_loop" for one in predictions]


def test_the_functions_of_a_measure_file_are_quantities_and_are_not_run(folder: Path) -> None:
    (folder / "mine.py").write_text("raise SystemExit\ndef ups_and_downs(trial): ...\ndef _hidden(trial): ...\n")
    text = GOOD.replace("[load]", 'measure = "mine.py"\n[load]', 1)
    text = text.replace('"throughput_rps"\nlaw = "concurrency_limit"\nwithin = 0.10', '"ups_and_downs"\nat_most = 3')
    experiment = asked(folder, text)
    assert experiment.measure == folder / "mine.py"
    assert experiment.predictions[0].quantity == "ups_and_downs"


def test_what_is_refuted_says_what_is_true_instead_but_for_old_recordings(folder: Path) -> None:
    claimed = GOOD + '\nexpected = "refuted"'
    wrapped = claimed + '\ninstead = """\nThe wait\nis."""'
    assert {one.instead for one in asked(folder, wrapped).predictions} == {"The wait is."}
    assert {one.instead for one in recorded(claimed, "mine", folder / "experiment.toml").predictions} == {""}
    assert "what is true instead" in refused(written(folder, claimed)).message


DUET = """
title = "A title"
question = "A question?"

[load]
users = 4
repeats = 5
duet = true

[arms.pair]
service = "flask"
request = ["/sync/burn?rounds=10", "/sync/burn?rounds=11"]

[arms.alone]
service = "fastapi"
request = "/sync/burn?rounds=10"
duet = false

[[predictions]]
says = "It costs the same."
arm = "pair rounds=11"
quantity = "cpu_ms_per_request"
equals = { arm = "pair rounds=10" }
within = 0.10
"""
COMPARED = DUET[DUET.index("quantity") :]


def test_arms_in_duet_are_one_turn_and_the_others_one_each(folder: Path) -> None:
    experiment = asked(folder, DUET)
    assert [[arm.name for arm in turn] for turn in experiment.turns] == [
        ["pair rounds=10", "pair rounds=11"],
        ["alone"],
    ]
    assert [[arm.name for arm in turn] for turn in asked(folder, GOOD).turns] == [
        ["sync workers=1"],
        ["sync workers=2"],
        ["async workers=1"],
        ["async workers=2"],
    ]


@pytest.mark.parametrize(
    "quantity", ["uncounted", "error_ratio", "threads_per_worker", "switches_voluntary_per_request"]
)
def test_what_is_counted_may_be_predicted_of_an_arm_in_duet(folder: Path, quantity: str) -> None:
    experiment = asked(folder, DUET.replace(COMPARED, f'quantity = "{quantity}"\nat_most = 0\n'))
    assert experiment.predictions[0].quantity == quantity


@pytest.mark.parametrize(
    ("old", "new", "message", "remedy"),
    [
        ("duet = true", "duet = 1", "load.duet = 1 is not allowed", "true or false"),
        ("duet = true", "duet = [true, false]", "load.duet = [True, False] is not allowed", "true or false"),
        (', "/sync/burn?rounds=11"]', "]", "arms has 1 arm in duet", "2 to 4"),
        ("=11", '=11", "/sync/burn?rounds=12", "/sync/burn?rounds=13", "/sync/burn?rounds=14', "has 5 arms", "2 to 4"),
        ("users = 4", "concurrent = 4", "arms.pair.concurrent does not go with duet", "one core"),
        ("users = 4", 'users = 4\nvictim = "/healthz"', "arms.pair.victim does not go with duet", "one core"),
        ("[arms.alone]", "cores = 1\n[arms.alone]", "arms.pair.cores does not go with duet", "one core"),
        ("duet = false", "repeats = 6", "arms.alone.repeats = 6 differs within the duet", "pair rounds=10 says 5"),
        ("duet = false", "seconds = 6", "arms.alone.seconds = 6 differs within the duet", "pair rounds=10 says 10"),
        (
            COMPARED,
            'quantity = "p50_ms"\nat_most = 9',
            "quantity = 'p50_ms' means nothing in duet",
            "cpu_ms_per_request",
        ),
        (COMPARED, 'quantity = "cpu_ms_per_request"\nat_most = 9', "at_most is not a partner's cpu_ms", "rounds=10"),
        ('{ arm = "pair rounds=10" }', '{ arm = "alone" }', "equals is not a partner's cpu_ms", "rounds=10"),
        ('rounds=10" }', 'rounds=10", quantity = "mean_ms" }', "equals is not a partner's cpu_ms", "rounds=10"),
        ('arm = "pair rounds=11"', 'arm = "alone"', "equals is not a partner's cpu_ms", "rounds=1"),
    ],
)
def test_a_fault_of_a_duet_is_named(folder: Path, old: str, new: str, message: str, remedy: str) -> None:
    assert old in DUET
    fault = refused(written(folder, DUET.replace(old, new, 1)))
    assert message in fault.message
    assert remedy in str(fault.remedy)


HOLDING = """
title = "A title"
question = "A question?"

[arms.held]
service = "fastapi"
request = "/async/ping"
users = 20
client = "idle"
victim = "/async/ping"
edge = ["off", "buffered"]

[[predictions]]
says = "They are held."
quantity = "connections_held"
at_least = 20
"""


def test_users_may_hold_connections_through_an_edge(folder: Path) -> None:
    arms = asked(folder, HOLDING).arms
    assert [(arm.name, arm.knobs["edge"]) for arm in arms] == [
        ("held edge=off", "off"),
        ("held edge=buffered", "buffered"),
    ]
    assert all(arm.load == Load(users=20, client="idle", victim="/async/ping") and arm.load.holds for arm in arms)
    assert not Load(users=20).holds


@pytest.mark.parametrize(
    ("old", "new", "message", "remedy"),
    [
        ('"idle"', '"lazy"', "client = 'lazy' is not allowed", "request, sse, websocket, upload, reader, idle"),
        ("users = 20", "rate = 20", "client = 'idle' holds connections", "say users"),
        ('victim = "/async/ping"\n', "", "client = 'idle' shows nothing by itself", "victim"),
        ('victim = "/async/ping"\n', 'victim = "/async/ping"\nthink_ms = 5\n', "think_ms is nothing that", "leave it"),
        ('"idle"', '"websocket"', "request = '/async/ping' is not for client = 'websocket'", "/ws"),
        ('"/async/ping"\nusers', '"/ws"\nusers', "request = '/ws' is not for client = 'idle'", '"websocket"'),
        ('"idle"', '"sse"', "request = '/async/ping' sends no events", "/STYLE/sse"),
        ('"buffered"]', '"on"]', "edge = 'on' is not allowed", "off, buffered, unbuffered"),
        ("connections_held", "throughput_rps", "'throughput_rps' cannot be measured", "no client that holds"),
        ("connections_held", "round_trip_p95_ms", "'round_trip_p95_ms' cannot be measured", '"websocket"'),
        (
            'quantity = "connections_held"\nat_least = 20',
            'quantity = "in_flight"\nlaw = "busy_places"\nwithin = 0.1',
            "has users who hold connections",
            "of in_flight with users who hold connections there is no law",
        ),
    ],
)
def test_a_fault_of_those_who_hold_is_named(folder: Path, old: str, new: str, message: str, remedy: str) -> None:
    assert old in HOLDING
    fault = refused(written(folder, HOLDING.replace(old, new, 1)))
    assert message in fault.message
    assert remedy in str(fault.remedy)


def test_the_file_is_kept_as_it_is(folder: Path) -> None:
    experiment = asked(folder, GOOD)
    assert (experiment.name, experiment.text, experiment.settles) == ("mine", GOOD, ("C02",))
