"""compose.yaml states again what the code states: every knob with its default, every port, every version."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from waitlab.runtime.local import plan, postgres
from waitlab.serve import settings

PROJECT = Path(__file__).resolve().parent.parent
TEXT = (PROJECT / "compose.yaml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
DEFAULTS = {row.name: row.default for row in settings.TABLE}
# What runs a service when nothing is set depends on the service, and stands in the runtime's own table.
SERVER = {name: next(iter(service.servers)) for name, service in plan.SERVICES.items()}
SHARED = {"PORT", "OTLP_ENDPOINT"}  # inside, each has a port of its own; traces go to the lab's own Tempo


def default_of(value: object) -> tuple[str, str]:
    """The variable and the default of a text such as ${FLASK_WORKERS:-2}."""
    found = re.fullmatch(r"\$\{([A-Z_]+):-(.*)\}", str(value))
    assert found, f"{value!r} is no variable with a default"
    return found[1], found[2]


@pytest.mark.parametrize("service", plan.SERVICES)
def test_every_knob_of_a_service_can_be_set_and_has_the_default_of_the_local_runtime(service: str) -> None:
    given = SERVICES[service]["environment"]
    for knob in set(plan.knobs(service)) - SHARED:
        variable, default = default_of(given[knob])
        assert variable == f"{plan.prefix(service)}_{knob}"
        if knob == "SERVER":
            assert default == SERVER[service]
        elif knob == "WORKER_CLASS":
            assert default in ("", plan.SERVICES[service].servers[SERVER[service]][0])
        else:
            assert default == DEFAULTS[knob], knob


def test_every_knob_of_upstream_can_be_set() -> None:
    given = SERVICES["upstream"]["environment"]
    for knob in plan.UPSTREAM_KNOBS:
        assert default_of(given[knob])[0] == f"UPSTREAM_{knob}"


def test_published_ports_are_those_of_the_local_runtime() -> None:
    published = dict(re.findall(r"\$\{([A-Z_]+_PORT):-(\d+)\}", TEXT))
    for setting, port in plan.PORTS.items():
        assert published.get(setting, str(port)) == str(port), setting
    assert {*(f"{plan.prefix(name)}_PORT" for name in plan.SERVICES), "LOCUST_PORT", "PROMETHEUS_PORT"} <= set(
        published
    )


def test_postgresql_has_the_limits_of_the_local_runtime() -> None:
    command = SERVICES["postgres"]["command"]
    assert f"-cmax_connections={postgres.MAX_CONNECTIONS}" in command
    assert f"-csuperuser_reserved_connections={postgres.RESERVED_CONNECTIONS}" in command


def test_our_images_carry_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    ours = {service["image"] for service in SERVICES.values() if service["image"].startswith("waitlab-")}
    assert ours == {f"waitlab-services:{version[1]}", f"waitlab-lab:{version[1]}"}


def test_compose_and_dockerfile_name_the_same_python() -> None:
    default = re.search(r"^ARG PYTHON_IMAGE=(.+)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert default
    assert {default_of(value)[1] for value in re.findall(r"PYTHON_IMAGE: (.+)", TEXT)} == {default[1]}


@pytest.mark.parametrize("part", ["services", "lab"])
def test_an_image_holds_packages_of_the_one_resolution(part: str) -> None:
    def pins(lock: str) -> set[str]:
        return set(
            re.findall(r"^([a-z0-9.-]+==[^ ]+)", (PROJECT / f"requirements/{lock}.lock").read_text(), re.MULTILINE)
        )

    assert pins(part)
    assert pins(part) <= pins("requirements")
