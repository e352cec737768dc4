"""Reading an experiment: how each fault of a bad file is named."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.experiments.written import GOOD, PREDICTION, bounded, refused, written
from waitlab.errors import LabError
from waitlab.experiment import Experiment, find, read

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
    (ARM, ARM.replace("/sync/sleep", "/offload/sleep"), "no path of flask", "/sleep"),
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
    ("[load]", 'source = "a blog"\n[load]', "source", "title and the address"),
    ("[load]", 'source = { title = "T" }\n[load]', "source", "title and the address"),
    ("[load]", 'source = { title = "T", address = "https://x/", year = 2020 }\n[load]', "source", "title and the"),
    ("[load]", 'source = { title = "", address = "https://x/" }\n[load]', "source", "characters"),
    ("[load]", 'source = { title = "T", address = "javascript:x" }\n[load]', "source", "title and the address"),
    ("[load]", "source = { title = 'T', address = 'https://x/)[' }\n[load]", "source", "title and the address"),
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
