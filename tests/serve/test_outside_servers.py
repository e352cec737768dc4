"""`lab serve`: strangers' applications on every server, from an environment that has nothing of ours."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.serve import strangers
from tests.serve.served import total
from tests.serve.strange_apps import FLASK_APP, STARLETTE_APP, place
from tests.serve.strangers import stranger
from tests.waiting import wait_for
from waitlab.telemetry import names


class Kind(NamedTuple):
    """A way to serve: the application, the words of the command line, what is asked, and its name in the figures."""

    source: str
    words: tuple[str, ...]
    path: str
    label: tuple[str, str]


WSGI = ("wsgi", "/cakes/<name>")
KINDS = {
    "sync": Kind(FLASK_APP, ("--workers", "2"), "/cakes/torte", WSGI),
    "gthread": Kind(FLASK_APP, ("--workers", "2", "--threads", "4"), "/cakes/torte", WSGI),
    "gevent": Kind(FLASK_APP, ("--workers", "2", "--worker-class", "gevent"), "/cakes/torte", WSGI),
    "preload": Kind(FLASK_APP, ("--workers", "2", "--", "--preload"), "/cakes/torte", WSGI),
    "hypercorn-wsgi": Kind(FLASK_APP, ("--server", "hypercorn", "--workers", "2"), "/cakes/torte", WSGI),
    "uvicorn": Kind(STARLETTE_APP, ("--server", "uvicorn", "--workers", "2"), "/kites/red", ("asgi", "/kites/{name}")),
    "lone-uvicorn": Kind(STARLETTE_APP, ("--server", "uvicorn"), "/toys/ball", ("asgi", "/toys/{name}")),
    "hypercorn": Kind(STARLETTE_APP, ("--server", "hypercorn"), "/kites/red", ("asgi", "/kites/{name}")),
    "gunicorn-asgi": Kind(
        STARLETTE_APP, ("--workers", "2", "--worker-class", "asgi"), "/kites/red", ("asgi", "/kites/{name}")
    ),
}


HAVE_THREADS = ("sync", "gthread", "preload", "hypercorn-wsgi")


def test_the_environment_has_nothing_of_ours(python: Path) -> None:
    code = "import importlib.util as u; print([n for n in ('waitlab', 'prometheus_client', 'pip') if u.find_spec(n)])"
    assert strangers.run(python, code).strip() == "[]"


@pytest.mark.parametrize("kind", KINDS)
def test_a_strangers_application_is_measured_under_every_server(tmp_path: Path, python: Path, kind: str) -> None:
    source, words, path, (style, workload) = KINDS[kind]
    place(tmp_path, source)
    workers = 2 if "2" in words else 1
    with stranger(tmp_path, "bakery", python, "bakery:app", *words) as served:
        known = total(served.scrape(), names.WORKER_THREADS) > 0
        assert known == (kind in {"sync", "gthread"}), "before the first request"
        assert served.send(40, path) == [200] * 40
        assert served.get("/nothing/of/the/kind")[0] == 404
        wait_for(lambda: served.totals()[1] == 41, "41 completed requests")
        assert served.totals() == (41, 41, 0)
        assert len(served.live()) == workers
        samples = served.scrape()
        named = {"service": "bakery", "style": style, "workload": workload, "status": "200"}
        assert total(samples, f"{names.REQUEST_DURATION}_count", **named) == 40
        assert total(samples, f"{names.REQUEST_DURATION}_count", workload="other", status="404") == 1
        assert total(samples, f"{names.REQUEST_QUEUE}_count", style=style, workload=workload) == 40
        assert total(samples, names.SERVICE_WORKERS, state="alive") == workers
        assert total(samples, names.ACCEPT_QUEUE_LIMIT) > 0
        assert total(samples, names.TELEMETRY_DEGRADED) == 0
        assert (total(samples, names.WORKER_THREADS) > 0) == (kind in HAVE_THREADS)
        asked = {worker: labels["service"] for worker, labels in labels_of(served).items()}
        assert asked == dict.fromkeys(["", *map(str, range(1, workers + 1))], "bakery")


def labels_of(served: strangers.Stranger) -> dict[str, dict[str, str]]:
    return {group["labels"]["worker"]: group["labels"] for group in json.loads(served.target_file.read_text())}
