"""Loaded by Locust before a locustfile of the user's: every request that Locust tells of goes into the recording.

locust -f locustfiles/theirs.py,SHOP/locustfile.py --headless -u 20 -r 20 --host http://127.0.0.1:8000
SIGUSR1 drains it: Locust lets every user finish its task, and the recording ends.
"""

# Locust is only partly typed.
# mypy: disable-error-code="no-untyped-call,untyped-decorator"

import signal
import sys
import time
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gevent
import locust.main
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # Locust is started in a folder of the user's

from locustfiles import client, fence
from locustfiles.recorder import Recorder
from waitlab import descriptors
from waitlab.drive.record import Outcome

sys.path.pop(0)
for name in [name for name in sys.modules if name.partition(".")[0] == "locustfiles"]:
    del sys.modules[name]  # the user may have a package of that name

client.install()  # a request is sent once, and counts once
# Where no file has users Locust has pytest collect them all, this one too, and says nothing of use about it.
locust.main.load_locustfile_pytest = lambda path: {}  # type: ignore[attr-defined]
recorder: Recorder
ended_at: "WeakKeyDictionary[Any, float]" = WeakKeyDictionary()  # a user's greenlet -> its last answer


@events.init_command_line_parser.add_listener
def add_arguments(parser: LocustArgumentParser) -> None:
    """What the runner says of the load."""
    parser.add_argument("--record-to", default=".", help="folder of the recording")
    parser.add_argument("--only", default="-", help="addresses beside loopback that may be asked; - for none")
    parser.add_argument("--patience-s", type=float, default=30.0, help="a user may take so long to finish its task")


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Once, when all listeners of the user's are there and nothing runs yet."""
    global recorder
    descriptors.raise_limit()
    gevent.get_hub().loop.update_now()  # it has stood still while everything was imported
    options: Any = environment.parsed_options
    fence.install(options.only.split())
    environment.shape_class = options.run_time = None  # who measures says how many users there are, and how long
    environment.stop_timeout = options.patience_s
    recorder = Recorder(Path(options.record_to))
    environment.events.request.add_listener(record)
    gevent.signal_handler(signal.SIGUSR1, drain, environment)


def record(response_time: float, exception: Exception | None, response: Any = None, **_: Any) -> None:
    """One request of any user, as Locust tells of it: when it is over, and how long it took in ms.

    `rest` is what passed since the same user's last request: its wait_time, and whatever else its task does.
    """
    user, ended = gevent.getcurrent(), time.monotonic()
    sent = ended - (response_time or 0.0) / 1000
    rest = max(0.0, sent - ended_at.get(user, sent))
    ended_at[user] = ended
    status = int(getattr(response, "status_code", 0) or 0)
    recorder.sent += 1
    recorder.answer(sent, sent, ended, rest, status, _outcome(exception, status), 0)


def drain(environment: Environment) -> None:
    """No user begins another task; the recording ends with the last answer."""
    assert environment.runner is not None
    began, before = time.monotonic(), dict(ended_at)
    environment.runner.stop()
    environment.events.request.remove_listener(record)
    for user, ended in before.items():
        if ended_at.get(user) == ended:  # it rested until now, and sent nothing more
            recorder.left(began, began - ended)
    recorder.end()


def _outcome(exception: Exception | None, status: int) -> int:
    """A task may call any answer bad or good, whatever its status: it knows what the answer should be."""
    if exception is None:
        return int(Outcome.GOOD)
    refused = isinstance(exception, ConnectionRefusedError) or "refused" in str(exception)
    return int(Outcome.BAD_STATUS if status else Outcome.REFUSED if refused else Outcome.RESET)
