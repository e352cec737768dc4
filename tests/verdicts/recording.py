"""Records tests/verdicts/recorded anew: small experiments, really run, that end as their folder's name says.

`python -m tests.verdicts.recording [NAME...]` on an idle machine, after the format of results changed.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from unittest import mock

from tests.runner import small
from waitlab import experiment, results
from waitlab.experiment import Arm
from waitlab.runner import cores, service
from waitlab.runner.cores import Share
from waitlab.runner.run import EndedError, Step
from waitlab.runner.run import run as run_experiment
from waitlab.runtime.local.state import PROJECT

FOLDER = Path(__file__).with_name("recorded")
QUESTIONS = Path(__file__).with_name("questions")
SEED = 7
STRAY_REQUESTS = 4
LESS_THAN_A_LINE = 500  # bytes

Told = Callable[[Step], None]


def run(place: Path, question: str, told: Told = lambda step: None) -> None:
    """Run a question in a lab of its own."""
    with suppress(EndedError):
        run_experiment(experiment.read(QUESTIONS / f"{question}.toml"), place, small.environment(place), SEED, told)


def good(place: Path) -> None:
    """Nobody disturbs it."""
    run(place, "waiting")


def noisy(place: Path) -> None:
    """On every core somebody else computes, a twentieth of each fifth of a second."""
    with ExitStack() as hogs:
        for core in cores.usable():
            hogs.enter_context(_hog(core))
        run(place, "computing")


@contextmanager
def _hog(core: int) -> Iterator[None]:
    computes = (
        "import os, time\n"
        f"os.sched_setaffinity(0, {{{core}}})\n"
        "while True:\n"
        "    until = time.monotonic() + 0.05\n"
        "    while time.monotonic() < until: pass\n"
        "    time.sleep(0.15)\n"
    )
    # Through a shell that ends at once, so that it is nobody's child: the runner counts its own family as its own work.
    words = ["sh", "-c", '"$0" -c "$1" >/dev/null & echo $!', sys.executable, computes]
    pid = int(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)


def generator_bound(place: Path) -> None:
    """Two hundred users of what answers at once, and the service may use the generator's core too."""
    run(place, "fast")


def broken(place: Path) -> None:
    """The sync arm: a stranger asks in its first repeat, its second begins to answer wrongly, its third is killed."""
    now: list[Step] = []
    configured = service.configured

    def gone_wrong(arm: Arm, share: Share) -> dict[str, str]:
        wrong = {"APP": "tests.runner.wrong_apps:app", "WRONG": "wrong later"}
        return configured(arm, share) | (wrong if (arm.name, now[-1].repeat) == ("sync", 2) else {})

    def told(step: Step) -> None:
        now.append(step)
        if (step.arm, step.doing) == ("sync", "measuring"):
            if step.repeat == 1:
                _ask_by_the_way(place)
            if step.repeat == 3:
                small.kill("waitlab.serve")

    with mock.patch.object(service, "configured", gone_wrong):
        run(place, "waiting", told)


def _ask_by_the_way(place: Path) -> None:
    (serve,) = place.glob("home/trials/trial-*/run/serve.json")
    for _ in range(STRAY_REQUESTS):
        urllib.request.urlopen(f"{json.loads(serve.read_text())['url']}/sync/sleep?ms=200").close()


def interrupted(place: Path) -> None:
    """Ctrl-C in the middle of the second round."""

    def told(step: Step) -> None:
        if (step.repeat, step.doing) == (2, "measuring"):
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    run(place, "waiting", told)


def cut_off(place: Path) -> None:
    """Killed in the middle of its last line: of what a file has no room for the kernel writes a part, then it kills."""
    words = [sys.executable, "-m", "tests.verdicts.recording", "--until-killed", str(place)]
    killed = subprocess.run(words, cwd=PROJECT, check=False)
    assert killed.returncode == -signal.SIGXFSZ, killed


def _until_killed(place: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    def told(step: Step) -> None:
        if (step.done, step.doing) == (step.of - 1, "ending"):
            (trials,) = place.glob(f"*-waiting/{results.TRIALS}")
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (trials.stat().st_size + LESS_THAN_A_LINE, resource.RLIM_INFINITY)
            )

    run(place, "waiting", told)


KINDS = {
    "good": good,
    "noisy": noisy,
    "generator-bound": generator_bound,
    "broken": broken,
    "interrupted": interrupted,
    "cut-off": cut_off,
}


def main() -> None:
    """Record those that are named, or all; each takes the place of an earlier one."""
    if sys.argv[1:2] == ["--until-killed"]:
        _until_killed(Path(sys.argv[2]))
        return
    for name in sys.argv[1:] or KINDS:
        with tempfile.TemporaryDirectory() as place:
            KINDS[name](Path(place))
            (folder,) = Path(place).glob("20*")
            shutil.rmtree(FOLDER / name, ignore_errors=True)
            shutil.copytree(folder, FOLDER / name)


if __name__ == "__main__":
    main()
