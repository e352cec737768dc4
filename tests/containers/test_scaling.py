"""More workers in a replica, more replicas of a service: all are seen while they are there, and not after."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.containers.conftest import Lab
from tests.waiting import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

SOON = 20.0  # until a worker that came is seen
GONE = 30.0  # until one that went is not


def scale(lab: Lab, **replicas: int) -> None:
    """As a person does it, with the engine's own command."""
    words = [word for name, count in replicas.items() for word in ("--scale", f"{name.replace('_', '-')}={count}")]
    # Named one by one where an image is left out: Compose wants it even of a service without replicas.
    named = [name.replace("_", "-") for name in replicas] if lab.left_out else []
    lab.compose("up", "--detach", "--no-build", "--no-recreate", "--wait", *words, *named)


def load_exporters(lab: Lab) -> set[str]:
    """The containers whose Locust process Prometheus scrapes."""
    return {one["metric"]["replica"] for one in lab.prometheus('up{service="locust"}')}


@pytest.fixture
def scaled(lab: Lab) -> Iterator[Lab]:
    """Three replicas of flask and four Locust workers; one of each afterwards."""
    scale(lab, flask=3, locust_worker=4)
    yield lab
    scale(lab, flask=1, locust_worker=1)


def test_workers_come_and_go_by_the_verb(lab: Lab) -> None:
    before = lab.get("flask", "/about").json()["nonce"]
    up = lab("scale", "flask", "4")
    assert (up.returncode, up.stdout) == (0, "flask: 2 -> 4 workers, all live.\n"), up.stderr
    lab.expect("flask", 4, SOON)
    down = lab("scale", "flask", "2")
    assert (down.returncode, down.stdout) == (0, "flask: 4 -> 2 workers, all live.\n"), down.stderr
    lab.expect("flask", 2, GONE)
    assert lab.get("flask", "/about").json()["nonce"] == before, "scaled without a restart"


def test_more_workers_than_postgresql_bears_are_refused(lab: Lab) -> None:
    refused = lab("scale", "flask", "60")
    assert refused.returncode == 2
    assert "->" in refused.stderr
    lab.expect("flask", 2, SOON)


def test_replicas_share_no_port_and_no_series(scaled: Lab) -> None:
    lab = scaled
    assert len(lab.ids("flask")) == 3
    assert len(lab.ids("locust-worker")) == 4
    lab.expect("flask", 2, SOON)
    loaders = {*lab.ids("locust"), *lab.ids("locust-worker")}
    wait_for(lambda: load_exporters(lab) == loaders, "every Locust worker in Prometheus", SOON)

    # The edge finds all of them, and status names the replica of each worker.
    seen: set[str] = set()
    wait_for(
        lambda: seen.add(lab.get("flask", "/about").json()["nonce"]) or len(seen) == 3, "an answer of each replica"
    )
    status = wait_for(lambda: (now := lab.status())["healthy"] and now, "health")
    workers = Counter(one["replica"] for one in status["services"]["flask"]["each_worker"])
    assert workers == dict.fromkeys(lab.ids("flask"), 2)

    # Removed by force, it can say goodbye to nobody.
    victim = lab.ids("flask")[0]
    loader = lab.ids("locust-worker")[0]
    lab.docker("rm", "--force", "--volumes", victim, loader)
    lab.expect("flask", 2, GONE)
    wait_for(lambda: load_exporters(lab) == loaders - {loader}, "the Locust worker gone from Prometheus", GONE)
    assert victim not in lab.docker("exec", lab.ids("host")[0], "ls", "/targets")

    # Stopped as one stops a container, it is gone as soon.
    scale(lab, flask=1, locust_worker=1)
    lab.expect("flask", 2, GONE)
    assert {lab.get("flask", "/sync/ping").status_code for _ in range(20)} == {200}
