"""Small experiments that are really run, and what happens to them. Run as a program it runs one, to be killed."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from waitlab import experiment, process, results
from waitlab.experiment import Experiment
from waitlab.results import Run
from waitlab.runner import order
from waitlab.runner import run as runner
from waitlab.runner.run import EndedError, Step
from waitlab.runner.run import run as run_experiment

SEED = 3
runner.MOST_AGAIN = 0  # those who run these count trials, and a neighbour of this machine must not add one
HEAD = """
title = "Small"
question = "Does the runner work?"
"""
STREAM = """
[arms.stream]
service = "flask"
request = "/sync/sleep?ms=20"
workers = 2
users = 4
seconds = 2
repeats = {repeats}

[[predictions]]
says = "Two workers give what two workers give."
arm = "stream"
quantity = "throughput_rps"
law = "concurrency_limit"
within = 0.25
"""
SINGLES = """
[arms.pair]
service = "fastapi"
request = "/blocked/sleep?ms=150"
workers = 1
concurrent = 2
repeats = {repeats}

[[predictions]]
says = "The second waits for the first."
arm = "pair"
quantity = "last_finish_ms"
law = "last_finish"
within = 0.25
"""
QUERY = """
[arms.query]
service = "fastapi"
request = "/async/query?ms=20"
workers = 1
users = 4
seconds = 2
repeats = {repeats}

[[predictions]]
says = "Nobody waits for a connection."
arm = "query"
quantity = "throughput_rps"
law = "concurrency_limit"
within = 0.25
"""
DUET = """
[load]
users = 2
seconds = 2
repeats = {repeats}
duet = true

[arms.left]
service = "flask"
request = "/sync/burn?rounds=2"
workers = 1

[arms.right]
service = "fastapi"
request = "/async/burn?rounds=2"
workers = 1

[[predictions]]
says = "The same work costs much the same."
arm = "right"
quantity = "cpu_ms_per_request"
equals = {{ arm = "left" }}
within = 0.50
"""

Told = Callable[[Step], None]


def ask(folder: Path, *arms: str, repeats: int = 1, head: str = HEAD) -> Experiment:
    """The experiment of these arms, read from a file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "small.toml"
    file.write_text(head + "".join(arms).format(repeats=repeats))
    return experiment.read(file)


def environment(folder: Path) -> dict[str, str]:
    """Of a lab of one's own."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return {**kept, "LAB_HOME": str(folder / "home")}


def run(asked: Experiment, folder: Path, told: Told = lambda step: None, **more: Any) -> Run:
    """Run it; what its results folder holds, also when the run ended early."""
    known: Mapping[str, Any] = {"facts": {"made": "up"}, **more}
    try:
        found = run_experiment(asked, folder / "results", environment(folder), SEED, told, **known)
    except EndedError as ended:
        found = ended.folder
    return results.read(found)


def once(doing: str, what: Callable[[], object], repeat: int = 1) -> Told:
    """Do something when a trial of that repeat first comes to some step."""
    done: list[Step] = []

    def told(step: Step) -> None:
        if step.doing == doing and step.repeat == repeat and not done:
            done.append(step)
            what()

    return told


def kill(word: str) -> None:
    """SIGKILL to the newest process below this one whose command line has this word and whose parent's has not.

    The workers of a server share its command line; older ones are other tests'.
    """
    found, parents = list[int](), [os.getpid()]
    while parents:
        children = [child for parent in parents for child in process.children(parent)]
        found += [child for child in children if word in _command(child)]
        parents = [child for child in children if child not in found]
    assert found, f"no process has {word!r} in its command line"
    os.kill(max(found, key=process.age_order), signal.SIGKILL)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        return ""


def two(folder: Path) -> Experiment:
    """A pair, and then a stream."""
    return ask(folder, SINGLES, STREAM)


def main() -> None:
    """Run two trials in a folder, the pair first, saying each step; exit as `lab run` does."""
    folder = Path(sys.argv[1])
    asked = two(folder)
    seed = next(seed for seed in range(100) if order.planned(asked, seed)[0][0].arm.name == "pair")
    try:
        run_experiment(
            asked,
            folder / "results",
            environment(folder),
            seed,
            lambda step: print(step.arm, step.doing, flush=True),
            facts={},
        )
    except EndedError as ended:
        sys.exit(ended.code)


if __name__ == "__main__":
    main()
