"""docs/tune-your-service.md: what a reader would do, done."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from tests.docs import blocks
from tests.ports import free_port
from tests.serve import strangers
from tests.serve.served import get, scrape, total
from tests.waiting import eventually, wait_for
from waitlab import experiment, process, target
from waitlab.cli import app as cli
from waitlab.serve import folder, in_container
from waitlab.telemetry import ledger, names
from waitlab.verbs import commands

PROJECT = Path(__file__).resolve().parent.parent
PAGE = (PROJECT / "docs/tune-your-service.md").read_text()
LAB = "~/waitlab/lab "


COMMANDS = [line for block in blocks(PAGE, "console") for line in block.splitlines()]
OF_THE_LAB = [line.removeprefix(LAB) for line in COMMANDS if line.startswith(LAB)]
SERVED = [line for line in OF_THE_LAB if line.startswith("serve")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder: the application, its environment, its lab.toml."""
    made = tmp_path_factory.mktemp("orders")
    (made / "orders.py").write_text(blocks(PAGE, "python")[0])
    (made / "lab.toml").write_text(blocks(PAGE, "toml")[0])
    strangers.make_environment(made / ".venv", *strangers.FLASK, "gunicorn", "packaging")
    return made


@pytest.mark.parametrize("line", SERVED)
def test_the_service_of_the_page_is_served_and_seen(project: Path, line: str) -> None:
    port = free_port()
    _, _, *words = shlex.split(line.replace("--port 9000", f"--port {port}"))
    with strangers.stranger(
        project, "orders", None, "orders:app", *words, environment={"VIRTUAL_ENV": str(project / ".venv")}
    ) as served:
        (asked,) = [shlex.split(command)[1] for command in COMMANDS if command.startswith("curl")]
        status, body = get(asked.replace("9000", str(port)))
        assert (status, json.loads(body)["item"]) == (200, "tea")
        assert len(served.live()) == 2
        wait_for(lambda: served.totals() == (1, 1, 0), "a completed request")
        samples = served.scrape()
        assert total(samples, f"{names.REQUEST_DURATION}_count", workload="/orders/<item>", service="orders") == 1
        assert total(samples, names.WORKER_THREADS) == 8  # of both workers, the one without a request too


@pytest.mark.parametrize("line", OF_THE_LAB)
def test_every_command_of_the_lab_is_one(line: str) -> None:
    verb, *words = shlex.split(line)
    command = typer.main.get_command(cli).commands[verb]  # type: ignore[attr-defined]
    command.make_context(verb, words)


def test_the_lab_toml_of_the_page_is_read(project: Path) -> None:
    read = target.read(project / "lab.toml")
    assert (read.name, read.health) == ("orders", "/healthz")
    assert [request.path for request in read.requests] == ["/orders/tea", "/orders/salt"]


def test_the_experiment_of_the_page_can_be_run(project: Path) -> None:
    file = project / "threads-help.toml"
    file.write_text(blocks(PAGE, "toml")[1])
    one = experiment.read(file)
    commands.check(one)
    assert [arm.name for arm in one.arms] == ["orders threads=1", "orders threads=4", "orders threads=16"]
    assert f"run ./{file.name}" in OF_THE_LAB


def test_every_verb_of_the_page_exists() -> None:
    verbs = set(typer.main.get_command(cli).commands)  # type: ignore[attr-defined]
    assert {line.split()[0] for line in OF_THE_LAB} | set(re.findall(r"`lab (\w+)", PAGE)) <= verbs


OVERLAY: dict[str, Any] = yaml.safe_load(blocks(PAGE, "yaml")[0])
LABS: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())


def test_the_overlay_names_what_the_lab_has() -> None:
    name = LABS["name"]
    assert OVERLAY["volumes"]["targets"]["name"] == f"{name}_targets"
    assert "targets" in LABS["volumes"]
    assert OVERLAY["networks"]["lab"]["name"] == f"{name}_lab"
    assert "lab" in LABS["networks"]
    assert OVERLAY["services"]["waitlab"]["image"] == LABS["services"]["flask"]["image"]
    mounted = dict(one.split(":")[:2] for one in OVERLAY["services"]["orders"]["volumes"])
    assert mounted == {"waitlab": "/waitlab", "targets": "/targets"}
    assert OVERLAY["services"]["waitlab"]["command"][:3] == ["python", "-m", folder.__name__]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """The folder as the overlay's service lays it."""
    laid = tmp_path / "waitlab"
    subprocess.run([sys.executable, "-m", folder.__name__, laid], check=True, cwd=PROJECT)
    yield laid


def test_a_wrapped_container_serves_and_announces_itself(project: Path, mounted: Path, tmp_path: Path) -> None:
    """Without an engine: the container's own Python, which has no package of ours, and the command of the overlay."""
    port, targets = free_port(), tmp_path / "targets"
    program, where, *words = [str(word) for word in OVERLAY["services"]["orders"]["command"]]
    assert (program, where) == ("python", "/waitlab")
    own = [*" ".join(words).replace("8000", str(port)).split(), "--host", "127.0.0.1", "--targets", str(targets)]
    command = [str(project / ".venv/bin/python"), str(mounted), *own]
    environment = {"PATH": str(project / ".venv/bin") + ":/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    popen = process.start(command, environment=environment, log=tmp_path / "log", cwd=project)
    try:
        wait_for(lambda: [*targets.glob("*.json")] or popen.poll() is not None, "an announcement", 20)
        assert popen.poll() is None, (tmp_path / "log").read_text()
        assert eventually(lambda: strangers.answers(f"http://127.0.0.1:{port}/orders/salt"), 20)
        (file,) = targets.glob("*.json")
        (run_dir,) = tmp_path.glob("waitlab-*")
        wait_for(lambda: len([s for s in ledger.read(run_dir) if s.alive and s.port]) == 4, "four workers")
        wait_for(lambda: len(json.loads(file.read_text())) == 5, "five listeners")
        pages = [
            scrape(f"127.0.0.1:{group['targets'][0].rpartition(':')[2]}") for group in json.loads(file.read_text())
        ]
        found = [sample for page in pages for sample in page]
        assert total(found, f"{names.REQUEST_DURATION}_count", workload="/orders/<item>") >= 1
        assert {group["labels"]["service"] for group in json.loads(file.read_text())} == {"orders"}
    finally:
        assert process.stop(popen, grace=20) == 0, (tmp_path / "log").read_text()
    assert not [*targets.glob("*")]
    assert not [*tmp_path.glob("waitlab-*")]


def test_both_ways_to_serve_have_the_same_options() -> None:
    command = typer.main.get_command(cli).commands["serve"]  # type: ignore[attr-defined]
    of_the_verb = {word for parameter in command.params for word in parameter.opts if word.startswith("--")}
    in_containers = {word for action in in_container._parser()._actions for word in action.option_strings}
    assert of_the_verb - in_containers == {"--python"}
    assert in_containers - of_the_verb <= {"-h", "--help", "--otlp-endpoint", "--targets"}
