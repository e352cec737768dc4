"""The edge: what stands between a slow reader and a service, with buffering and without; and trials through it."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runner.small import HEAD, ask, run
from tests.waiting import eventually
from waitlab import process, quantities, validity
from waitlab.errors import LabError
from waitlab.runtime.local import edge, plan

BODY = 8_000_000
UPLOAD = """
[arms.upload]
service = "flask"
request = "/sync/ping"
workers = 2
client = "upload"
users = 2
victim = "/sync/ping"
edge = "buffered"
seconds = 2
repeats = {repeats}

[[predictions]]
says = "Who is behind the edge does not notice."
arm = "upload"
quantity = "connections_held"
at_least = 2
"""


class Origin:
    """A service of one connection at a time, which answers with a large body; `sent` when it has got rid of it."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.sent = threading.Event()
        self.head = b""

    def serve(self) -> None:
        taken, _ = self.listening.accept()
        with taken:
            while b"\r\n\r\n" not in self.head:
                self.head += taken.recv(65536)
            try:
                taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY + b"x" * BODY)
                self.sent.set()
            except OSError:  # the edge has gone before it took all of it
                return


@contextmanager
def origin() -> Iterator[tuple[Origin, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # taken ones inherit it
        service = Origin(listening)
        thread = threading.Thread(target=service.serve)
        thread.start()
        yield service, f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(("is_buffered", "is_free"), [(True, True), (False, False)])
def test_a_service_is_done_with_a_slow_reader_behind_a_buffer_only(
    is_buffered: bool, is_free: bool, tmp_path: Path
) -> None:
    with origin() as (service, url), edge.running(url, tmp_path / "edge", is_buffered) as front:
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", int(front.url.rpartition(":")[2])))
            reader.sendall(b"GET /x?y=1 HTTP/1.1\r\nHost: me:1\r\nX-Request-Start: t=1\r\n\r\n")
            assert reader.recv(12) == b"HTTP/1.1 200"
            assert service.sent.wait(2 if is_free else 0.7) is is_free
        assert service.head.startswith(b"GET /x?y=1 HTTP/1.1\r\n")
        assert b"\r\nHost: me:1\r\n" in service.head
        assert b"\r\nX-Request-Start: t=1\r\n" in service.head


def test_an_edge_that_died_says_so_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    with edge.running("http://127.0.0.1:9", tmp_path / "edge", True) as front:
        assert front.ailment == ""
        (worker,) = process.children(front.pid)
        os.kill(front.pid, signal.SIGKILL)
        eventually(lambda: bool(front.ailment), 2)
        assert "the edge ended" in front.ailment
    eventually(lambda: not process.is_alive(worker), 2)
    assert not process.is_alive(worker)


def test_an_edge_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="the edge did not start") as refused, edge.running("nowhere", tmp_path, True):
        pass
    assert "invalid URL prefix" in refused.value.message


def test_a_trial_of_slow_uploads_through_the_edge_is_whole(tmp_path: Path) -> None:
    asked = ask(tmp_path, UPLOAD, head=HEAD)
    (trial,) = run(asked, tmp_path).trials
    assert trial.ended == "measured"
    assert trial.client and trial.server
    assert trial.client.connections_held == 2
    assert trial.client.sent == trial.server.completed > 64  # the victim's alone: an upload never becomes a request
    assert trial.server.pss_before_bytes > 0
    assert max(trial.client.victim_us) < 1_500_000
    assert trial.commands["edge"].endswith("edge/buffering-on.conf")
    found = {one.rule: one.verdict for one in validity.findings(trial, asked.arms[0].load)}
    assert {rule: found[rule] for rule in ("G0", "G1", "G2", "G3", "G5", "G9", "G11")} == {
        **dict.fromkeys(("G0", "G1", "G2", "G9", "G11"), "pass"),
        **dict.fromkeys(("G3", "G5"), "skip"),
    }
    assert quantities.read("kb_per_connection", trial) is not None


def test_the_lab_has_an_edge_where_it_is_asked_for() -> None:
    assert "edge" not in {part.name for part in plan.read({}).parts}
    lab = plan.read({"EDGE": "on", "EDGE_BUFFERING": "on", "FLASK_PORT": "9001"})
    (part,) = (part for part in lab.parts if part.name == "edge")
    assert part.ports == {f"{plan.prefix(name)}_PORT+10": port for name, port in doors().items()}
    assert part.command[-1 - len(doors()) :] == [
        "on",
        *(f"{port}=http://127.0.0.1:{port - edge.ABOVE}" for port in doors().values()),
    ]


def doors() -> dict[str, int]:
    return {name: plan.PORTS[f"{plan.prefix(name)}_PORT"] + edge.ABOVE for name in plan.SERVICES} | {"flask": 9011}


@pytest.mark.parametrize("setting", ["EDGE", "EDGE_BUFFERING"])
def test_a_wrong_setting_of_the_edge_is_named(setting: str) -> None:
    with pytest.raises(LabError, match=f"{setting}='maybe'"):
        plan.read({setting: "maybe"}, ("flask",))


def test_an_edge_needs_a_service() -> None:
    with pytest.raises(LabError, match="nothing to pass on"):
        plan.read({}, ("edge",))
