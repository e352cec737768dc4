"""The doctor names what is missing and how to get it, and says for what a machine can be trusted."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from waitlab import doctor, machine

LAB = Path(sys.executable).with_name("lab")


def found(environment: dict[str, str], ports: dict[str, int]) -> dict[str, doctor.Finding]:
    return {finding.what: finding for finding in doctor.examine(environment, ports, lab_is_up=False)}


def test_a_machine_that_runs_these_tests_is_ready() -> None:
    findings = found(dict(os.environ), {})
    missing = {what: finding.found for what, finding in findings.items() if finding.needed and not finding.ok}
    assert not missing
    assert "PostgreSQL" in findings["PostgreSQL"].found


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = found({"PATH": str(tmp_path)}, {})["setpriv"]
    assert (finding.ok, finding.found, finding.remedy) == (False, "missing", "apt-get install util-linux")


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = found(dict(os.environ), {"FLASK_PORT": port})["FLASK_PORT"]
    assert not finding.ok
    assert str(os.getpid()) in finding.found


def test_a_wrong_prometheus_is_named() -> None:
    finding = found({**os.environ, "PROMETHEUS_BIN": "/nowhere/prometheus"}, {})["Prometheus"]
    assert not finding.ok
    assert "PROMETHEUS_BIN" in finding.found


def test_a_hard_limit_that_is_too_low_for_3000_connections_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.descriptors, "hard_limit", lambda: 2048)
    finding = found(dict(os.environ), {})["open files"]
    assert (finding.ok, finding.needed, finding.found) == (False, False, "2048 allowed")
    assert "3000 connections need 3200 open files, and the hard limit is 2048" in finding.remedy
    monkeypatch.setattr(doctor.descriptors, "hard_limit", lambda: 512)
    assert found(dict(os.environ), {})["open files"].needed


def test_what_is_missing_ends_in_122(capsys: pytest.CaptureFixture[str]) -> None:
    needed = doctor.Finding("make", False, "missing", "apt-get install make")
    assert not doctor.report([needed], as_json=False)
    assert "apt-get install make" in capsys.readouterr().out
    assert doctor.report([replace(needed, needed=False)], as_json=True)
    assert json.loads(capsys.readouterr().out)["ready"]


QUIET = machine.Machine(
    kernel="6",
    python="3.11",
    cores=2,
    usable_cores=2,
    cgroup_cpus=None,
    memory_bytes=1,
    memory_available_bytes=1,
    clock_source="tsc",
    open_files=1024,
    processes=1000,
    steal_ratio=0.0,
    foreign_cpu_ratio=0.0,
    clock_step_ms=0.0,
    sleep_overshoot_p99_ms=0.1,
    probe_ms={"0": 5.0},
    probe_spread=0.01,
    loopback_round_trip_us=30.0,
)


@pytest.mark.parametrize(
    ("changes", "for_io", "for_cpu", "doubt"),
    [
        ({}, True, True, None),
        ({"steal_ratio": 0.05}, True, False, "steal"),
        ({"steal_ratio": 0.25}, False, False, "steal"),
        ({"foreign_cpu_ratio": 0.1}, True, False, "other processes"),
        ({"probe_spread": 0.2}, True, False, "longer"),
        ({"clock_step_ms": -120_000.0}, False, False, None),
    ],
)
def test_what_a_machine_can_be_trusted_for(
    changes: dict[str, float], for_io: bool, for_cpu: bool, doubt: str | None
) -> None:
    measured = replace(QUIET, **changes)  # type: ignore[arg-type]
    assert (measured.trusted_for_io, measured.trusted_for_cpu) == (for_io, for_cpu)
    assert [doubt] * bool(doubt) == [
        word for word in [doubt] if word and any(word in text for text in measured.doubts())
    ]


def test_this_machine_is_measured_for_real() -> None:
    done = subprocess.run(
        [LAB, "doctor", "--machine", "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    measured = json.loads(done.stdout)
    assert set(measured["probe_ms"]) == {str(core) for core in os.sched_getaffinity(0)}
    assert all(ms > 0 for ms in measured["probe_ms"].values())
    assert measured["loopback_round_trip_us"] > 0
    assert 0 <= measured["steal_ratio"] <= 1
    assert isinstance(measured["trusted_for_cpu"], bool)
