"""A real Prometheus: found on this machine, or unpacked without root from the distribution's own package.

Run as `python -m waitlab.runtime.local.prometheus check`, it checks the configuration and tests the rules (promtool).
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from waitlab.errors import LabError
from waitlab.runtime.local.state import PROJECT, parts_folder

CONFIGURATION = PROJECT / "prometheus"
PROGRAMS = ("prometheus", "promtool")
CHECKS = (("check config", "prometheus.yml"), ("test rules", "rules_test.yml"))  # promtool's verb -> the file it takes
REMEDY = "Install Prometheus (2.42 or newer), or name one you have: PROMETHEUS_BIN=/path/to/prometheus"

Say = Callable[[str], None]


def found(environment: Mapping[str, str]) -> Path | None:
    """The Prometheus to use: PROMETHEUS_BIN, else on PATH, else what was unpacked earlier, else None."""
    named = environment.get("PROMETHEUS_BIN")
    if named:
        binary = shutil.which(named)
        if binary is None:
            raise LabError(f"PROMETHEUS_BIN={named}: there is no such program that can be run", REMEDY, 122)
        return Path(binary).absolute()
    on_path = shutil.which("prometheus", path=environment.get("PATH"))
    unpacked = parts_folder(environment) / "prometheus" / "prometheus"
    return Path(on_path).absolute() if on_path else unpacked if unpacked.exists() else None


def ensure(environment: Mapping[str, str], say: Say) -> Path:
    """The Prometheus to use; when there is none, unpacked from the distribution's package, telling `say` each step."""
    binary = found(environment)
    if binary is not None:
        return binary
    parts = parts_folder(environment)
    parts.mkdir(parents=True, exist_ok=True)
    with (parts / "prometheus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second lab waits for the first one's download
        return found(environment) or _unpack(parts, say)


def command(binary: Path, folder: Path, port: int) -> list[str]:
    """The command that serves on `port` from `folder`, as `lay` left it. What it learns is gone after the run."""
    return [
        str(binary),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=1d",
        "--storage.tsdb.retention.size=1GB",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]


def lay(folder: Path, targets: Path) -> None:
    """Lay the project's configuration and rules into `folder`, with the lab's `targets` beside them as they expect."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(CONFIGURATION, folder)
    (folder / "targets").symlink_to(targets)


def check(binary: Path) -> None:
    """Check the configuration and test the rules with the promtool beside `binary`; LabError with its findings."""
    promtool = shutil.which("promtool", path=f"{binary.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if promtool is None:
        raise LabError(f"there is no promtool beside {binary}, and none on PATH", REMEDY, 122)
    with tempfile.TemporaryDirectory() as name:
        lay(Path(name) / "prometheus", Path(name))
        for verb, file in CHECKS:
            done = _run([promtool, *verb.split(), f"{name}/prometheus/{file}"])
            if done.returncode != 0:
                raise LabError(f"promtool {verb} refuses {CONFIGURATION}/{file}:\n{done.stdout}{done.stderr}")


def _unpack(parts: Path, say: Say) -> Path:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise LabError(f"Prometheus is missing, and without {tool} the lab cannot fetch it", REMEDY, 122)
    target = parts / "prometheus"
    with tempfile.TemporaryDirectory(dir=parts, prefix="unpacking-") as name:
        work = Path(name)
        say("Prometheus is not on this machine: reading the distribution's package lists (once, about 15 MB)")
        _apt_get(work, "update")
        say("downloading the distribution's prometheus package (about 20 MB)")
        _apt_get(work, "download", "prometheus")
        say("unpacking prometheus and promtool")
        (package,) = work.glob("prometheus_*.deb")
        _must(["dpkg", "-x", str(package), str(work / "tree")], work)
        (work / "keep").mkdir()
        for program in PROGRAMS:
            (work / "tree/usr/bin" / program).rename(work / "keep" / program)
        shutil.rmtree(target, ignore_errors=True)
        (work / "keep").rename(target)
    return target / "prometheus"


def _apt_get(work: Path, *words: str) -> None:
    """apt-get with lists and caches of its own, so that it needs no root and changes nothing outside `work`."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State": work / "state",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": work / "cache",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",  # root's download would be handed to a user who cannot enter this folder
        "Acquire::Languages": "none",
    }
    _must(
        ["apt-get", "-q", *(word for key, value in options.items() for word in ("-o", f"{key}={value}")), *words], work
    )


def _must(command: list[str], folder: Path) -> None:
    done = _run(command, folder)
    if done.returncode != 0:
        last_lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise LabError(f"Prometheus could not be had: {command[0]} {command[-1]} failed:\n{last_lines}", REMEDY, 122)


def _run(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
    )


def main() -> None:
    """Check the configuration and the rules, with a Prometheus fetched when there is none."""
    try:
        binary = ensure(os.environ, lambda line: print(line, file=sys.stderr))
        check(binary)
    except LabError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        sys.exit(error.code)


if __name__ == "__main__":
    main()
