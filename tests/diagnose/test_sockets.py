"""The kernel's view of a port's connections, against connections whose state is known."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from waitlab.diagnose import processes, sockets
from waitlab.diagnose.sockets import Connection


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as server:
        yield server


def served(port: int) -> dict[int, Connection]:
    """Connections by the port of their client."""
    found = sockets.served(port)
    assert found is not None
    return {int.from_bytes(one.peer[-2:], "big"): one for one in found}


def test_each_state_of_a_connection_is_told_from_the_others(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    with ExitStack() as opened:
        clients = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(5)]
        waiting, unread, asking, answered, slow = (client.getsockname()[1] for client in clients)
        by_port = {}
        for client in clients[1:]:
            client.sendall(b"a request")
        for _ in range(4):  # the last one is left in the queue
            accepted, address = listening.accept()
            by_port[address[1]] = opened.enter_context(accepted)
        assert set(by_port) == {waiting, unread, asking, answered}
        for asked in (asking, answered):
            by_port[asked].recv(100)
        time.sleep(0.02)  # the clock of these figures has a grain of milliseconds
        by_port[answered].sendall(b"an answer")
        time.sleep(0.02)
        found = served(port)
    assert found[slow].inode == 0
    assert found[slow].unread == 1 or found[slow].received == 9
    assert (found[waiting].received, found[waiting].unanswered) == (0, False)
    assert (found[unread].unread, found[unread].unanswered) == (9, True)
    assert (found[asking].unread, found[asking].unanswered) == (0, True)
    assert (found[answered].sent, found[answered].unanswered) == (9, False)
    assert found[unread].since_received_ms >= 30


def test_that_a_client_has_gone_is_nothing_to_read(listening: socket.socket) -> None:
    with ExitStack() as opened:
        silent, asking = (opened.enter_context(socket.create_connection(listening.getsockname())) for _ in range(2))
        asking.sendall(b"a request")
        ports = [client.getsockname()[1] for client in (silent, asking)]
        accepted = [opened.enter_context(listening.accept()[0]) for _ in range(2)]
        silent.close()
        asking.close()
        lying = [served(listening.getsockname()[1])[port] for port in ports]
        assert [(one.unread, one.received) for one in lying] == [(0, 0), (9, 9)]
        for connection in accepted:
            while connection.recv(100):
                pass
        read = [served(listening.getsockname()[1])[port] for port in ports]
        assert [(one.unread, one.received) for one in read] == [(0, 0), (0, 9)]


def test_a_call_waits_for_its_answer_until_it_comes(listening: socket.socket) -> None:
    with ExitStack() as opened:
        calls = [opened.enter_context(socket.create_connection(listening.getsockname())) for _ in range(3)]
        served = [opened.enter_context(listening.accept()[0]) for _ in calls]
        for call in calls[1:]:
            call.sendall(b"a request")
        time.sleep(0.02)  # the clock of these figures has a grain of milliseconds
        served[2].sendall(b"an answer")
        time.sleep(0.02)
        port = listening.getsockname()[1]
        own = [os.getpid()]
        assert port in processes.listens(own)
        found = sockets.calls(processes.sockets(own), processes.listens(own))
        assert {one.address for one in found} == {f"127.0.0.1:{port}"}
        assert sorted(one.turn.name for one in found) == ["ANSWERED", "ANSWERED", "ASKED"]
        assert not sockets.calls(set(), ())


def test_what_a_client_does_not_take_lies_unsent(listening: socket.socket) -> None:
    with socket.create_connection(listening.getsockname()) as client:
        accepted, _ = listening.accept()
        with accepted:
            accepted.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    accepted.send(b"x" * 100_000)
            (found,) = served(listening.getsockname()[1]).values()
            assert found.unsent > 100_000
        assert client


def test_the_other_end_is_found_with_its_process(listening: socket.socket) -> None:
    with socket.create_connection(listening.getsockname()):
        inodes = sockets.clients(listening.getsockname()[1])
        assert len(inodes) == 1
        assert processes.holding(inodes, but=()) == []  # this process is no load
    assert processes.holding(set(), but=()) == []
