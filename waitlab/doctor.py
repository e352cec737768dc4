"""`lab doctor`: what the lab needs, whether it is here, and how to get what is missing."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.table import Table

from waitlab import descriptors, machine
from waitlab.errors import LabError
from waitlab.runtime.local import ports, postgres, prometheus
from waitlab.runtime.local.state import PROJECT, parts_folder

OPEN_FILES = 1024
CONNECTIONS = 3_000  # that one service and one load hold in experiments on idle connections
FREE_MB = 500
CONTAINERS_MB = 1500  # the lab with Grafana and Tempo, and the load


@dataclass(frozen=True)
class Finding:
    """One thing looked for. `needed` is false for what only some commands want."""

    what: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


def examine(environment: Mapping[str, str], lab_ports: Mapping[str, int], lab_is_up: bool) -> list[Finding]:
    """All that the lab needs of this machine. `lab_ports`: setting -> port, passed over while the lab is up."""
    findings = [
        _python(),
        *(_program(name, package) for name, package in (("make", "make"), ("git", "git"), ("setpriv", "util-linux"))),
        _packages(),
        _postgres(),
        _prometheus(environment),
        _open_files(),
        _free_space(),
        _docker(),
    ]
    return findings + ([] if lab_is_up else [_port(setting, port) for setting, port in lab_ports.items()])


def examine_containers(environment: Mapping[str, str]) -> list[Finding]:
    """All that the lab in containers needs, seen from one of them: what ./lab asked the engine, and the machine."""
    free_mb = machine.memory_bytes()["MemAvailable"] // 2**20
    remedy = f"{CONTAINERS_MB} MB are needed: give Docker's machine more, or LAB_GRAFANA=0 LAB_TEMPO=0 make lab-up"
    return [
        Finding("Docker engine", True, environment.get("LAB_ENGINE", "")),
        Finding("Compose plugin", True, environment.get("LAB_COMPOSE", "")),
        Finding("free memory", free_mb >= CONTAINERS_MB, f"{free_mb} MB", remedy),
        _open_files(),
    ]


def _python() -> Finding:
    ok = sys.version_info >= (3, 11) and sys.platform == "linux"
    return Finding(
        "Python", ok, f"{sys.version.split()[0]} on {sys.platform}", "Python 3.11 or newer on Linux is needed"
    )


def _program(name: str, package: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, path is not None, path or "missing", f"apt-get install {package}")


def _packages() -> Finding:
    """Whether the environment holds what the lock names: the marks of other platforms are passed over."""
    wrong = []
    for line in (PROJECT / "requirements" / "requirements.lock").read_text().splitlines():
        if "==" not in line or line.startswith((" ", "#")) or ";" in line:
            continue
        name, locked = line.rstrip(" \\").split("==")
        if _installed(name) != locked:
            wrong.append(f"{name} {_installed(name) or 'missing'} (locked: {locked})")
    found = "as locked" if not wrong else ", ".join(wrong[:3]) + (" …" if len(wrong) > 3 else "")
    return Finding("Python packages", not wrong, found, "make clean, then make lab-up, installs them anew")


def _installed(name: str) -> str | None:
    try:
        return version(name).removeprefix("v")  # as PEP 440 has it: v1.0 is 1.0
    except PackageNotFoundError:
        return None


def _postgres() -> Finding:
    try:
        server = postgres.program("postgres")
    except LabError as error:
        return Finding("PostgreSQL", False, error.message, error.remedy)
    return _answers("PostgreSQL", [str(server), "--version"], postgres.REMEDY)


def _prometheus(environment: Mapping[str, str]) -> Finding:
    remedy = f"make lab-up unpacks the distribution's package into {parts_folder(environment)}; or set PROMETHEUS_BIN"
    try:
        binary = prometheus.found(environment)
    except LabError as error:
        return Finding("Prometheus", False, error.message, error.remedy)
    if binary is None:
        can_unpack = shutil.which("apt-get") is not None
        return Finding("Prometheus", can_unpack, "not here yet", remedy if can_unpack else prometheus.REMEDY)
    return _answers("Prometheus", [str(binary), "--version"], remedy)


def _answers(what: str, command: list[str], remedy: str) -> Finding:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        return Finding(what, False, str(fault), remedy)
    said = (done.stdout or done.stderr).strip().splitlines() or ["(says nothing)"]
    return Finding(what, done.returncode == 0, said[0].split(" (branch")[0], remedy)


def _open_files() -> Finding:
    """The hard limit: every program of the lab raises its own to it."""
    hard, lack = descriptors.hard_limit(), descriptors.lack(CONNECTIONS)
    remedy = f"as root raise the hard limit (nofile in /etc/security/limits.conf, LimitNOFILE of a unit): {lack}"
    return Finding("open files", not lack, f"{hard} allowed", remedy, needed=0 <= hard < OPEN_FILES)


def _free_space() -> Finding:
    free_mb = shutil.disk_usage(PROJECT).free // 2**20
    return Finding("free disk", free_mb >= FREE_MB, f"{free_mb} MB", f"{FREE_MB} MB are needed under {PROJECT}")


def _docker() -> Finding:
    remedy = "not needed: without it the lab runs as local processes"
    missing = Finding("Docker engine", False, "none answers", remedy, needed=False)
    if shutil.which("docker") is None:
        return missing
    answer = _answers("Docker engine", ["docker", "version", "--format", "{{.Server.Version}}"], remedy)
    return replace(missing, ok=True, found=answer.found) if answer.ok else missing


def _port(setting: str, port: int) -> Finding:
    try:
        ports.require_free({setting: port})
    except LabError as error:
        return Finding(setting, False, error.message, error.remedy)
    return Finding(setting, True, f"{port} is free")


def report(findings: list[Finding], as_json: bool) -> bool:
    """Print the findings; true when everything needed is here."""
    ready = all(finding.ok for finding in findings if finding.needed)
    if as_json:
        print(json.dumps({"ready": ready, "findings": [asdict(finding) for finding in findings]}))
        return ready
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading)
    for finding in findings:
        mark = "[green]ok" if finding.ok else "[red]NO" if finding.needed else "[dim]-"
        table.add_row(mark, finding.what, finding.found, "" if finding.ok else finding.remedy)
    console = Console(highlight=False)
    console.print(table)
    console.print("\nThe lab can run here: make lab-up" if ready else "\n[red]The lab cannot run here yet.")
    return ready


def report_machine(as_json: bool) -> None:
    """Measure the machine (about ten seconds) and say for which figures it can be trusted."""
    console = Console(highlight=False, stderr=as_json)
    with console.status("") as status:
        measured = machine.measure(lambda step: status.update(f"looking at {step} …"))
    if as_json:
        print(json.dumps(measured.as_dict()))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for what, value in _machine_rows(measured):
        table.add_row(what, value)
    console.print(table)
    console.print(f"\nI/O-bound throughput: {_trust(measured.trusted_for_io)}")
    console.print(f"CPU-bound throughput: {_trust(measured.trusted_for_cpu)}")
    for doubt in measured.doubts():
        console.print(f"  {doubt}", style="yellow")
    if not measured.trusted_for_cpu:
        console.print(
            "  Judge CPU-bound work by CPU seconds a request and by ratios within one run, not by requests/s."
        )


def _trust(trusted: bool) -> str:
    return "[green]this machine can be trusted" if trusted else "[yellow]this machine cannot be trusted"


def _machine_rows(measured: machine.Machine) -> list[tuple[str, str]]:
    limit = "no limit" if measured.cgroup_cpus is None else f"limit {measured.cgroup_cpus:.1f}"
    probes = ", ".join(f"core {core}: {ms:.2f} ms" for core, ms in measured.probe_ms.items())
    return [
        ("cores", f"{measured.usable_cores} usable of {measured.cores} (cgroup: {limit})"),
        ("memory", f"{measured.memory_available_bytes / 2**30:.1f} GiB free of {measured.memory_bytes / 2**30:.1f}"),
        ("limits", f"{measured.open_files} open files, {measured.processes} processes"),
        ("clock", f"{measured.clock_source}, stepped {measured.clock_step_ms:+.2f} ms while measuring"),
        ("steal", f"{measured.steal_ratio:.1%}"),
        ("others' CPU", f"{measured.foreign_cpu_ratio:.1%} while this command was idle"),
        ("CPU probes", f"{probes}; spread {measured.probe_spread:.0%}"),
        ("timers", f"1 ms sleeps end up to {measured.sleep_overshoot_p99_ms:.2f} ms late (p99)"),
        ("loopback", f"{measured.loopback_round_trip_us:.0f} us a round trip"),
    ]
