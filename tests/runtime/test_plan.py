"""The plan of a lab: what the environment may say, and how it is refused before anything starts."""

import pytest

from services import contract, upstream
from waitlab.errors import LabError
from waitlab.runtime.local import plan
from waitlab.serve import settings


def service(name: str, **environment: str) -> dict[str, str]:
    (part,) = (part for part in plan.read(environment).parts if part.name == name)
    return part.environment


@pytest.mark.parametrize("name", contract.SERVICES)
def test_the_defaults_are_the_contracts(name: str) -> None:
    stated = contract.SERVICES[name]
    read = settings.read(service(name))
    assert (read.workers, read.threads, read.pool_size) == (stated.workers, stated.threads, stated.pool_size)


def test_upstreams_knobs_are_its_own_settings() -> None:
    assert set(plan.UPSTREAM_KNOBS) == {setting.name.upper() for setting in upstream.SETTINGS}


def test_knobs_reach_their_service_and_no_other() -> None:
    given = {"FLASK_WORKERS": "4", "FLASK_THREADS": "8", "FASTAPI_TOKENS": "7", "FLASK_BACKLOG": ""}
    flask, fastapi = settings.read(service("flask", **given)), settings.read(service("fastapi", **given))
    assert (flask.workers, flask.threads, flask.worker_class, flask.backlog) == (4, 8, "gthread", 2048)
    assert (fastapi.workers, fastapi.tokens, flask.tokens) == (2, 7, 40)


def test_one_run_has_one_nonce_and_the_next_another() -> None:
    first, second = plan.read({}), plan.read({})
    assert {part.environment["NONCE"] for part in first.parts if part.name in plan.SERVICES} == {first.nonce}
    assert first.nonce != second.nonce
    assert first.database_url != second.database_url


def test_frameworks_own_variables_are_let_be() -> None:
    strangers = {
        "FLASK_APP": "mine.py",
        "FLASK_DEBUG": "1",
        "POSTGRES_USER": "me",
        "HOSTNAME": "h",
        "LOCUST_USERS": "5",
    }
    assert service("flask", **strangers)["APP"] == contract.SERVICES["flask"].app
    assert service("locust", **strangers)["LOCUST_USERS"] == "5"


@pytest.mark.parametrize(
    ("environment", "message", "remedy"),
    [
        ({"FLASK_WORKERS": "abc"}, "FLASK_WORKERS='abc'", ""),
        ({"FLASK_WORKERS": "65"}, "FLASK_WORKERS takes a whole number from 1 to 64", ""),
        ({"FLASK_WORKRES": "2"}, "FLASK_WORKRES is not a setting", "FLASK_WORKERS"),
        ({"FASTAPI_XYZ": "2"}, "FASTAPI_XYZ is not a setting", "FASTAPI_WORKERS"),
        ({"PROMETHEUS_PROT": "9"}, "PROMETHEUS_PROT is not a setting", "PROMETHEUS_PORT"),
        ({"FLASK_PORT": "99999"}, "FLASK_PORT='99999'", "1 to 65535"),
        ({"FLASK_SERVER": "uvicorn"}, "FLASK_SERVER='uvicorn'", "gunicorn"),
        ({"FASTAPI_WORKER_CLASS": "sync"}, "FASTAPI_WORKER_CLASS='sync'", "asgi"),
        ({"FLASK_WORKER_CLASS": "sync", "FLASK_THREADS": "2"}, "FLASK_THREADS=2", ""),
        ({"FLASK_WORKERS": "10"}, "10 workers x 10 pooled connections = 100, but PostgreSQL gives 97", "POOL_SIZE"),
        ({"FLASK_WORKERS": "6", "FLASK_POOL_SIZE": "20"}, "6 workers x 20 pooled connections = 120", "POOL_SIZE"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], message: str, remedy: str) -> None:
    with pytest.raises(LabError) as refused:
        plan.read(environment)
    assert message in refused.value.message
    assert remedy in refused.value.remedy
    assert refused.value.code == 2


@pytest.mark.parametrize("only", [("nginx",), ("locust",)])
def test_a_part_that_cannot_be_alone(only: tuple[str, ...]) -> None:
    with pytest.raises(LabError):
        plan.read({}, only)


def test_a_part_is_told_only_of_parts_that_start() -> None:
    (alone,) = plan.read({}, ("fastapi",)).parts
    assert not {"DATABASE_URL", "UPSTREAM_URL"} & set(alone.environment)
    assert alone.ports == {"FASTAPI_PORT": 8002}


def test_locusts_worker_port_is_needed_only_by_a_distributed_locust() -> None:
    assert "LOCUST_WORKER_PORT" not in plan.read({}).ports
    assert plan.read({"LOCUST_PROCESSES": "2"}).ports["LOCUST_WORKER_PORT"] == 5557
