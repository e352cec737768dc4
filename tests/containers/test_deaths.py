"""Deaths: seen, told apart, forgotten by Prometheus, and mended by `./lab up` with another run's nonce."""

import pytest

from tests.containers.conftest import FASTAPI_MEMORY, Lab
from tests.waiting import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

GONE = 30.0

# Makes one process the kernel's first choice, then takes memory until the kernel has chosen.
# argv: a worker's process id, and which to choose: it, or the parent of all (the child of the container's process 1).
FILL = """
import sys, time
from pathlib import Path

def state_and_parent(pid):
    state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return state, int(parent)

def lives(pid):
    try:
        return state_and_parent(pid)[0] != "Z"
    except OSError:
        return False

victim = int(sys.argv[1])
while sys.argv[2] == "parent" and state_and_parent(victim)[1] != 1:
    victim = state_and_parent(victim)[1]
Path(f"/proc/{victim}/oom_score_adj").write_text("1000")
taken = []
while lives(victim):
    if len(taken) < 2000:
        taken.append(b"x" * 2**20)
    time.sleep(0.002)
"""


def part(lab: Lab, name: str) -> dict[str, object]:
    return dict(lab.status()["parts"][name])


def is_stale(lab: Lab, container: str) -> bool:
    """Whether Prometheus or the folder of targets still knows it."""
    known = [one["metric"] for one in lab.prometheus("up")]
    return any(one.get("replica") == container for one in known) or container in lab.docker(
        "exec", lab.ids("host")[0], "ls", "/targets"
    )


@pytest.mark.parametrize("service", ["flask", "locust-worker", "prometheus", "upstream"])
def test_a_kill_of_the_main_process_is_seen_and_mended(lab: Lab, service: str) -> None:
    victim = lab.ids(service)[0]
    before = lab.get("flask", "/about").json()["nonce"]
    others = set(lab.ids()) - {victim}
    lab.docker("kill", "--signal", "KILL", victim)

    status = lab.status()
    dead = status["parts"][service]
    assert not status["healthy"]
    assert (dead["state"], dead["healthy"], dead["detail"]) == ("dead", False, "was killed by SIGKILL")
    if service != "prometheus":
        wait_for(lambda: not is_stale(lab, victim), "no trace of the dead in Prometheus", GONE)

    lab.up_again()
    assert set(lab.ids()) >= others, "the living went on"
    assert lab.ids(service) != [victim]
    after = wait_for(
        lambda: (answer := lab.get("flask", "/about")).status_code == 200 and answer.json()["nonce"], "flask"
    )
    assert (after != before) == (service == "flask"), "who was started anew is another run"


def test_a_worker_killed_for_memory_is_told_and_replaced(lab: Lab) -> None:
    container = lab.ids("fastapi")[0]
    worker = lab.get("fastapi", "/about").json()["pid"]
    lab.run("docker", "exec", container, "python", "-c", FILL, str(worker), "worker")

    def told() -> str:
        detail = str(part(lab, "fastapi")["detail"])
        return detail if "a worker was killed for lack of memory" in detail else ""

    assert f"(limit {FASTAPI_MEMORY.rstrip('M')} MB; FASTAPI_MEMORY gives it more)" in wait_for(told, "word of it")
    assert lab.ids("fastapi") == [container]
    wait_for(lambda: len(lab.status()["services"]["fastapi"]["each_worker"]) == 2, "another worker in its place")
    wait_for(lambda: lab.seen("fastapi") == {(container, "1"), (container, "2")}, "both workers in Prometheus", GONE)
    assert [one["metric"]["replica"] for one in lab.prometheus("lab_cgroup_oom_kills_total > 0")] == [container]


def test_a_main_process_killed_for_memory_is_told_as_one(lab: Lab) -> None:
    container = lab.ids("fastapi")[0]
    worker = lab.get("fastapi", "/about").json()["pid"]
    lab.run("docker", "exec", container, "python", "-c", FILL, str(worker), "parent")
    wait_for(lambda: container not in lab.ids(), "the end of the container")
    dead = part(lab, "fastapi")
    assert (dead["state"], dead["healthy"]) == ("dead", False)
    assert str(dead["detail"]).startswith(f"was killed for lack of memory (limit {FASTAPI_MEMORY.rstrip('M')} MB")
    wait_for(lambda: not is_stale(lab, container), "no trace of the dead in Prometheus", GONE)
    lab.up_again()
    assert lab.get("fastapi", "/sync/ping").status_code == 200
