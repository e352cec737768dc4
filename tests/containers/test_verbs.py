"""./lab on a real engine: the same words as on the local runtime, and what it says when something is wrong."""

import fcntl
import json
import os
import pty
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.containers.conftest import PORTS, PROJECT, Lab
from tests.ports import free_ports
from tests.waiting import eventually, wait_for
from waitlab import dashboards
from waitlab.load import LOADS

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


@pytest.fixture
def other(settings: dict[str, str]) -> Lab:
    """A lab that is down, with a name and ports of its own."""
    project = f"waitlab-test-{secrets.token_hex(3)}"
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    return Lab(project, {**settings, **ports, "COMPOSE_PROJECT_NAME": project})


def refused(lab: Lab, code: int, *said: str, folder: Path = PROJECT, **settings: str) -> str:
    """What `up` with these settings says on standard error; nothing of that lab is left."""
    done = subprocess.run(
        [folder / "lab", "up"],
        env={**lab.environment, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    for words in said:
        assert words in done.stderr
    assert lab.leftovers([]) == {}
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose files a test may break."""
    folder = tmp_path / "clone"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    return folder


def test_a_second_up_says_so_and_prints_the_addresses(lab: Lab) -> None:
    before = lab.ids()
    again = lab("up")
    assert again.returncode == 0, again.stderr
    first, _, rest = again.stdout.partition("\n")
    assert first == "The lab is up, as it was started: the settings of this call change nothing."
    assert lab("addresses").stdout.strip() == rest.strip()
    for part in ("locust", "flask", "fastapi", "prometheus"):
        assert lab.url(part) in rest
    assert lab.ids() == before


def test_both_witnesses_of_a_load_count_the_same(lab: Lab) -> None:
    done = lab("load", "--json", timeout=200)
    assert done.returncode == 0, done.stderr
    for outcome in json.loads(done.stdout):
        assert outcome["failures"] == 0
        assert outcome["requests"] == sum(outcome["completed_by_worker"].values()) > 0
        assert outcome["cpu_seconds_per_request"] > 0
    trials = lab.prometheus('max_over_time(lab_load_trial{run="load"}[5m])')
    assert {one["metric"]["arm"] for one in trials} == {load.arm for load in LOADS}


def test_panels_are_drawn_into_a_file_of_whoever_asks(lab: Lab, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    drawn = lab("panels", "-o", str(page))
    assert drawn.returncode == 0, drawn.stderr
    assert all(dashboard.title in page.read_text() for dashboard in dashboards.ALL)
    assert lab.url("prometheus") in page.read_text()
    assert page.stat().st_uid == os.getuid()
    assert json.loads(lab("panels", "--json").stdout)["silence"] == ""
    assert lab("panels", "-o", str(tmp_path)).returncode == 2
    assert lab("panels", "-o", str(tmp_path / "nowhere" / "page.html")).returncode == 122
    unknown = lab("panels", "--dashboard", "worker", "-o", str(tmp_path / "other.html"))
    assert unknown.returncode == 2
    assert "did you mean workers?" in unknown.stderr
    assert list(tmp_path.iterdir()) == [page]


def test_logs(lab: Lab) -> None:
    assert "serves on" in lab("logs", "fastapi", "-n", "50").stdout
    everyone = lab("logs").stdout
    assert "postgres-1" in everyone
    assert "\033" not in everyone
    unknown = lab("logs", "django")
    assert unknown.returncode == 2
    assert "the parts are" in unknown.stderr


def test_status_can_be_watched_and_is_left_with_ctrl_c(lab: Lab) -> None:
    """On a terminal, as a person does it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    watching = subprocess.Popen(
        [PROJECT / "lab", "status", "--watch"],
        env={**lab.environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""

    def shown() -> bool:
        nonlocal seen
        with suppress(OSError):  # the other end is closed
            seen += os.read(ours, 65536) if select.select([ours], [], [], 0.1)[0] else b""
        return b"fastapi" in seen and b"requests/s" in seen

    try:
        wait_for(shown, "the table")
        os.write(ours, b"\x03")
        assert eventually(lambda: shown() and watching.poll() is not None, 20)
    finally:
        watching.kill()
        watching.wait()
        os.close(ours)
    assert watching.returncode == 0
    assert "-run-" not in lab.docker("ps", "--filter", f"name={lab.project}", "--format", "{{.Names}}")


def test_the_verbs_of_the_host_are_not_for_a_container(lab: Lab) -> None:
    done = lab.run("docker", "compose", "run", "--rm", "--no-deps", "-T", "lab", "down")
    assert done.returncode == 2
    assert "use ./lab on the host" in done.stderr


def test_the_demonstration_needs_no_lab_and_leaves_nothing(other: Lab) -> None:
    done = other("demo", "--json")
    assert done.returncode == 0, done.stderr
    arms = json.loads(done.stdout.splitlines()[-1])
    assert max(arms["blocked"]["seconds"]) > 3.5
    assert max(arms["async"]["seconds"]) < 3.5
    assert other.leftovers([]) == {}


def test_a_lab_that_is_down_is_said_to_be(other: Lab) -> None:
    for verb in (("status",), ("load",), ("scale", "flask", "4"), ("logs",)):
        done = other(*verb)
        assert (done.returncode, done.stderr) == (1, "the lab is not up\n  -> start it: make lab-up\n")
    assert other("down").stdout == "The lab was not up.\n"


def test_a_misspelt_setting_starts_nothing(other: Lab) -> None:
    refused(other, 2, "FLASK_WORKER is not a setting of the lab", "did you mean FLASK_WORKERS?", FLASK_WORKER="4")


def test_a_taken_port_is_named_with_its_setting(other: Lab) -> None:
    with socket.create_server(("127.0.0.1", int(other.environment["FASTAPI_PORT"]))):
        done = other("up")
    assert done.returncode == 106
    assert f"port {other.environment['FASTAPI_PORT']} (FASTAPI_PORT) is taken" in done.stderr
    assert other.leftovers([]) == {}


def test_a_part_without_enough_memory_ends_the_start(other: Lab) -> None:
    refused(other, 1, "upstream was killed for lack of memory (limit 16 MB; UPSTREAM_MEMORY", UPSTREAM_MEMORY="16M")


def test_a_part_that_dies_ends_the_start_with_its_last_words(other: Lab) -> None:
    refused(other, 1, "upstream ended with exit code 2", "ERROR_RATE=200: must be", UPSTREAM_ERROR_RATE="200")


def test_an_image_that_cannot_be_had_is_named(other: Lab, clone: Path) -> None:
    compose = (clone / "compose.yaml").read_text()
    (clone / "compose.yaml").write_text(compose.replace("image: nginx:", "image: localhost:9/no-such/nginx:"))
    refused(other, 122, "the image localhost:9/no-such/nginx:", "RUNTIME=local make lab-up", folder=clone)


def test_a_build_that_fails_shows_its_end(other: Lab, clone: Path) -> None:
    dockerfile = (clone / "Dockerfile").read_text()
    broken = dockerfile.replace("python -m compileall -q .", 'python -c "import made_of_cheese"')
    assert broken != dockerfile
    (clone / "Dockerfile").write_text(broken)
    refused(other, 122, "the images could not be built", "made_of_cheese", "RUNTIME=local make lab-up", folder=clone)


@pytest.mark.parametrize("seconds", [0.1, 1, 2, 12])  # asking for the engine, reading the settings, starting parts
def test_an_interrupted_start_leaves_nothing(other: Lab, seconds: float) -> None:
    pipe = subprocess.PIPE
    command = [PROJECT / "lab", "up"]
    with subprocess.Popen(command, env=other.environment, stdout=pipe, stderr=pipe, start_new_session=True) as starting:
        time.sleep(seconds)
        for _ in range(2):  # an impatient user's second Ctrl-C
            os.killpg(starting.pid, signal.SIGINT)
            time.sleep(0.3)
        _, errors = starting.communicate(timeout=60)
    assert starting.returncode == 105
    assert errors.decode() in (
        "interrupted: nothing was started\n",
        "interrupted: the lab was stopped, nothing of it is left\n",
    )
    assert other.leftovers([]) == {}
