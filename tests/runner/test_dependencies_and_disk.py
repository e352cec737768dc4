"""What gives way under a run: the upstream in the middle of a trial, a port that somebody took, the disk."""

import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runner import small
from tests.runner.small import STREAM
from waitlab import results
from waitlab.errors import LabError
from waitlab.runner import surroundings as surroundings_module
from waitlab.runner.surroundings import POSTGRES, UPSTREAM, surroundings
from waitlab.runtime.local.state import PROJECT

FETCH = """
[arms.fetch]
service = "fastapi"
request = "/async/fetch?ms=20&tls=1"
workers = 1
users = 4
seconds = 2
repeats = {repeats}

[[predictions]]
says = "Nobody waits for a connection."
arm = "fetch"
quantity = "error_ratio"
at_most = 0
"""


def test_an_upstream_is_called_by_tls_and_named_when_it_dies(tmp_path: Path) -> None:
    def kill() -> None:
        small.kill("services.upstream")

    run = small.run(small.ask(tmp_path, FETCH, repeats=2), tmp_path, small.once("measuring", kill, repeat=2))
    first, second = run.trials
    assert first.ended == "measured"
    assert first.client
    assert first.client.failures == 0
    assert second.ended == "the upstream does not answer"


@pytest.mark.parametrize(("need", "says"), [(UPSTREAM, "the upstream did not start"), (POSTGRES, "PostgreSQL did not")])
def test_a_port_that_somebody_takes_first_is_no_dependency_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: str, says: str
) -> None:
    environment = small.environment(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(surroundings_module, "_free_port", lambda: taken.getsockname()[1])
        with pytest.raises(LabError, match=rf"(?s){says}.*in use") as refused, surroundings({need}, 1, environment):
            pass
    assert refused.value.code == 122


FULL = """
import os, resource, sys
from pathlib import Path
from tests.runner import small
from waitlab import process, results
from waitlab.errors import LabError
from waitlab.runner.run import run

folder = Path(sys.argv[1])

def fill() -> None:
    [journal] = folder.glob("results/*/trials.jsonl")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.stat().st_size + 100, most))

try:
    asked = small.ask(folder, small.STREAM, repeats=3)
    told = small.once("ending", fill, repeat=2)
    run(asked, folder / "results", small.environment(folder), small.SEED, told, facts={})
except LabError as error:
    print(error.told)
    print("left:", process.children(os.getpid()))
    sys.exit(error.code)
"""


@pytest.mark.long
def test_a_disk_that_is_full_ends_a_run_and_costs_no_trial_before(tmp_path: Path) -> None:
    """A limit on the length of files, set when the second trial has been measured, takes the place of a full disk."""
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert ended.returncode == 122, ended.stderr
    assert "trials.jsonl cannot be written: File too large" in ended.stdout
    assert "what was measured before is kept" in ended.stdout
    assert "left: []" in ended.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    (folder,) = (tmp_path / "results").iterdir()
    assert [(trial.repeat, trial.ended) for trial in results.read(folder).trials] == [(1, "measured")]
    run = small.run(small.ask(tmp_path, STREAM, repeats=3), tmp_path, resume=folder)
    assert [(trial.repeat, trial.ended) for trial in run.trials] == [(number, "measured") for number in (1, 2, 3)]
