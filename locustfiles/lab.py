"""The file Locust loads: user classes and choices, and what guards and exports them. It alone reads the environment.

locust -f locustfiles/lab.py                                                            the web UI on 127.0.0.1:8089
locust -f locustfiles/lab.py --headless -u 20 -t 8s --service fastapi --style blocked IoBound
"""

# Locust is only partly typed.
# mypy: disable-error-code="no-untyped-call,untyped-decorator"

import os
import secrets
import sys
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

sys.path.append(str(Path(__file__).resolve().parent.parent))  # Locust may be started in any folder

from locustfiles import client, drain, exporter, order, rounding, secret, shapes, ui
from locustfiles.arguments import NO_SHAPE, arguments
from locustfiles.classes import OWN_WORKLOADS
from locustfiles.request import Refused
from locustfiles.slow import Idle, SlowReader, SlowUpload
from locustfiles.users import (
    DEFAULT_USERS,
    CpuBound,
    IoBound,
    LabUser,
    Mixed,
    OneRequest,
    Profile,
    Sse,
    WebSocket,
)
from waitlab import descriptors

__all__ = [
    "CpuBound",
    "Idle",
    "IoBound",
    "Mixed",
    "OneRequest",
    "Profile",
    "SlowReader",
    "SlowUpload",
    "Sse",
    "WebSocket",
]

try:
    ADDRESSES = order.read_addresses(os.environ.get("LAB_SERVICES"))
    SITE = order.read_site(os.environ.get("LAB_ANNOUNCE"))
except Refused as refused:
    sys.stderr.write(f"locust: error: {refused}\n")
    sys.exit(2)

LabUser.addresses = ADDRESSES
ARGUMENTS = arguments(ADDRESSES, shapes.SHAPES)
client.install()
rounding.install()
ui.send_no_cors_headers()
# Locust workers forked by --processes inherit a secret made here; to any other it has to be given.
secret.install(os.environ.get(secret.VARIABLE) or secrets.token_hex(32))


@events.init_command_line_parser.add_listener
def add_arguments(parser: LocustArgumentParser) -> None:
    """The lab's own choices, its defaults, and a check of all that was chosen."""
    for argument in ARGUMENTS.values():
        argument.add_to(parser)
    loopback = {"web_host": "127.0.0.1", "master_bind_host": "127.0.0.1"}
    parser.set_defaults(class_picker=True, stop_timeout=str(drain.DRAIN_SECONDS), **loopback)
    parse = parser.parse_args

    def parse_and_check(*args: Any, **kwargs: Any) -> Any:
        # Here and not at init: nothing has been forked and no port is open yet.
        options = parse(*args, **kwargs)
        try:
            check_options(options)
        except Refused as refused:
            parser.error(str(refused))
        return options

    parser.parse_args = parse_and_check


def check_options(options: Any) -> None:
    """Refused unless the command line and the environment ask for a load that can be."""
    if (options.master or options.worker) and not os.environ.get(secret.VARIABLE):
        raise Refused(
            f"--master and --worker need {secret.VARIABLE}, the same random text for both: the worker port takes only "
            "Locust workers that know it."
        )
    if options.shape != NO_SHAPE and (options.num_users is not None or options.run_time is not None):
        raise Refused("--shape owns users and length: use --shape-users and --shape-seconds instead of -u and -t.")
    for settings in (one for given in options.config_users or () for one in given):
        order.check_user_settings(settings, OWN_WORKLOADS, ADDRESSES)
    starts_at_once = options.headless or options.autostart
    if starts_at_once and not options.worker and not options.user_classes:
        options.user_classes = list(DEFAULT_USERS)
    names = options.user_classes or ()
    known = {name: OWN_WORKLOADS[name] for name in names if name in OWN_WORKLOADS}  # Locust itself refuses the others
    order.check(vars(options), known, ADDRESSES)


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Once a Locust process, when its runner and its web UI are there and nothing runs yet."""
    descriptors.raise_limit()
    # The event loop's clock has stood still while everything was imported: a run time would end that much too early.
    gevent.get_hub().loop.update_now()
    drain.install(environment)
    shapes.offer(environment)
    if environment.web_ui:
        further = os.environ.get("LAB_UI_HOSTS", "").replace(",", " ").split()
        ui.Door(environment, ui.names_of(environment.web_ui.port, further), ARGUMENTS, ADDRESSES).install()
    if folder := os.environ.get("LAB_TARGETS_DIR"):
        trial = (os.environ.get("LAB_RUN", ""), os.environ.get("LAB_ARM", ""))
        exporter.Exporter(environment, Path(folder), SITE, trial if all(trial) else None).start()
