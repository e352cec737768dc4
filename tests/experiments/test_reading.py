"""Reading an experiment: what a good file becomes, and how each fault of a bad one is named."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waitlab.errors import LabError
from waitlab.experiment import Experiment, Load, Reference, find, read, recorded

GOOD = """
title = "A title"
question = "A question?"
settles = ["C02"]

[load]
users = 20
repeats = 5

[arms.sync]
service = "flask"
request = "/sync/sleep?ms=200"
workers = [1, 2]

[arms.async]
service = "fastapi"
request = "/async/sleep?ms=200"
workers = [1, 2]

[[predictions]]
says = "It is so."
arm = "sync"
quantity = "throughput_rps"
law = "concurrency_limit"
within = 0.10
"""
PREDICTION = GOOD[GOOD.index("[[predictions]]") :]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def asked(folder: Path, text: str) -> Experiment:
    return read(written(folder, text))


def refused(path: Path) -> LabError:
    with pytest.raises(LabError) as fault:
        read(path)
    assert fault.value.code == 2
    assert str(path) in fault.value.message
    return fault.value


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


def bounded(bound: str, arm: str = "sync") -> str:
    return GOOD.replace('law = "concurrency_limit"\nwithin = 0.10', bound).replace('arm = "sync"', f'arm = "{arm}"')


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


def test_the_file_is_kept_as_it_is(folder: Path) -> None:
    experiment = asked(folder, GOOD)
    assert (experiment.name, experiment.text, experiment.settles) == ("mine", GOOD, ("C02",))


ARM = 'service = "flask"\nrequest = "/sync/sleep?ms=200"\nworkers = [1, 2]'
LAW = 'law = "concurrency_limit"\nwithin = 0.10'

# what is replaced, by what -> where the fault is and what it says, what the remedy says
FAULTS = [
    ('title = "A title"', 'titles = "A title"', "titles", "did you mean title?"),
    ('title = "A title"\n', "", "title", "add title"),
    ('title = "A title"', "title = 3", "title = 3", "characters"),
    ('title = "A title"', 'title = "\\u001b[31m"', "title", "printable"),
    ('"A question?"', '"  "', "question", "1 to 500"),
    ('["C02"]', '["C99"]', "settles", "C01 to C57"),
    ('["C02"]', '"C02"', "settles", "list"),
    ("[load]", "[loda]", "loda", "did you mean load?"),
    ("[load]\nusers = 20\nrepeats = 5\n", "load = 3\n", "load", "[load]"),
    ("users = 20", "user = 20", "load.user ", "did you mean users?"),
    ("users = 20", 'users = "20"', "load.users = '20'", "whole number from 1"),
    ("users = 20", "users = 2.5", "load.users = 2.5", "whole number"),
    ("users = 20", "users = true", "load.users = True", "whole number"),
    ("users = 20", "users = 0", "load.users = 0", "from 1"),
    ("users = 20", "users = [1, 2]", "load.users = [1, 2]", "whole number"),
    ("users = 20", "users = 20\nrate = 5", "says users and rate", "one form"),
    ("users = 20", "rate = nan", "load.rate", "a number from"),
    ("users = 20", "concurrent = 21", "load.concurrent", "1 to 20"),
    ("users = 20\n", "", "arms.sync has no load", "users, concurrent or rate"),
    ("users = 20", "rate = 5\nthink_ms = 100", "think_ms without users", "only users think"),
    ("users = 20", 'concurrent = 2\nvictim = "/sync/ping"', "victim beside single requests", "rate"),
    ("users = 20", 'users = 20\nvictim = "/sync/pong"', "arms.sync.victim", "/sync/ping"),
    ("users = 20", 'users = 20\nvictim = "/metric"', "arms.sync.victim", "/metrics"),
    ("repeats = 5", "repeats = 1000", "load.repeats", "1 to 100"),
    ("repeats = 5", "seconds = 1e400", "load.seconds", "1 to 3600"),
    ("repeats = 5", "expects_errors = 1", "load.expects_errors", "true or false"),
    ("[arms.sync]", '[arms."a=b"]', "a=b is no name", "letters"),
    ("[arms.sync]", "[arms.sync.more]", "arms.sync.more", "did you mean"),
    (ARM, ARM.replace('service = "flask"\n', ""), "arms.sync has no service", "arms.sync.service"),
    (ARM, ARM.replace("flask", "flaks"), "arms.sync.service = 'flaks'", "flask, fastapi"),
    (ARM, ARM.replace("workers", "workres"), "arms.sync.workres", "did you mean workers?"),
    (ARM, ARM.replace("[1, 2]", "65"), "arms.sync.workers = 65", "1 to 64"),
    (ARM, ARM.replace("[1, 2]", "[1, 65]"), "arms.sync.workers = 65", "1 to 64"),
    (ARM, ARM.replace("[1, 2]", '"4"'), "arms.sync.workers = '4'", "a whole number"),
    (ARM, ARM.replace("[1, 2]", "[]"), "arms.sync.workers = []", "different values"),
    (ARM, ARM.replace("[1, 2]", "[2, 2]"), "arms.sync.workers = [2, 2]", "different values"),
    (ARM, ARM.replace("[1, 2]", "[[1], 2]"), "arms.sync.workers = [1]", "a whole number"),
    (ARM, ARM + "\nseconds = [1, 2]", "arms.sync.seconds", "one value"),
    (ARM, ARM + '\nworker_class = "synch"', "arms.sync.worker_class", "gthread"),
    (ARM, ARM + "\npreload = 1", "arms.sync.preload", "true or false"),
    (ARM, ARM + '\ncores = "0-1"', "arms.sync.cores", "whole number"),
    (ARM, ARM + "\nport = 80", "arms.sync.port", "there are"),
    (ARM, ARM.replace("[1, 2]", str(list(range(1, 64)))), "more than 64 arms", "shorten"),
    (ARM, ARM.replace("/sync/sleep", "/sync/slep"), "arms.sync.request", "did you mean /sync/sleep?"),
    (ARM, ARM.replace("/sync/sleep", "/async/sleep"), "no path of flask", "/sync/sleep"),
    (ARM, ARM.replace("?ms", "?msec"), "arms.sync.request", "ms"),
    (ARM, ARM.replace("?ms=200", "?ms="), "gives ms no value", "leave it out"),
    (ARM, ARM.replace("?ms=200", "?ms=200&ms=100"), "twice", "once"),
    (ARM, ARM.replace("/sync/sleep?ms=200", "http://evil.example/"), "arms.sync.request", "a path"),
    (ARM, ARM.replace('"/sync/sleep?ms=200"', "7"), "arms.sync.request = 7", "a path"),
    ("[[predictions]]", "[[prediction]]", "prediction", "did you mean predictions?"),
    ('says = "It is so."\n', "", "prediction 1 has no says", "add"),
    ('says = "It is so."', "say = 1", "prediction 1.say ", "did you mean says?"),
    ('arm = "sync"', 'arm = "synk"', "prediction 1.arm", "did you mean sync?"),
    ('arm = "sync"', 'arm = "sync workers=3"', "prediction 1.arm", "did you mean sync workers="),
    ('arm = "sync"\n', "", "prediction 1 has no arm", "sync, async"),
    ('"throughput_rps"', '"troughput_rps"', "prediction 1.quantity", "did you mean throughput_rps?"),
    ('"throughput_rps"', '"last_finish_ms"', "cannot be measured in arm 'sync workers=1'", "concurrent"),
    ('"throughput_rps"', '"victim_p50_ms"', "cannot be measured", "victim"),
    ("users = 20", "concurrent = 5", "cannot be measured", "users or a rate"),
    ('"concurrency_limit"', '"concurency_limit"', "prediction 1.law", "did you mean concurrency_limit?"),
    ('"concurrency_limit"', '"response_time"', "says nothing of throughput_rps", "mean_ms or p50_ms"),
    ('"concurrency_limit"', '"open_loop"', "is about rate", "of throughput_rps with users there is concurrency_limit"),
    (LAW, LAW + '\nmeasured = { cpu = "async" }', "prediction 1.measured.cpu ", "none"),
    (LAW, 'at_most = 3\nmeasured = { cpu_ms = "async" }', "prediction 1.measured", "leave it out"),
    (LAW, "", "prediction 1 says nothing", "law, equals, at_least, at_most"),
    (LAW, LAW + "\nequals = 3", "says law and equals", "one of"),
    (LAW, "at_least = 3\nat_most = 5", "says at_least and at_most", "one of"),
    (LAW, 'law = "concurrency_limit"', "has no within", "band"),
    (LAW, "at_least = 3\nwithin = 0.1", "has a within", "band"),
    (LAW, LAW.replace("0.10", "10"), "prediction 1.within = 10", "0.001 to 1"),
    (LAW, LAW + '\nexpected = "yes"', "prediction 1.expected = 'yes'", "confirmed, refuted"),
    (LAW, LAW + '\nexpected = "refuted"', "does not say what is true instead of", "add instead"),
    (LAW, LAW + '\ninstead = "It waits."', "prediction 1.instead is of what is refuted", "leave it out"),
    (LAW, 'at_least = "3"', "prediction 1.at_least = '3'", "a number"),
    (LAW, "at_least = nan", "prediction 1.at_least", "a number"),
    (LAW, "at_least = inf", "prediction 1.at_least", "a number"),
    (LAW, "at_least = {}", "prediction 1.at_least has no arm", "add"),
    (LAW, 'at_least = { arm = "asink" }', "prediction 1.at_least.arm", "did you mean async?"),
    (LAW, 'at_least = { arm = "async", quantity = "p55_ms" }', "at_least.quantity", "did you mean p"),
    (LAW, 'at_least = { arm = "async", times = 0 }', "at_least.times = 0", "a number"),
    (LAW, 'at_least = { arm = "async", time = 2 }', "at_least.time ", "did you mean times?"),
    (LAW, 'at_least = { arm = "sync" }', "with itself", "another arm"),
    (LAW, 'at_least = { arm = "sync workers=2" }', "with itself", "another arm"),
    ("[load]", 'measure = "mine.py"\n[load]', "measure", "none"),
    ("[load]", 'measure = "../mine.py"\n[load]', "measure", "beside"),
    ("[load]", "needs = []\n[load]", "needs", "characters"),
]


@pytest.mark.parametrize(("old", "new", "message", "remedy"), FAULTS)
def test_a_fault_names_file_key_and_what_was_meant(folder: Path, old: str, new: str, message: str, remedy: str) -> None:
    assert old in GOOD
    fault = refused(written(folder, GOOD.replace(old, new, 1)))
    assert message in fault.message
    assert remedy in fault.remedy


def test_a_reference_to_a_family_that_expanded_otherwise_is_refused(folder: Path) -> None:
    text = bounded('at_least = { arm = "async" }').replace("workers = [1, 2]", "workers = [1, 2, 3]", 1)
    fault = refused(written(folder, text))
    assert "none fits 'sync workers=3'" in fault.message
    assert "the same lists" in fault.remedy


@pytest.mark.parametrize("empty", ["arms = {}\n", "predictions = []\n"])
def test_an_experiment_without_arms_or_predictions_is_refused(folder: Path, empty: str) -> None:
    key = empty.split(maxsplit=1)[0]
    head, arms = GOOD[: GOOD.index("[load]")], GOOD[GOOD.index("[load]") : GOOD.index("[[predictions]]")]
    text = head + empty + (PREDICTION if key == "arms" else arms)
    assert f"{key} is empty" in refused(written(folder, text)).message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x7fELF\xff\xfe", "is not text"),
        (b"title = 'a\x00'", "is not TOML"),
        (b"title = ", "is not TOML"),
        (b"title = 'a'\ntitle = 'b'", "is not TOML"),
        (b"a = " + b"[" * 5_000, "is not TOML"),
        (b"a = " + b"1" * 5_000, "is not TOML"),
        (b"#" * 65_537, "is larger than 64 KiB"),
    ],
)
def test_what_is_no_toml_is_refused(folder: Path, content: bytes, message: str) -> None:
    assert message in refused(written(folder, content)).message


def test_a_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    assert "cannot be read" in refused(folder / "absent.toml").message
    (folder / "dir.toml").mkdir()
    assert "cannot be read" in refused(folder / "dir.toml").message


@pytest.mark.parametrize("name", ["Mine.toml", "my experiment.toml", "mine.txt", "-.toml"])
def test_the_files_name_is_the_experiments_name(folder: Path, name: str) -> None:
    (folder / name).write_text(GOOD)
    assert "lower-case" in refused(folder / name).remedy


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def broken(:", "cannot be read"),
        ("number = 3", "defines no function"),
        ("def p50_ms(trial): ...", "redefines p50_ms"),
    ],
)
def test_a_measure_file_that_measures_nothing_is_refused(folder: Path, source: str, message: str) -> None:
    (folder / "mine.py").write_text(source)
    text = GOOD.replace("[load]", 'measure = "mine.py"\n[load]', 1)
    assert message in refused(written(folder, text)).message


def test_a_measure_file_elsewhere_is_refused_also_behind_a_link(folder: Path) -> None:
    inside = folder / "inside"
    inside.mkdir()
    (folder / "outside.py").write_text("def outside(trial): ...")
    (inside / "mine.py").symlink_to(folder / "outside.py")
    assert "measure" in refused(written(inside, GOOD.replace("[load]", 'measure = "mine.py"\n[load]', 1))).message


def test_an_experiment_is_found_by_its_name() -> None:
    assert read(find("c02-sync-worker-serves-one")).settles == ("C02",)
    assert find("some/where.toml") == Path("some/where.toml")
    with pytest.raises(LabError) as fault:
        find("c02-sync-worker-serves-on")
    assert fault.value.remedy == "did you mean c02-sync-worker-serves-one?"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_no_bad_line_ends_in_anything_but_a_named_fault(folder: Path, data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    key = lines[number].partition(" = ")[0]
    values = st.sampled_from(
        ["", "[]", "{}", "[1, [2]]", "-1", "1e999", "nan", '""', "true", "1979-05-27", '{ arm = "sync" }', '"\\u0000"']
    )
    lines[number] = data.draw(st.one_of(values.map(lambda value: f"{key} = {value}"), st.text(max_size=40)))
    path = written(folder, "\n".join(lines).encode(errors="replace"))
    try:
        assert isinstance(read(path), Experiment)
    except LabError as fault:
        assert fault.code == 2
        assert str(path) in fault.message
