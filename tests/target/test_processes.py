"""What /proc says of a tree of processes and of the port that it serves on."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.waiting import wait_for
from waitlab.target import processes

BUSY = "import time\nuntil = time.process_time() + {seconds}\nwhile time.process_time() < until: pass\n"
PARENT = f"""
import signal, subprocess, sys, threading, time
signal.signal(signal.SIGTTIN, lambda *_: None)
subprocess.run([sys.executable, "-c", {BUSY.format(seconds=0.3)!r}])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def parent() -> Iterator[int]:
    child = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout
    child.stdout.readline()
    yield child.pid
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_a_tree_is_all_below_its_root_with_what_they_have_reaped(parent: int) -> None:
    found = processes.tree(parent)
    assert found
    assert len(found.pids) == 2
    assert found.pids[0] == parent or found.pids[1] == parent
    assert found.threads == 3
    assert 0.3 <= found.cpu_s < 3  # of the child that has ended
    later = processes.tree(parent)
    assert later
    assert later.began == found.began
    assert later.cpu_s >= found.cpu_s


def test_memory_is_the_sum_of_what_each_has_to_itself(parent: int) -> None:
    found = processes.tree(parent)
    assert found
    both, one = processes.pss_bytes(found.pids), processes.pss_bytes(found.pids[:1])
    assert both
    assert one
    assert both > one > 1_000_000
    assert processes.pss_bytes([2**22 + 1]) is None
    assert processes.tree(2**22 + 1) is None


def test_a_signal_is_only_sent_to_who_handles_it(parent: int) -> None:
    assert processes.catches(parent, signal.SIGTTIN)
    assert not processes.catches(parent, signal.SIGTTOU)
    assert not processes.catches(2**22 + 1, signal.SIGTTIN)


def test_the_accept_queue_of_a_port_counts_who_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert (processes.holders(port), processes.master(port)) == ((os.getpid(),), os.getpid())
        assert processes.workers(port, os.getpid()) == 1
        assert processes.accept_queue(port) == 0
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        wait_for(lambda: processes.accept_queue(port, os.getpid()) == 3, "a queue of three")
        server.accept()[0].close()
        assert processes.accept_queue(port) == 2
        for client in clients:
            client.close()
    assert processes.holders(port) == ()
    assert processes.accept_queue(port) is None
    assert processes.master(port) is None


SERVER = """
import os, time
{fork}
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("fork", "workers"),
    [
        ("[os.fork() for _ in range(2) if os.getpid() == first]", 2),
        ("os.fork() or os.fork()", 1),  # a worker that forks a process of its own
    ],
)
def test_who_only_hands_its_socket_to_a_server_is_no_server(fork: str, workers: int) -> None:
    """As `lab serve` does: this process holds the socket, and so do the server that it starts and what that forks."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = [sys.executable, "-c", SERVER.format(fork=f"first = os.getpid()\n{fork}")]
        with subprocess.Popen(command, pass_fds=[listening.fileno()], process_group=0) as one:
            try:
                wait_for(lambda: len(processes.holders(port)) == 4, "two that were forked")
                assert processes.master(port) == os.getpid()
                parents = processes.parents_of(processes.holders(port))
                assert processes.server(os.getpid(), parents, port) == one.pid
                assert one.pid not in {found.pid for found in processes.accepting(port, os.getpid())}
                assert processes.workers(port, os.getpid()) == workers
            finally:
                os.killpg(one.pid, signal.SIGKILL)
                wait_for(lambda: processes.holders(port) == (os.getpid(),), "the end of all")


ACCEPTS = """
import os, selectors, sys, time
loop = selectors.EpollSelector()
loop.register(int(sys.argv[1]), selectors.EVENT_READ)
os.fork()
time.sleep(60)
"""


def test_who_accepts_by_its_own_loop_is_a_worker_whatever_it_forks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = [sys.executable, "-c", ACCEPTS, str(listening.fileno())]
        with subprocess.Popen(command, pass_fds=[listening.fileno()], process_group=0) as one:
            try:
                wait_for(lambda: len(processes.holders(port)) == 3, "one that was forked")
                assert {found.pid for found in processes.accepting(port, os.getpid())} == {one.pid}
            finally:
                os.killpg(one.pid, signal.SIGKILL)
                wait_for(lambda: processes.holders(port) == (os.getpid(),), "the end of all")
