"""A service of the lab as a target: the same path as a user's, which is how the path is known to be right."""

from waitlab import configuration
from waitlab.errors import LabError
from waitlab.experiment import Arm, Load, paths, tables
from waitlab.runtime.local import plan, postgres
from waitlab.runtime.local.state import PROJECT
from waitlab.target.settings import Choices
from waitlab.target.target import Request, Target
from waitlab.telemetry import cgroup

WORKERS = (1, 2, 3, 4, 6, 8, 12, 16)  # and the rule of thumb, 2 x cores + 1
THREADS = (1, 2, 4, 8, 16, 32, 64)
TOKENS = (10, 20, 40, 80)
POOL_SIZES = (2, 5, 10, 20)


def of_lab(service: str, request: str) -> Target:
    """A service of the lab with one request of the contract. LabError 2 for what it does not offer."""
    if service not in plan.SERVICES:
        raise LabError(f"there is no service {tables.shown(service)}", tables.meant(service, plan.SERVICES), 2)
    known = paths.OFFERED[service]
    path = paths.split(request)[0]
    if path not in known:
        raise LabError(f"{service} does not offer {tables.shown(path)}", tables.meant(path, known), 2)
    needs = configuration.dependencies(Arm(service, service, service, request, {}, Load()))
    server, classes = next(iter(plan.SERVICES[service].servers.items()))
    is_asgi, has_pool = "asgi" in classes, "postgres" in needs
    return Target(
        name=service,
        directory=PROJECT,
        health="/healthz",
        choices=_choices(path, is_asgi=is_asgi, has_pool=has_pool),
        kind="command",
        requests=(Request(request),),
        words="python -m waitlab.serve",
        given={
            **{"APP": plan.SERVICES[service].app, "SERVICE": service, "SERVER": server},
            **{"WORKER_CLASS": "{worker_class}", "WORKERS": "{workers}", "PORT": "{port}"},
            **{"TOKENS" if is_asgi else "THREADS": "{threads}", "POOL_SIZE": "{pool_size}"},
        },
        url="http://127.0.0.1:{port}",
        scale="control",
        needs=needs,
        shown=frozenset({"APP", "SERVICE", "SERVER"}),
        prefix=f"{plan.prefix(service)}_",
    )


def _choices(path: str, *, is_asgi: bool, has_pool: bool) -> Choices:
    """Tokens are a choice only where `def` code runs in them, and connections only where there is a database."""
    is_threaded = not is_asgi or path.startswith("/sync/")
    double = 2 * int(cgroup.usable_cpus()) + 1
    return Choices(
        workers=tuple(sorted({*WORKERS, double})),
        worker_class=("asgi",) if is_asgi else ("sync", "gthread"),
        threads=(TOKENS if is_asgi else THREADS) if is_threaded else (0,),
        pool_size=POOL_SIZES if has_pool else (0,),
        connections=postgres.MAX_CONNECTIONS - postgres.RESERVED_CONNECTIONS,
    )
