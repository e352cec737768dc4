"""What `lab serve` refuses, and how it ends."""

from pathlib import Path

import pytest

from tests.serve import strangers
from tests.serve.strange_apps import BARE_WSGI, FLASK_APP, place
from tests.serve.strangers import refused, stranger
from tests.waiting import wait_for
from waitlab import process


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nothing:app",), 3, "No module named 'nothing'"),
        (("bakery:nothing",), 3, "has no attribute 'nothing'"),
        (("bakery:app", "--server", "waitress"), 2, "--server waitress is not known"),
        (("bakery:app", "--name", "flask"), 2, "flask is a part of the lab"),
        (("bakery:app", "--server", "uvicorn", "--threads", "4"), 2, "uvicorn has no --threads"),
        (("bakery:app()()",), 2, "names no application"),
        (("bakery:app", "--host", "192.0.2.1"), 2, "--host 192.0.2.1 is not allowed"),
        (("bakery:app", "--", "--no-such-option"), 1, "gunicorn ended with exit code 2"),
    ],
)
def test_what_cannot_be_served_is_said(
    tmp_path: Path, python: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    place(tmp_path, FLASK_APP)
    ended, log = refused(tmp_path, python, *words)
    assert says in log
    assert ended == code
    assert not [*(tmp_path / "home").glob("run/*"), *(tmp_path / "home").glob("targets/*")]


def test_an_interpreter_that_cannot_serve_is_refused(tmp_path: Path, python: Path) -> None:
    place(tmp_path, BARE_WSGI)
    assert "no virtual environment is active" in refused(tmp_path, None, "bakery:app")[1]
    assert "is no file" in refused(tmp_path, tmp_path / "none", "bakery:app")[1]
    assert "is no Python that works here" in refused(tmp_path, Path("/bin/true"), "bakery:app")[1]
    bare = strangers.make_environment(tmp_path / "bare")
    code, log = refused(tmp_path, bare, "bakery:app")
    assert (code, "has no gunicorn" in log) == (122, True)


def test_a_port_that_is_taken_and_a_name_that_is_served_are_refused(tmp_path: Path, python: Path) -> None:
    place(tmp_path, BARE_WSGI)
    with stranger(tmp_path, "bakery", python, "bakery:app") as served:
        assert "is served already" in refused(tmp_path, python, "bakery:app")[1]
        code, log = refused(tmp_path, python, "bakery:app", "--name", "other", "--port", str(served.port))
        assert (code, f"port {served.port} is taken" in log) == (106, True)


def test_whatever_ends_the_parent_ends_the_server(tmp_path: Path, python: Path) -> None:
    place(tmp_path, FLASK_APP)
    served = strangers.start(tmp_path, "bakery", python, ["bakery:app", "--workers", "2"], {})
    try:
        wait_for(lambda: strangers.up(served), "the start")
        everyone = served.processes()
        served.popen.kill()
        served.popen.wait()
        wait_for(lambda: not any(process.is_alive(pid) for pid in everyone), "the end of every process")
    finally:
        process.stop(served.popen)
    with stranger(tmp_path, "bakery", python, "bakery:app"):  # what was left does no harm
        pass
