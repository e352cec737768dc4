"""Child processes: started from the main thread only, and ended with everything they started."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.waiting import wait_for
from waitlab import process

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def test_stop_kills_what_does_not_listen_and_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n{STUBBORN}"
    popen = process.start([sys.executable, "-c", program], environment=os.environ, log=log)
    wait_for(lambda: log.exists() and log.read_text().count("up") == 2, "the start of both", 20)
    (child,) = process.children(popen.pid)
    assert process.stop(popen, grace=0.2) == -signal.SIGKILL
    wait_for(lambda: not process.is_alive(child), "the child's end", 5)
    assert process.stop(popen) == -signal.SIGKILL


def test_processes_are_ordered_by_their_start() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        begun, pid = process.age_order(child.pid)
        assert begun / os.sysconf("SC_CLK_TCK") == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=2)
        assert pid == child.pid
        child.kill()
    assert process.age_order(child.pid) < process.age_order(os.getpid())  # what is gone comes first


def test_end_of_the_parent_ends_the_child(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from pathlib import Path; from waitlab import process\n"
        "child = process.start(['sleep', '60'], environment=dict(os.environ), log=None)\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    command = Path(f"/proc/{child}/cmdline")  # setpriv's own until the death signal is set and it becomes `sleep`
    wait_for(lambda: command.read_bytes().startswith(b"sleep"), "the child's start", 10)
    parent.kill()
    parent.wait()
    wait_for(lambda: not process.is_alive(child), "the child's end", 5)


def test_only_the_main_thread_may_start_children() -> None:
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            process.start(["true"], environment=os.environ, log=None)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


def test_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program: no such program"):
        process.start(["no-such-program"], environment=os.environ, log=tmp_path / "log")


def test_zombie_is_dead() -> None:
    popen = subprocess.Popen(["true"])
    wait_for(lambda: not process.is_alive(popen.pid), "its end", 5)
    assert popen.pid in process.children(os.getpid())
    popen.wait()
    assert popen.pid not in process.children(os.getpid())
