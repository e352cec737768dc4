"""What the kernel shows of processes, against processes of which it is known."""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from waitlab import process
from waitlab.diagnose import processes
from waitlab.target.processes import has_loop


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@contextmanager
def below(listening: socket.socket) -> Iterator[int]:
    """A process of this one's that holds its socket."""
    child = subprocess.Popen(["sleep", "60"], pass_fds=[listening.fileno()])
    try:
        yield child.pid
    finally:
        child.kill()
        child.wait()


def test_a_loop_that_does_not_accept_is_not_the_servers(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as other, closing(selectors.EpollSelector()) as loop:
        loop.register(other, selectors.EVENT_READ)  # a view that runs a loop of its own, a client library that has one
        assert has_loop(os.getpid(), port) is False
        loop.register(listening, selectors.EVENT_READ)
        assert has_loop(os.getpid(), port) is True
    assert has_loop(2**22 + 1, port) is None


def test_children_of_a_server_that_accepts_itself_are_no_workers(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    with below(listening) as child, closing(selectors.EpollSelector()) as loop:
        assert processes.workers(port) == [child]
        loop.register(listening, selectors.EVENT_READ)
        assert processes.workers(port) == [os.getpid()]


def test_who_waits_for_a_core_is_seen() -> None:
    core = min(os.sched_getaffinity(0))
    burn = (
        "import os, time; os.sched_setaffinity(0, [{0}]); end = time.monotonic() + 1\nwhile time.monotonic() < end: 0"
    )
    both = [subprocess.Popen([sys.executable, "-c", burn.format(core)]) for _ in range(2)]
    time.sleep(0.8)
    ready = [processes.ready_s(one.pid)[str(one.pid)] for one in both]
    assert all(one.wait() == 0 for one in both)
    assert sum(ready) > 1.0  # of one core, in less than a second
    assert processes.ready_s(both[0].pid) == {}


def test_threads_of_a_python_process_compute_in_turn() -> None:
    assert list(processes.thread_seconds(os.getpid())) == [str(os.getpid())]
    with subprocess.Popen(["sleep", "60"]) as other:
        assert list(processes.thread_seconds(other.pid)) == [str(other.pid)]
        other.kill()


def test_workers_of_a_container_whose_port_is_not_known_are_what_was_forked_below() -> None:
    both = "both = [s.Popen(['sleep', '60']) for _ in range(2)]"
    script = f"import subprocess as s\n{both}\nprint(flush=True)\nboth[0].wait()"
    starter = [sys.executable, "-c", f"import subprocess as s, sys\ns.run([sys.executable, '-c', {script!r}])"]
    with subprocess.Popen(starter, stdout=subprocess.PIPE) as first:
        assert first.stdout
        first.stdout.readline()
        found = processes.workers_inside(first.pid, None)
        assert len(found) == 2
        assert found == processes.workers_inside(process.children(first.pid)[0], None)
        assert processes.workers_inside(found[0], None) == [found[0]]
        for pid in found:
            os.kill(pid, signal.SIGKILL)


def test_workers_of_a_container_are_those_that_accept_inside(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    assert processes.workers_inside(os.getpid(), port) == [os.getpid()]
