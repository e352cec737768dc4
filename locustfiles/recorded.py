"""The file Locust loads for a trial: one fixed request, or a mix, every answer written down for the runner.

Users in a closed loop, users who hold connections, or arrivals on a schedule; beside any of them, if asked for, a
victim: a light stream on a schedule; and in their background closed loops of other requests.
SIGUSR1 drains it: nobody sends any more, what is under way gets its answer, and the recording ends.
"""

# Locust is only partly typed.
# mypy: disable-error-code="no-untyped-call,untyped-decorator"

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # Locust is started in the folder of a trial

from locustfiles import fence, mix, secret
from locustfiles.held import CLIENTS, Holding, Over
from locustfiles.holding import holding
from locustfiles.mix import Mix
from locustfiles.recorder import Recorder
from locustfiles.stream import ClosedLoop, Leaving, Schedule, Target
from waitlab import descriptors
from waitlab.drive.record import BACKGROUND, VICTIM

ARGUMENTS: tuple[tuple[str, type, Any, str], ...] = (
    ("--url", str, "", "base URL of the service"),
    ("--request", str, "/", "path and query that is measured"),
    ("--client", str, "request", f"what a user does: request, {', '.join(CLIENTS)}"),
    ("--think-ms", float, 0.0, "how long a user rests between answer and next request"),
    ("--rate", float, 0.0, "requests a second that Arrivals send, evenly spaced"),
    ("--victim", str, "", "path and query of Victim's light stream"),
    ("--victim-rate", float, 0.0, "requests a second of it"),
    ("--background", str, "", "paths and queries, with blanks between them, that Background asks too"),
    ("--background-users", int, 0, "users in a closed loop of each of them"),
    ("--patience-s", float, 120.0, "without a sign of an answer for so long, there is none"),
    ("--record-to", str, ".", "folder of the recording"),
    ("--mix", str, "", "file with the requests that are measured, in place of --request"),
    ("--only", str, "", "addresses beside loopback that may be asked, with blanks between them; - for none"),
)

# Locust workers forked by --processes inherit the secret of their port.
secret.install(os.environ.get(secret.VARIABLE) or os.urandom(32).hex())
leaving, over = Leaving(), Over()
victim_ready = Event()  # the load begins then
loop: ClosedLoop
holders: Holding
recorder: Recorder


class Visitor(User):
    """Sends the request, waits for the answer, rests, and begins again."""

    @task
    def visit(self) -> None:
        victim_ready.wait()
        loop.visit()
        raise StopUser


class Holder(User):
    """Opens a connection and holds it, as the kind of client does that was asked for."""

    @task
    def hold(self) -> None:
        victim_ready.wait()
        holders.hold()
        raise StopUser


class Arrivals(User):
    """Sends the request when it is due, however many are still unanswered."""

    fixed_count = 1

    @task
    def arrive(self) -> None:
        options: Any = self.environment.parsed_options
        victim_ready.wait()
        target = Target(recorder, options.url, _asked(options), options.patience_s)
        Schedule(target, options.rate, leaving).run()
        raise StopUser


class Victim(User):
    """The light stream beside a load."""

    fixed_count = 1

    @task
    def arrive(self) -> None:
        options: Any = self.environment.parsed_options
        target = Target(recorder, options.url, options.victim, options.patience_s, VICTIM)
        schedule = Schedule(target, options.victim_rate, leaving, is_victim=True)
        schedule.open()
        victim_ready.set()
        schedule.run()
        raise StopUser


class Background(User):
    """Closed loops of other requests beside the load, each with users of its own, who rest as the load's do."""

    fixed_count = 1

    @task
    def visit(self) -> None:
        options: Any = self.environment.parsed_options
        victim_ready.wait()
        loops = [_closed_loop(options, request, BACKGROUND) for request in options.background.split()]
        users = [gevent.spawn(one.visit) for one in loops for _ in range(options.background_users)]
        gevent.joinall(users, raise_error=True)
        raise StopUser


@events.init_command_line_parser.add_listener
def add_arguments(parser: LocustArgumentParser) -> None:
    """What the runner says of the load."""
    for name, kind, default, help_text in ARGUMENTS:
        parser.add_argument(name, type=kind, default=default, help=help_text)
    parser.set_defaults(master_bind_host="127.0.0.1")


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Once a Locust process, after any fork and before its first user."""
    global loop, holders, recorder
    descriptors.raise_limit()
    if isinstance(environment.runner, MasterRunner):
        return
    gevent.get_hub().loop.update_now()  # it has stood still while everything was imported
    gevent.signal_handler(signal.SIGUSR1, drain)
    options: Any = environment.parsed_options
    if options.only:
        fence.install(options.only.split())
    recorder = Recorder(Path(options.record_to))
    if not options.victim or isinstance(environment.runner, WorkerRunner):  # which of the processes has it, none knows
        victim_ready.set()
    loop = _closed_loop(options, _asked(options))
    if options.client in CLIENTS:
        holders = holding(options, recorder, over)
    gc.collect()
    gc.freeze()  # collections are then too short to delay a request


def _asked(options: Any) -> str | Mix:
    return mix.read(Path(options.mix)) if options.mix else str(options.request)


def _closed_loop(options: Any, request: str | Mix, mark: int = 0) -> ClosedLoop:
    target = Target(recorder, options.url, request, options.patience_s, mark)
    return ClosedLoop(target, options.think_ms / 1000, leaving)


def drain() -> None:
    """Nobody sends any more; the recording ends with the last answer."""
    leaving.begin()
    over.begin()
    while recorder.under_way:
        gevent.sleep(0.01)
    recorder.end()
