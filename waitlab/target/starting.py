"""A target that is started with its command, on cores of its own, and is gone afterwards with all that it started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from waitlab import process
from waitlab.errors import LabError
from waitlab.runner.cores import kept_to
from waitlab.runtime import pages
from waitlab.runtime.local import logs, ports
from waitlab.target import address, processes
from waitlab.target.service import Around, Service
from waitlab.target.settings import Setting
from waitlab.target.target import Target

LOG = "service.log"
START_SECONDS, START_A_WORKER_SECONDS = 30.0, 2.0
STOP_SECONDS, STOP_A_WORKER_SECONDS = 6.0, 0.5
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 5.0


@contextmanager
def started(target: Target, setting: Setting, around: Around, inherited: Mapping[str, str]) -> Iterator[Service]:
    """The target with this setting for the length of a `with`; its log and its files are in `around.folder`.

    LabError with its last words when it does not start, 106 when somebody else has its port.
    """
    port = _port(target)
    url, log, run_dir = target.url.replace("{port}", str(port)), around.folder / LOG, around.folder / "run"
    log.unlink(missing_ok=True)
    before = set(process.children(os.getpid()))
    own = {"RUN_DIR": str(run_dir)} if target.scale == "control" else {}
    child = _start(target, setting, port, around, {**inherited, **own})
    try:
        service = Service(target, setting, url, child.pid, around, _ailment(child, log))
        if target.scale == "control":
            service.run_dir = run_dir
        _await(service, child, log)
        service.settle()
        _give_workers(service)
        yield service
    finally:
        process.stop(child, STOP_SECONDS + STOP_A_WORKER_SECONDS * setting.workers)
        _end_what_is_left(before)


def _port(target: Target) -> int:
    """The one that its address names, free; or any."""
    if "{port}" not in target.url:
        port = address.port_of(target.url)
        ports.require_free({"service.url in lab.toml": port})
        return port
    return ports.free()


def _start(
    target: Target, setting: Setting, port: int, around: Around, inherited: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    words = target.command(setting, port)
    if target.scale == "control":
        words[0] = sys.executable
    environment = {**inherited, **target.environment(setting, port)}
    with kept_to(around.share.service):
        try:
            return process.start(words, environment=environment, log=around.folder / LOG, cwd=target.directory)
        except OSError as error:
            remedy = "activate the virtual environment that has it, or write its whole path"
            raise LabError(f"service.command cannot be started: {error}", remedy, 122) from None


def _give_workers(service: Service) -> None:
    """By signals, where nothing that starts it takes their number. LabError where it does not come to have so many."""
    wanted, target = service.setting.workers, service.target
    if not wanted or target.takes_workers or target.scale != "signals":
        return
    service.setting = replace(service.setting, workers=0)  # it has its own number yet
    if not service.scale(wanted):
        remedy = "its master must take TTIN and TTOU: put {workers} into its command otherwise"
        raise LabError(f"{target.name} cannot be given {wanted} workers", remedy, 2)


def _ailment(child: subprocess.Popen[bytes], log: Path) -> Callable[[], str]:
    return lambda: "" if process.is_alive(child.pid) else f"the service ended:\n{logs.last_words(log)}"


def _await(service: Service, child: subprocess.Popen[bytes], log: Path) -> None:
    """Until its health answers 2xx, from a process of its own."""
    target = service.target
    seconds = START_SECONDS + START_A_WORKER_SECONDS * service.setting.workers
    until = time.monotonic() + seconds
    while why := _unhealthy(service, child):
        ended = child.poll() is not None
        if ended or time.monotonic() > until:
            how = "ended at its start" if ended else f"does not serve after {seconds:.0f} s: {why}"
            remedy = "its command must stay in the foreground" if child.poll() == 0 else "try the command by hand: "
            remedy += "" if child.poll() == 0 else target.typed(service.setting)
            raise LabError(f"{target.name} {how}\n{logs.last_words(log)}", remedy, 122)
        time.sleep(POLL_SECONDS)


def _unhealthy(service: Service, child: subprocess.Popen[bytes]) -> str:
    """Why it does not serve yet, in words; empty when it does."""
    if service.run_dir and not (service.run_dir / "serve.json").exists():
        return "its workers start"
    if why := ailment(service.url + service.target.health):
        return why
    tree, held = processes.tree(child.pid), processes.holders(service.port)
    if tree and held and not set(held) & set(tree.pids):
        return f"on port {service.port} somebody else answers (process {held[0]})"
    return ""


def ailment(url: str) -> str:
    """Why a page does not answer 2xx, in words; empty when it does."""
    try:
        status, _ = pages.get(url, PATIENCE_SECONDS)
    except TimeoutError:
        return f"{url} does not answer within {PATIENCE_SECONDS:.0f} s"
    except OSError as error:
        return f"{url} does not answer: {error.strerror or error}"
    except ValueError:
        return f"{url} does not speak HTTP"
    return "" if 200 <= status < 300 else f"{url} answers {status}: service.health names a page that answers 200"


def _end_what_is_left(before: set[int]) -> None:
    """A command that went into the background, or whose master was killed, has left what is a child of ours now."""
    for pid in set(process.children(os.getpid())) - before:
        for below in reversed(tree.pids if (tree := processes.tree(pid)) else ()):
            with suppress(ProcessLookupError):
                os.kill(below, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
