"""Which runtime is used, and why."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from waitlab import runtime
from waitlab.errors import LabError


@contextmanager
def engine(path: Path, answer: bytes) -> Iterator[None]:
    """Something that answers one call on a Docker socket."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_the_local_runtime_says_why_it_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "DOCKER_SOCKET", str(tmp_path / "docker.sock"))
    assert runtime.choose({}) == ("local", "no Docker engine answers")
    assert runtime.choose({"RUNTIME": "local"}) == ("local", "RUNTIME=local")
    with engine(tmp_path / "docker.sock", b"HTTP/1.0 200 OK\r\n\r\nOK"):
        assert "a Docker engine answers" in runtime.choose({})[1]


@pytest.mark.parametrize(("wanted", "code"), [("compose", 122), ("cloud", 2)])
def test_a_runtime_that_is_not_there(wanted: str, code: int) -> None:
    with pytest.raises(LabError) as refused:
        runtime.choose({"RUNTIME": wanted})
    assert wanted in refused.value.message
    assert refused.value.code == code
