"""lab.toml: what a whole one means, and that every fault names file, key and what was meant."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.docs import blocks
from tests.target.conftest import written
from waitlab.errors import LabError
from waitlab.target import Choices, Request, Target, read, reading

GOOD = """
[service]
name = "orders"
command = "gunicorn shop:app --workers {workers} --worker-class {worker_class} --bind 127.0.0.1:{port}"
health = "/healthz"
environment = { DATABASE_URL = "postgres://me@db/shop", WEB_THREADS = "{threads}" }
scale = "signals"
allow = ["orders.internal"]
[choices]
workers = [1, 2, 4]
worker_class = ["sync", "gthread"]
threads = 8
[[requests]]
path = "/orders"
weight = 3
[[requests]]
path = "/orders"
method = "POST"
headers = { Authorization = "Bearer secret" }
body = '{"sku": 1}'
"""


PAGE = (Path(__file__).resolve().parents[2] / "docs/your-own-service.md").read_text()


def test_the_reference_has_every_key_and_an_example_that_reads(tmp_path: Path) -> None:
    for table, heading in ((reading.SERVICE, "[service]"), (reading.REQUEST, "[[requests]]")):
        rows = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)) == set(table)
    assert all(f"`{key}`" in PAGE.partition("## [choices]\n")[2] for key in reading.CHOICES)
    example = blocks(PAGE, "toml")[0]
    assert len(read(written(tmp_path, example)).choices.settings()) == 2 * (4 + 4 * 3)


def refused(folder: Path, text: str) -> LabError:
    with pytest.raises(LabError) as fault:
        read(written(folder, text))
    assert fault.value.code == 2
    assert "lab.toml" in fault.value.message
    return fault.value


def test_a_whole_file_says_what_is_started_asked_and_chosen(tmp_path: Path) -> None:
    found = read(written(tmp_path, GOOD))
    assert isinstance(found, Target)
    assert (found.name, found.kind, found.scale, found.health) == ("orders", "command", "signals", "/healthz")
    assert found.choices == Choices((1, 2, 4), ("sync", "gthread"), (8,))
    assert found.directory == tmp_path.resolve()
    assert found.url == "http://127.0.0.1:{port}"
    assert found.allow == ("orders.internal",)
    assert found.requests == (
        Request("/orders", 3),
        Request("/orders", method="POST", headers={"Authorization": "Bearer secret"}, body='{"sku": 1}'),
    )
    assert read(tmp_path) == found


def test_a_service_that_runs_needs_its_address_alone(tmp_path: Path) -> None:
    text = '[service]\nurl = "http://127.0.0.1:9000/"\npid_file = "run/pid"\n[[requests]]\npath = "/"\n'
    found = read(written(tmp_path, text))
    assert (found.kind, found.url, found.name) == ("running", "http://127.0.0.1:9000", tmp_path.name)
    assert found.pid_file == tmp_path / "run/pid"
    assert found.choices.settings()[0].workers == 0


def test_a_port_that_is_not_said_is_that_of_http(tmp_path: Path) -> None:
    text = '[service]\nurl = "http://127.0.0.1/"\n[[requests]]\npath = "/"\n'
    assert read(written(tmp_path, text)).url == "http://127.0.0.1:80"
    fault = refused(tmp_path, text.replace("127.0.0.1", "127.0.0.1:{port}"))
    assert "service.url holds {port}" in fault.message


def test_a_locustfile_takes_the_place_of_requests(tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text("")
    text = '[service]\nurl = "http://127.0.0.1:9000"\nlocustfile = "locustfile.py"\n'
    found = read(written(tmp_path, text))
    assert (found.locustfile, found.requests) == (tmp_path.resolve() / "locustfile.py", ())


@pytest.mark.parametrize(
    ("line", "instead", "message", "remedy"),
    [
        ('name = "orders"', 'namee = "orders"', "service.namee is not known", "did you mean name?"),
        ('name = "orders"', 'name = "../x"', "service.name", "it takes 1 to 40"),
        ("{workers}", "{worker}", "service.command is not known: 'worker' is no placeholder", "did you mean workers?"),
        ("threads = 8", "", "environment.WEB_THREADS holds {threads}, which is no choice", "add threads"),
        ("{threads}", "8", "choices.threads changes nothing", "put {threads} into"),
        ("--bind 127.0.0.1:{port}", "", "service does not say where it serves", "add service.url"),
        ("gunicorn shop", "gunicorn 'shop", "service.command cannot be split", "close its quotes"),
        ("weight = 3", "weight = 0", "requests[1].weight = 0 is not allowed", "above 0"),
        ("weight = 3", "weigt = 3", "requests[1].weigt is not known", "did you mean weight?"),
        ('path = "/orders"', 'path = "orders"', "requests[1].path", "a path with its query"),
        ('method = "POST"', 'method = "TRACE"', "requests[2].method", "one of GET"),
        ("Bearer secret", "a\\nHost: evil", "requests[2].headers", "one line"),
        ("workers = [1, 2, 4]", "workers = [1, 1]", "choices.workers", "different ones"),
        ("workers = [1, 2, 4]", "workers = []", "choices.workers", "one value, or a list"),
        ("workers = [1, 2, 4]", "workers = [0]", "choices.workers", "a whole number from 1 to 512"),
        ('scale = "signals"', 'scale = "replicas"', "service.scale = 'replicas' does not go with command", "restart"),
        ('scale = "signals"', 'scale = "control"', "service.scale", "one of restart, signals, replicas"),
        ('scale = "signals"', 'locustfile = "none.py"', "requests does not go with service.locustfile", "one of them"),
        ('scale = "signals"', 'directory = "nowhere"', "service.directory", "relative to"),
        ('scale = "signals"', 'pid_file = "pid"', "service.pid_file does not go with command", "belongs to a url"),
        ('scale = "signals"', 'url = "https://x"', "service.url", "an address such as http://"),
        ('scale = "signals"', 'url = "http://x/path"', "service.url", "without a path"),
        ('scale = "signals"', 'url = "http://x:99999"', "service.url", "without a path"),
        ('scale = "signals"', 'url = "http://x:"', "service.url", "without a path"),
        ('scale = "signals"', 'url = "http://me:secret@x"', "service.url", "without a path"),
        ('scale = "signals"', 'url = "http://[x"', "service.url", "without a path"),
        ('scale = "signals"', 'compose = "orders"', "service.compose does not go with command", "one of them"),
        ("[choices]", "[choicez]", "choicez is not known", "did you mean choices?"),
        ("[service]", "[service", "is not TOML", "toml.io"),
    ],
)
def test_a_fault_names_file_key_and_what_was_meant(
    tmp_path: Path, line: str, instead: str, message: str, remedy: str
) -> None:
    assert line in GOOD
    fault = refused(tmp_path, GOOD.replace(line, instead, 1))
    assert message in fault.message
    assert remedy in fault.remedy


def test_a_file_that_says_nothing_to_ask_or_nothing_that_runs_is_refused(tmp_path: Path) -> None:
    assert "requests are missing" in refused(tmp_path, '[service]\nurl = "http://127.0.0.1"\n').message
    assert "nothing that runs" in refused(tmp_path, '[service]\nname = "x"\n[[requests]]\npath = "/"\n').message
    assert "has no service" in refused(tmp_path, "").message.replace("says no", "has no")
    with pytest.raises(LabError) as fault:
        read(tmp_path / "missing.toml")
    assert "cannot be read: No such file" in fault.value.message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_no_bad_line_ends_in_anything_but_a_named_fault(tmp_path: Path, data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    number = data.draw(st.integers(1, len(lines) - 1))
    key = lines[number].partition(" = ")[0]
    values = st.sampled_from(
        ["[]", "{}", "[1, [2]]", "-1", "1e999", "nan", '""', "true", "1979-05-27", '{ a = "b" }', '"\\u0000"', '"{x}"']
    )
    lines[number] = data.draw(st.one_of(values.map(lambda value: f"{key} = {value}"), st.text(max_size=40)))
    file = tmp_path / "lab.toml"
    file.write_bytes("\n".join(lines).encode(errors="replace"))
    try:
        assert isinstance(read(file), Target)
    except LabError as fault:
        assert fault.code == 2
        assert str(file) in fault.message
