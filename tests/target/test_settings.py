"""A setting in words and as a command line; candidates without twins; the lab's own services as targets."""

from dataclasses import replace
from pathlib import Path

import pytest

from waitlab.errors import LabError
from waitlab.target import Choices, Setting, Target, of_lab

WORDS = "gunicorn shop:app --workers {workers} --threads {threads} --worker-class {worker_class} --bind :{port}"


def target(**given: str) -> Target:
    choices = Choices((1, 2), ("sync", "gthread"), (1, 8))
    return Target("orders", Path("/"), "/", choices, "command", words=WORDS, given=given)


def test_a_setting_reads_as_a_person_would_say_it() -> None:
    assert str(Setting(2, "gthread", 8)) == "gthread, 2 workers, 8 threads"
    assert str(Setting(1, pool_size=5)) == "1 worker, 5 connections"
    assert str(Setting(workers=0)) == "as it is"


def test_every_combination_is_a_candidate_but_threads_of_a_worker_that_has_one() -> None:
    found = target().choices.settings()
    assert [str(one) for one in found if one.worker_class == "sync"] == [
        "sync, 1 worker, 1 thread",
        "sync, 2 workers, 1 thread",
    ]
    assert len(found) == 2 + 4


def test_a_command_is_filled_in_word_by_word_and_no_shell_reads_it() -> None:
    spaced = Target("x", Path("/"), "/", Choices(), "command", words="serve 'a b' '{workers}; rm {odd} {}'")
    assert spaced.command(Setting(3), 1) == ["serve", "a b", "3; rm {odd} {}"]
    assert target().command(Setting(2, "gthread", 8), 9)[-1] == ":9"


def test_what_is_typed_shows_what_is_chosen_and_no_secret() -> None:
    found = target(DATABASE_URL="postgres://me:secret@db", POOL="{pool_size}")
    setting = Setting(2, "sync", 1, 5)
    typed = "POOL=5 gunicorn shop:app --workers 2 --threads 1 --worker-class sync --bind :8000"
    assert found.typed(setting) == typed
    assert found.variables(setting) == {"POOL": "5", "WORKERS": "2", "WORKER_CLASS": "sync", "THREADS": "1"}
    assert found.environment(setting)["DATABASE_URL"] == "postgres://me:secret@db"


def test_a_service_that_runs_already_is_told_in_the_words_of_who_runs_it() -> None:
    choices, setting = Choices((1, 4)), Setting(4)
    running = Target("x", Path("/"), "/", choices, "running", url="http://127.0.0.1:9")
    scaled = replace(running, compose="orders")
    assert running.typed(setting) == "4 workers"
    assert scaled.typed(setting) == "docker compose up --detach --scale orders=4 orders"
    told = replace(scaled, given={"WORKERS": "{workers}"})
    assert told.typed(setting) == "WORKERS=4 docker compose up --detach orders"
    assert told.variables(setting) == {"WORKERS": "4"}


def test_a_service_of_the_lab_is_a_target_like_any_other() -> None:
    flask, fastapi = of_lab("flask", "/sync/sleep?ms=20"), of_lab("fastapi", "/sync/query")
    assert flask.environment(Setting(4, "gthread", 8), 9)["THREADS"] == "8"
    assert flask.variables(Setting(4, "sync", 1)) == {
        "FLASK_WORKERS": "4",
        "FLASK_WORKER_CLASS": "sync",
        "FLASK_THREADS": "1",
    }
    assert fastapi.environment(Setting(1, "asgi", 20, 5))["TOKENS"] == "20"
    assert fastapi.needs == {"postgres"}
    assert of_lab("fastapi", "/async/sleep").choices.threads == (0,)
    pools = of_lab("fastapi", "/async/query").choices.settings()
    assert max(one.workers * one.pool_size for one in pools) <= 97, "PostgreSQL gives no more"
    assert {one.pool_size for one in pools if one.workers == 16} == {2, 5}


@pytest.mark.parametrize(
    ("service", "request_", "remedy"),
    [("flusk", "/sync/sleep", "did you mean flask?"), ("flask", "/sync/slep", "did you mean /sync/sleep?")],
)
def test_what_the_lab_does_not_offer_is_refused_with_the_nearest_name(service: str, request_: str, remedy: str) -> None:
    with pytest.raises(LabError) as fault:
        of_lab(service, request_)
    assert (fault.value.code, fault.value.remedy) == (2, remedy)
