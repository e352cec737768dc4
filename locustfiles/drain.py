"""How a load ends: every user has its last answer, every Locust worker's last report is counted, and nobody waits long.

Without this Locust drops what is in flight, and a master gives its Locust workers half a second for their last figures:
with answers of some seconds, whole runs would be missing from its totals while the services counted them.
"""

# Locust is only partly typed.
# mypy: disable-error-code="no-untyped-call"

import os
import signal
from typing import Any

import gevent
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

DRAIN_SECONDS = 30  # at most, for the answers in flight when a load ends
LEAVE_SECONDS = 1  # the same for a Locust that was told to go away, by SIGTERM or Ctrl-C
TIMEOUT = "stop_timeout"


def install(environment: Environment) -> None:
    """To be called at init: these listeners then come before Locust's own, which fire in reverse order."""

    def leave_soon(**_: Any) -> None:
        environment.stop_timeout = min(environment.stop_timeout, LEAVE_SECONDS)

    def interrupt(*_: Any) -> None:
        leave_soon()
        raise KeyboardInterrupt

    environment.events.quitting.add_listener(leave_soon)
    # Until Locust takes SIGTERM itself, at the end of its start-up, which for a headless shape is the end of the load.
    signal.signal(signal.SIGTERM, interrupt)
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message(TIMEOUT, take_timeout)
        # A stopped Locust worker sleeps this long plus the drain time, for nothing, before it can be started again.
        os.environ["LOCUST_WORKER_ADDITIONAL_WAIT_BEFORE_READY_AFTER_STOP"] = str(-int(environment.stop_timeout))
    if isinstance(environment.runner, MasterRunner):
        wait_for_last_reports(environment.runner)


def take_timeout(environment: Environment, msg: Message, **_: Any) -> None:
    """The master says for how long its Locust workers may drain."""
    environment.stop_timeout = msg.data


def wait_for_last_reports(master: MasterRunner) -> None:
    """Put a wait into the master's quit(): a Locust worker says that it quits after it has sent its last report."""
    quit_at_once = master.quit

    def quit_after_reports() -> None:
        timeout = master.environment.stop_timeout
        master.stop(send_stop_to_client=False)
        for worker in master.clients.all:
            master.server.send_to_client(Message(TIMEOUT, timeout, worker.id))
            master.server.send_to_client(Message("quit", None, worker.id))
        with gevent.Timeout(timeout + 1, False):  # type: ignore[arg-type]  # False: no exception
            while master.worker_count:
                gevent.sleep(0.05)
        master.clients.clear()  # who is silent until now is not waited for again; Locust quits twice
        quit_at_once()

    master.quit = quit_after_reports  # type: ignore[method-assign]
