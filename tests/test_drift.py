"""What is stated twice must say the same: the docs, the contract, the runtime's tables, the metrics, the targets."""

import ast
import re
from pathlib import Path

import pytest
import typer.main

from services import contract
from tests.docs import blocks
from waitlab import experiment, suites
from waitlab.cli import app as cli
from waitlab.experiment import arms, predictions, reading
from waitlab.laws import LAWS
from waitlab.quantities import QUANTITIES
from waitlab.runtime.local import plan
from waitlab.serve import settings
from waitlab.telemetry import names

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()
KOREAN = (PROJECT / "README.ko.md").read_text()
REFERENCE = (PROJECT / "docs/reference.md").read_text()
EXPERIMENTS = (PROJECT / "docs/experiments.md").read_text()
MAKEFILE = (PROJECT / "Makefile").read_text()
PAGES = {file.name: file.read_text() for file in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"))}

TARGETS = set(re.findall(r"^([a-z-]+):.*?## ", MAKEFILE, re.MULTILINE))
COMMANDS = set(typer.main.get_command(cli).commands)  # type: ignore[attr-defined]
METRICS = {
    value
    for name, value in vars(names).items()
    if name.isupper() and isinstance(value, str) and value.startswith(("lab_", "http_"))
}


def section(page: str, heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {heading!r}"
    return found[1]


def first_cells(page: str, heading: str) -> list[str]:
    """The backticked first cells of the table of a section."""
    return re.findall(r"^\| `([^`]+)`", section(page, heading), re.MULTILINE)


def commands_of(block: str) -> list[str]:
    return [line.split("#")[0].strip() for line in block.splitlines() if line.strip()]


def test_the_reference_lists_every_make_target() -> None:
    assert {cell.removeprefix("make ") for cell in first_cells(REFERENCE, "Make targets")} == TARGETS


def test_the_reference_lists_every_command() -> None:
    assert {cell.split()[1] for cell in first_cells(REFERENCE, "Commands")} == COMMANDS


def test_the_reference_lists_every_metric() -> None:
    assert set(first_cells(REFERENCE, "Metrics")) == METRICS


@pytest.mark.parametrize("page", PAGES)
def test_every_target_command_and_metric_that_a_page_names_exists(page: str) -> None:
    text = PAGES[page]
    quoted = re.findall(r"`([^`\n]+)`", text) + [
        line for block in blocks(text, "console") for line in commands_of(block)
    ]
    words = [re.split(r"[ ;|]", piece.removeprefix(".venv/bin/")) for piece in quoted]
    assert {after for first, after, *_ in filter(lambda w: len(w) > 1, words) if first == "make"} <= TARGETS
    assert {after for first, after, *_ in filter(lambda w: len(w) > 1, words) if first == "lab"} <= COMMANDS
    assert set(re.findall(r"`((?:lab|http_server)_[a-z_]+)`", text)) <= METRICS


def texts(source: str) -> list[str]:
    """Every string of a program but its docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    return [constant.value for constant in constants if isinstance(constant.value, str)]


def test_every_target_that_a_message_names_exists() -> None:
    sources = [file.read_text() for part in ("waitlab", "services") for file in PROJECT.glob(f"{part}/**/*.py")]
    named = {target for source in sources for text in texts(source) for target in re.findall(r"\bmake ([a-z-]+)", text)}
    assert {"lab-up", "load"} <= named <= TARGETS


def described(parameter: contract.Parameter) -> str:
    default = int(parameter.default) if parameter.kind == "bool" else parameter.default
    return f"`{parameter.name}` {parameter.bounds}, default {default}"


def test_the_reference_states_the_parameters_of_the_contract() -> None:
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", section(REFERENCE, "Endpoints"), re.MULTILINE))
    workloads = {**contract.WORKLOADS, **{f"/sample/{name}": known for name, known in contract.SAMPLES.items()}}
    assert set(workloads) | contract.UNMEASURED <= set(rows)
    for workload, parameters in workloads.items():
        for parameter in (*parameters, *contract.WHEN_OFFLOADED.get(workload, ())):
            assert described(parameter) in rows[workload], workload


def test_the_runtime_knows_the_services_of_the_contract() -> None:
    assert set(plan.SERVICES) == set(contract.SERVICES)
    for name, service in contract.SERVICES.items():
        assert plan.SERVICES[name].app == service.app
        assert plan.SERVICES[name].servers == service.servers
        assert plan.PORTS[f"{plan.prefix(name)}_PORT"] == service.port


def test_every_knob_stands_in_the_readme_with_its_default_and_help() -> None:
    defaults = {row.name: row.default for row in settings.TABLE}
    for knob in plan.SERVICE_KNOBS:
        if knob == "PORT":
            continue
        (row,) = [row for row in settings.TABLE if row.name == knob]
        found = re.search(rf"^\| `{knob}` \| (.*?) \| (.*?) \| (.*?) \|$", README, re.MULTILINE)
        assert found, f"the README has no row for {knob}"
        assert found[3] == row.help
        if defaults[knob] and knob != "SERVER":
            assert found[1] in (f"`{defaults[knob]}`", "-"), knob
            assert found[2] in (f"`{defaults[knob]}`", "-"), knob


def test_every_port_setting_stands_in_the_reference_with_its_number() -> None:
    listed = dict(re.findall(r"^\| `([A-Z_]+_PORT)` \| (\d+) \|", section(REFERENCE, "Ports"), re.MULTILINE))
    assert {name: int(port) for name, port in listed.items()} == plan.PORTS


def test_both_readmes_say_the_same_commands_and_ports() -> None:
    assert [commands_of(block) for block in blocks(KOREAN, "console")] == [
        commands_of(block) for block in blocks(README, "console")
    ]
    ports = r"127\.0\.0\.1:(\d+)"
    assert re.findall(ports, KOREAN) == re.findall(ports, README)
    assert set(re.findall(r"\(docs/images/[^)]+\)", KOREAN)) == set(re.findall(r"\(docs/images/[^)]+\)", README))


def test_every_link_of_a_page_leads_somewhere() -> None:
    for file in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")):
        for link in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
            assert link.startswith("http") or (file.parent / link).exists(), f"{file.name}: {link}"


def test_no_registry_address_is_in_a_lock() -> None:
    for lock in PROJECT.glob("requirements/*.lock"):
        assert not re.search(r"https?://|file:|--(extra-)?index|--find-links", lock.read_text()), lock.name


def test_the_version_is_stated_in_the_changelog() -> None:
    version = re.search(r'^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"## [{version[1]}]" in PAGES["CHANGELOG.md"]


def test_the_page_on_experiments_lists_every_quantity() -> None:
    loads = {"any": "any", "stream": "users, rate", "requests": "users, rate", "singles": "concurrent"}
    loads |= {"victim": "with a victim", "held": "a client that holds", "sse": "sse", "websocket": "websocket"}
    rows = [f"| `{one.name}` | {one.meaning} | {one.witness} | {loads[one.load]} |" for one in QUANTITIES.values()]
    assert re.findall(r"^\| `.*$", section(EXPERIMENTS, "Quantities"), re.MULTILINE) == rows


def test_the_page_on_experiments_lists_every_law() -> None:
    rows = []
    for law in LAWS.values():
        quantities = ", ".join(f"`{name}`" for name in law.quantities)
        measured = ", ".join(f"`{name}`, a `{quantity}`" for name, quantity in law.measured.items())
        rows.append(f"| `{law.name}` | {law.summary} | {quantities} | {law.load} | {measured} |")
    assert re.findall(r"^\| `.*$", section(EXPERIMENTS, "Laws"), re.MULTILINE) == rows


def test_the_page_on_experiments_describes_every_key_of_the_file() -> None:
    described = {
        name
        for cell in re.findall(r"^\| (`.*?) \|", section(EXPERIMENTS, "The file"), re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    }
    named = set(re.findall(r"`\[+(\w+)", section(EXPERIMENTS, "The file")))
    assert set(reading.TOP) | set(arms.ARM) | set(predictions.PREDICTION) <= described | named
    assert described <= set(reading.TOP) | set(arms.ARM) | set(predictions.PREDICTION)


def test_the_page_on_experiments_states_the_exit_codes_and_suites() -> None:
    codes = {
        int(code) for code in re.findall(r"^\| (\d+) \|", section(EXPERIMENTS, "What `run` ends in"), re.MULTILINE)
    }
    assert codes == {0, 2, 99, 105, 120, 122}
    told = " ".join(section(EXPERIMENTS, "Suites").split())
    for name in suites.QUICK:
        assert f"`{name}`" in told
    for name, about in suites.CHAPTERS.items():
        assert f"**{name}** {about}" in told


def test_the_examples_on_the_page_can_be_run(tmp_path: Path) -> None:
    example, *parts = blocks(EXPERIMENTS, "toml")
    file = tmp_path / "mine.toml"
    file.write_text(example)
    assert len(experiment.read(file).predictions) == 5
    for part in parts:
        file.write_text(f'title = "A claim"\nquestion = "Does it hold?"\n{part}')
        assert len(experiment.read(file).predictions) == 1


def test_the_page_on_django_names_what_there_is() -> None:
    page = PAGES["django.md"]
    offered = set(contract.offered("django-wsgi")) | set(contract.offered("django-asgi"))
    refused = {"/blocked/query", "/blocked/profile"}
    named = {path.partition("?")[0] for path in re.findall(r"`(/[a-z]+/[a-z]+[^`]*)`", page)}
    assert named - offered == refused
    assert {contract.reason("django-asgi", *path[1:].split("/")) for path in refused} != {""}
    knobs = {f"{plan.prefix(name)}_{knob}" for name in plan.SERVICES for knob in plan.knobs(name)}
    assert set(re.findall(r"DJANGO_[A-Z]+_[A-Z_]+", page)) <= knobs
    explained = first_cells(page, "Why an asynchronous view still holds a thread")
    assert set(explained) == {f"DJANGO_ASGI_{knob}" for knob in plan.OF_DJANGO}
