"""A target that runs already: found by its port or its pid file, and left with as many workers as it had.

Only the master that was found first is ever sent a signal. Another one in its place, as after a deployment, has the
worker count that its owner gave it: that ends the measuring, and nothing is done to it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from waitlab.errors import LabError
from waitlab.target import address, processes, starting
from waitlab.target.compose import Composed
from waitlab.target.processes import Process
from waitlab.target.service import Around, Service
from waitlab.target.settings import Setting
from waitlab.target.target import Target


@contextmanager
def found(target: Target, around: Around) -> Iterator[Service]:
    """The service for the length of a `with`; afterwards it has its worker count back.

    LabError 122 when it is down. Its processes are not to be seen, and `pid` is None, where it is another user's or on
    another machine.
    """
    if why := starting.ailment(target.url + target.health):
        raise LabError(f"{target.name} is down: {why}", "start it, and see service.url in lab.toml", 122)
    root = _root(target) if target.pid_file or not around.only else None
    number = processes.master(address.port_of(target.url)) if root else None
    master = processes.known(number) if number else None
    known = [one for one in (master, root) if one]
    pid = root.pid if root else None
    service = Service(target, Setting(workers=0), target.url, pid, around, lambda: _ailment(target, known))
    service.master = master
    had = service.workers
    service.setting = replace(service.setting, workers=had)
    try:
        yield service
    finally:
        if had and not _ailment(target, known):
            service.scale(had)


def give(service: Service, setting: Setting) -> None:
    """Make it run with this setting, as far as a service that runs can. LabError 2 for one that it cannot have."""
    if isinstance(service, Composed):
        service.give(setting)
        return
    service.must_serve()
    if (setting.worker_class, setting.threads, setting.pool_size) != ("", 0, 0):
        message = f"{service.target.name} runs already: it cannot be given {setting}"
        raise LabError(message, "only workers can change while it runs; service.command in lab.toml starts it anew", 2)
    if setting.workers in (0, service.workers):
        return
    if not service.scale(setting.workers):
        message = f"{service.target.name} cannot be given {setting.workers} workers while it runs"
        remedy = (
            'its master must take TTIN and TTOU (gunicorn, uvicorn with workers) and lab.toml say scale = "signals"'
        )
        raise LabError(message, remedy, 2)


def _root(target: Target) -> Process | None:
    """What its processes are below; None where they are not to be seen."""
    if target.pid_file:
        try:
            pid = int(target.pid_file.read_text())
        except (OSError, ValueError):
            message = f"{target.pid_file} names no process"
            raise LabError(message, "leave service.pid_file out: its port tells, too", 122) from None
        if not (root := processes.known(pid)):
            raise LabError(f"process {pid} of {target.pid_file} is gone", "the file is of an older run", 122)
        return root
    master = processes.master(address.port_of(target.url))
    return processes.known(master) if master else None


def _ailment(target: Target, known: Sequence[Process]) -> str:
    """Why it is not what was found: known of processes that are to be seen, and else by its answers alone."""
    gone = next((one.pid for one in known if not processes.lives(one)), None)
    if gone is None:
        return ""
    now = processes.master(address.port_of(target.url))
    then = f"process {now} serves in its place" if now else "nothing is seen to serve in its place"
    return f"{target.name} changed while it was measured: its process {gone} is gone, and {then}"
