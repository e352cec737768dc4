"""What every container of compose.yaml must be, read from the file itself: no engine is needed to see it broken.

Whether a container really is so is asked inside, by the container tests.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from waitlab.runtime.local import plan

PROJECT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

# Why a service has no health check, in words; any other must have one.
NOT_ASKED = {
    "setup": "it ends, and the others wait for its end",
    "tempo": "its image holds no program to ask with",
    "lab": "it runs one verb and ends",
}
# Its limits are figures and no settings: it writes five small files and ends.
FIXED = {"setup"}
# The limits' settings are named after the service, but for this one: LAB_CPUS is every service's.
PREFIXES = {"lab": "VERBS"}
# What would give a container a part of the host.
HOST_KEYS = {
    "privileged", "cap_add", "devices", "device_cgroup_rules", "pid", "ipc", "network_mode", "userns_mode", "uts",
    "cgroup", "cgroup_parent", "env_file", "extra_hosts", "container_name", "sysctls", "volumes_from",
}  # fmt: skip
MEMORY = r"\d+[MG]"

every_service = pytest.mark.parametrize("name", SERVICES)


def bind_mounts(service: dict[str, Any]) -> list[str]:
    """Its volumes that are files or folders of the host."""
    mounts = [volume.replace("${EDGE_BUFFERING:-off}", "off") for volume in service.get("volumes", [])]
    return [mount for mount in mounts if mount.startswith((".", "/", "~", "$"))]


@every_service
def test_it_writes_nowhere_but_where_it_was_told(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert "/tmp" in [mount.split(":")[0] for mount in service["tmpfs"]]
    for mount in bind_mounts(service):
        assert re.fullmatch(r"\./[\w./-]+:/[\w./-]+:ro", mount), mount
        assert (PROJECT / mount.split(":")[0]).exists(), mount


@every_service
def test_it_has_no_capability_and_can_gain_none(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@every_service
def test_its_user_is_named_and_not_root(name: str) -> None:
    user, _, _ = SERVICES[name]["user"].partition(":")
    assert re.fullmatch(r"[1-9]\d*", user), "a number, so that no image can give the name another meaning"


@every_service
def test_it_gets_no_part_of_the_host(name: str) -> None:
    service = SERVICES[name]
    assert not HOST_KEYS & set(service)
    assert "docker.sock" not in str(service)


@every_service
def test_its_limits_are_settings_with_defaults(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    prefix = PREFIXES.get(name, name.upper().replace("-", "_"))
    for key, setting, figure in (("cpus", "CPUS", r"\d+"), ("memory", "MEMORY", MEMORY), ("pids", "PIDS", r"\d+")):
        value = str(limits[key])
        if name in FIXED:
            assert re.fullmatch(figure, value), value
        else:
            default = rf"(?:{figure}|\$\{{LAB_{setting}:-{figure}\}})"
            assert re.fullmatch(rf"\$\{{{prefix}_{setting}:-{default}\}}", value), value


@every_service
def test_it_is_asked_how_it_is(name: str) -> None:
    check = SERVICES[name].get("healthcheck")
    assert (check is None) == (name in NOT_ASKED), NOT_ASKED.get(name)
    assert check is None or ({"test", "interval", "retries"} <= set(check) and not check.get("disable"))


@every_service
def test_it_waits_for_health_and_not_for_a_start(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other == "setup" else "service_healthy"
        assert how["condition"] == expected, other


@every_service
def test_its_log_is_bounded(name: str) -> None:
    logging = SERVICES[name]["logging"]
    assert logging["driver"] == "json-file"
    assert re.fullmatch(r"\d+m", logging["options"]["max-size"])
    assert int(logging["options"]["max-file"]) >= 2


@every_service
def test_its_image_is_one_exact_version(name: str) -> None:
    # PostgreSQL has two numbers, everybody else three.
    assert re.fullmatch(r"(postgres:\d+\.\d+|[\w/.-]+:v?\d+\.\d+\.\d+)(-[a-z]+)*", SERVICES[name]["image"])


@every_service
def test_a_death_is_seen_and_not_cured(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"


@every_service
def test_it_publishes_on_loopback_unless_told_otherwise(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"(127\.0\.0\.1|\$\{LAB_BIND:-127\.0\.0\.1\}):\$\{[A-Z_]+_PORT:-\d+\}:\d+", port), port


@every_service
def test_only_who_publishes_reaches_the_outside(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) == ({"lab", "front"} if "ports" in service else {"lab"})


@every_service
def test_no_secret_stands_in_its_environment(name: str) -> None:
    for variable in SERVICES[name].get("environment") or {}:
        assert not re.search(r"PASSWORD|SECRET|_KEY$", variable) or variable.endswith("_FILE"), variable


def test_who_is_scaled_publishes_nothing() -> None:
    for name in (*plan.SERVICES, "locust-worker"):
        assert "ports" not in SERVICES[name]


def test_no_network_has_a_way_out() -> None:
    without_a_way_back = {"driver_opts": {"com.docker.network.bridge.enable_ip_masquerade": "false"}}
    assert COMPOSE["networks"] == {"lab": {"internal": True}, "front": without_a_way_back}


def test_whatever_the_clones_umask_the_code_can_be_read() -> None:
    stages = re.split(r"^FROM .* AS ", (PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    copying = [stage for stage in stages if re.search(r"^COPY waitlab", stage, re.MULTILINE)]
    assert copying
    assert all(re.search(r"^RUN chmod -R go\+rX \. ", stage, re.MULTILINE) for stage in copying)


def test_the_edge_sends_no_request_twice() -> None:
    assert re.findall(r"^ *proxy_next_upstream\b.*$", (PROJECT / "edge/proxy.conf").read_text(), re.MULTILINE) == [
        "proxy_next_upstream off;"
    ]


def test_no_volume_is_a_folder_of_the_host() -> None:
    assert all(volume is None for volume in COMPOSE["volumes"].values())


def test_both_images_end_as_a_user_that_is_not_root() -> None:
    stages = re.split(r"^FROM .* AS ", (PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    ends = {stage.split("\n", 1)[0]: re.findall(r"^USER (.+)$", stage, re.MULTILINE) for stage in stages}
    for target in ("services", "lab"):
        assert ends[target], target
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", ends[target][-1])
