"""The images, and compose.yaml as the engine's own tools read it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.containers.conftest import COMPOSE, PROJECT, Lab, image, kept_environment

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

MEGABYTE = 1_000_000
LARGEST = {"services": 200, "lab": 450}  # above the base image


def base() -> str:
    """The image that ours are built on."""
    text = (PROJECT / "Dockerfile").read_text()
    return next(line.partition("=")[2] for line in text.splitlines() if line.startswith("ARG PYTHON_IMAGE="))


def built(lab: Lab, part: str) -> dict[str, Any]:
    service = {"services": "flask", "lab": "lab"}[part]
    name = json.loads(lab.compose("--profile", "verbs", "config", "--format", "json"))["services"][service]["image"]
    return lab.inspect(name)


@pytest.mark.parametrize("part", LARGEST)
def test_an_image_is_small_above_its_base(lab: Lab, part: str) -> None:
    ours, theirs = built(lab, part), lab.inspect(base())
    assert ours["RootFS"]["Layers"][: len(theirs["RootFS"]["Layers"])] == theirs["RootFS"]["Layers"]
    assert (ours["Size"] - theirs["Size"]) / MEGABYTE <= LARGEST[part]


@pytest.mark.parametrize("part", LARGEST)
def test_no_compiler_and_no_installer_is_in_an_image(lab: Lab, part: str) -> None:
    name = built(lab, part)["RepoTags"][0]
    code = "command -v gcc cc make git pip uv; python -c 'import pip' 2>&1"
    found = lab.run("docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", name, "-c", code)
    assert "/" not in found.stdout.partition("Traceback")[0]
    assert "No module named 'pip'" in found.stdout


def test_an_image_runs_as_any_user(lab: Lab) -> None:
    name = built(lab, "services")["RepoTags"][0]
    code = "import services.flask_app, services.fastapi_app, services.django_app, waitlab.serve"
    lab.docker(
        *("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
        *("--user", "54321:54321", name, "python", "-c", code),
    )


def test_a_change_of_the_code_installs_nothing_anew(lab: Lab, tmp_path: Path) -> None:
    for folder in ("requirements", "services", "locustfiles", "waitlab"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("Dockerfile", ".dockerignore"):
        shutil.copy(PROJECT / file, tmp_path)
    code = tmp_path / "services/flask_app.py"
    code.write_text(code.read_text() + "\n# changed\n")
    compose = tmp_path / "compose.yaml"
    compose.write_text(COMPOSE.replace("image: waitlab-", f"image: {lab.project}-"))
    words = ("--project-directory", str(tmp_path), "--file", str(compose))
    lab.compose(*words, "build", "--quiet", "setup")
    tag = json.loads(lab.compose(*words, "config", "--format", "json"))["services"]["setup"]["image"]
    try:
        before, after = built(lab, "services")["RootFS"]["Layers"], lab.inspect(tag)["RootFS"]["Layers"]
    finally:
        lab.docker("rmi", tag)
    same = [left == right for left, right in zip(before, after, strict=True)]
    assert False in same, "the changed code is in the image"
    packages = len(lab.inspect(base())["RootFS"]["Layers"]) + 2  # the folders, then the packages
    assert all(same[:packages]), "every layer up to the packages is the one that was there"


def config(folder: Path, **settings: str) -> dict[str, Any]:
    """compose.yaml, in a folder of its own, as Compose understands it with only `settings` in the environment."""
    shutil.copy(PROJECT / "compose.yaml", folder)
    words = ["docker", "compose", "--project-directory", str(folder), "--file", str(folder / "compose.yaml")]
    environment = {**kept_environment(), **settings}
    done = subprocess.run(
        [*words, "config", "--format", "json"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "variable is not set" not in done.stderr
    return dict(json.loads(done.stdout))


def workers(config: dict[str, Any]) -> str:
    return str(config["services"]["flask"]["environment"]["WORKERS"])


def test_compose_needs_no_env_file_and_obeys_one(engine: None, tmp_path: Path) -> None:
    assert workers(config(tmp_path)) == "2"
    assert workers(config(tmp_path, FLASK_WORKERS="5")) == "5"
    (tmp_path / ".env").write_text("FLASK_WORKERS=3\n")
    assert workers(config(tmp_path)) == "3"
    assert workers(config(tmp_path, FLASK_WORKERS="5")) == "5", "the shell wins"


def test_compose_publishes_where_it_is_told(engine: None, tmp_path: Path) -> None:
    for settings, expected in (({}, "127.0.0.1"), ({"LAB_BIND": "192.0.2.7"}, "192.0.2.7")):
        services = config(tmp_path, **settings)["services"].values()
        assert {port["host_ip"] for service in services for port in service.get("ports", [])} == {expected}


def test_promtool_of_prometheus_3_accepts_configuration_and_rules(lab: Lab) -> None:
    run = (
        "run",
        "--rm",
        "--network",
        "none",
        "--volume",
        f"{PROJECT / 'prometheus'}:/checked:ro",
        "--entrypoint",
        "promtool",
    )
    name = image("prometheus")
    assert "SUCCESS" in lab.docker(*run, name, "check", "config", "/checked/prometheus.yml")
    assert "SUCCESS" in lab.docker(*run, name, "check", "rules", "/checked/rules.yml")
    assert "SUCCESS" in lab.docker(*run, name, "test", "rules", "/checked/rules_test.yml")
