"""The settings table: what is taken, what is refused, and that nothing private is shown."""

import os

import pytest

from waitlab.serve import __main__ as command
from waitlab.serve import postgres, settings

APP = {"APP": "services.flask_app:app"}
CORE = min(os.sched_getaffinity(0))


def test_defaults_come_from_the_table() -> None:
    read = settings.read(APP)
    assert (read.service, read.server, read.worker_class, read.workers) == ("flask_app", "gunicorn", "sync", 2)
    assert {settings.read({**APP, "SERVER": name}).worker_class for name in settings.ASGI_SERVERS} == {"asgi"}
    assert settings.read({**APP, "WORKERS": ""}).workers == 2
    assert read.nonce != settings.read(APP).nonce


def test_table_and_value_have_the_same_names() -> None:
    assert {row.name.lower() for row in settings.TABLE} == set(settings.Settings.__dataclass_fields__)
    assert all(row.help for row in settings.TABLE)


def test_parent_hands_on_exactly_what_it_read() -> None:
    texts = {**APP, "CORES": f"{CORE}-{CORE}", "DATABASE_URL": "postgresql://u:secret@h/d", "ACCESS_LOG": "on"}
    read = settings.read({**texts, "WORKER_CLASS": "gthread", "PRELOAD": "1", "RUN_DIR": "/x"})
    assert settings.read(read.environment()) == read
    assert "secret" not in str(read.knobs())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APP", "no-colon"),
        ("APP", "a:b; import os"),
        ("SERVICE", "../../etc"),
        ("SERVER", "apache"),
        ("WORKER_CLASS", "tornado"),
        ("WORKERS", "0"),
        ("WORKERS", "65"),
        ("WORKERS", "-1"),
        ("WORKERS", "١"),
        ("WORKERS", "9" * 10_000),
        ("THREADS", "2.5"),
        ("TOKENS", "nan"),
        ("PORT", "65536"),
        ("BACKLOG", ""),
        ("LOOP", "trio"),
        ("PRELOAD", "maybe"),
        ("CORES", "0,9999"),
        ("CORES", "9999"),
        ("CORES", "1-0"),
        ("CORES", "all"),
        ("TRACES", "some"),
        ("NONCE", "a b"),
        ("DATABASE_URL", "not an address"),
    ],
)
def test_wrong_value_is_named_with_what_is_allowed(name: str, value: str) -> None:
    if value == "":
        assert settings.read({**APP, name: value}).backlog == 2048
        return
    with pytest.raises(settings.SettingError, match=rf"^{name}=.* is not allowed: {name} takes ") as raised:
        settings.read({**APP, name: value})
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "texts",
    [
        {"SERVER": "uvicorn", "WORKER_CLASS": "gthread"},
        {"SERVER": "hypercorn", "WORKER_CLASS": "gevent"},
        {"THREADS": "4", "WORKER_CLASS": "sync"},
        {"THREADS": "4", "WORKER_CLASS": "gevent"},
        {"LOOP": "uvloop"},
        {"PRELOAD": "on", "SERVER": "uvicorn"},
        {"PRELOAD": "on", "SERVER": "hypercorn"},
        {"PRELOAD": "on", "WORKER_CLASS": "gevent"},
    ],
)
def test_what_a_server_would_silently_ignore_is_refused(texts: dict[str, str]) -> None:
    with pytest.raises(settings.SettingError, match="is not allowed: "):
        settings.read({**APP, **texts})


def test_threads_alone_mean_gthread_as_gunicorn_itself_has_it() -> None:
    assert settings.read({**APP, "THREADS": "4"}).worker_class == "gthread"
    assert settings.read(APP).worker_class == "sync"


def test_application_is_needed() -> None:
    with pytest.raises(settings.SettingError, match="APP is not set"):
        settings.read({})


def test_pools_above_the_databases_limit_are_refused_with_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "connections", lambda environment: 97)
    texts = {**APP, "DATABASE_URL": "postgresql://127.0.0.1/lab"}
    with pytest.raises(settings.SettingError, match=r"WORKERS=10 x POOL_SIZE=10 = 100 connections.*gives 97"):
        command._most_workers(settings.read({**texts, "WORKERS": "10"}), {})
    assert command._most_workers(settings.read(texts), {}) == 9
    assert command._most_workers(settings.read(APP), {}) == 64


def test_silent_database_stops_no_service() -> None:
    environment = {**os.environ, "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    assert postgres.connections(environment) is None
