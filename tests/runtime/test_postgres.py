"""PostgreSQL from the wheel: it serves with a password, leaves with its creator, and runs for root and for anyone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.ports import free_port
from tests.waiting import wait_for
from waitlab import process
from waitlab.errors import LabError
from waitlab.runtime.local import postgres


def test_a_server_for_a_while(tmp_path: Path) -> None:
    port = free_port()
    with postgres.running(tmp_path, port) as url:
        with psycopg.connect(url) as connection:
            assert connection.execute("SHOW max_connections").fetchone() == (str(postgres.MAX_CONNECTIONS),)
            assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)
        assert not postgres.accepts(postgres.url(port, "a guess"))
    assert not postgres.accepts(url)
    assert not (tmp_path / "password").exists()


def test_a_killed_server_leaves_no_shared_memory(tmp_path: Path) -> None:
    with postgres.running(tmp_path, free_port()) as url:
        with psycopg.connect(url) as connection:
            assert connection.execute("SHOW dynamic_shared_memory_type").fetchone() == ("mmap",)
        server, *_, segment, _ = (tmp_path / "data/postmaster.pid").read_text().splitlines()
        assert segment.split()[1] in segments()
        os.kill(int(server), signal.SIGKILL)
    assert segment.split()[1] not in segments()


def segments() -> set[str]:
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()}


def test_a_cluster_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(LabError) as failed, postgres.running(tmp_path, free_port()):
        pass
    assert "initdb ended with exit code 1" in failed.value.message
    assert "Traceback" not in failed.value.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_user_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside most containers `unshare -U` is forbidden: root then becomes nobody, from a place nobody can reach."""
    hidden = tmp_path / "bin"
    hidden.mkdir()
    (hidden / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (hidden / "unshare").chmod(0o755)
    monkeypatch.setattr(os, "defpath", f"{hidden}:{os.defpath}")
    with postgres.running(tmp_path / "cluster", free_port()) as url, psycopg.connect(url) as connection:
        assert connection.execute("SHOW data_directory").fetchone()[0].startswith(str(postgres.PLACE_OF_NOBODY))


def test_a_killed_creator_leaves_no_server(tmp_path: Path) -> None:
    creator = (
        "import sys, time; from pathlib import Path; from waitlab.runtime.local import postgres\n"
        f"with postgres.running(Path({str(tmp_path)!r}), {free_port()}) as url: print(url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", creator], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        server = int((tmp_path / "data/postmaster.pid").read_text().splitlines()[0])
        with psycopg.connect(url):  # a connected client must not keep it
            child.kill()
            wait_for(lambda: not process.is_alive(server), "the server's end", 4)
