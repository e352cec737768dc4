"""Which requests the lab's services answer: what an experiment may ask of them.

The lab's own table, since nothing in waitlab may import the services; a test holds it equal to services/contract.py.
Bounds of parameters are not in it: the service itself refuses a wrong value, with the right ones, before any load.
"""

from collections.abc import Iterator

from waitlab.experiment.tables import Place

PARAMETERS = {
    "ping": (),
    "sleep": ("ms",),
    "query": ("ms", "driver"),
    "fetch": ("ms", "client", "tls"),
    "read": ("kb", "cold", "ms"),
    "burn": ("rounds", "kind"),
    "mixed": ("ms", "rounds"),
    "profile": ("ms",),
    "depends": ("ms", "dep"),
    "gather": ("of", "ms", "rounds"),
    "stream": ("items", "interval_ms", "kb", "buffered"),
    "sse": ("items", "interval_ms", "kb", "buffered"),
}
SAMPLES = tuple(
    f"{sample}{form}"
    for sample in ("httpx-await", "client-per-request", "def-asyncio-run")
    for form in ("", "-corrected")
)
SOCKET = "/ws"
UNMEASURED = ("/healthz", "/readyz", "/about", "/metrics")
_FASTAPI_HAS_NO = {"/sync/gather", "/blocked/depends", "/offload/depends"}
_FLASK_HAS_NO = ("depends", "gather")
_DJANGO_HAS_NO = {  # of django-asgi; django-wsgi has its sync, and in async what needs no loop that is shared
    "sync": ("depends", "gather"),
    "async": ("depends",),
    "blocked": ("depends", "query", "profile"),
    "bridged": ("depends", "stream", "sse"),
}
_FLASK_AWAITS = ("ping", "sleep", "burn", "mixed", "gather")


def _fastapi() -> Iterator[tuple[str, tuple[str, ...]]]:
    for style in ("sync", "async", "blocked", "offload"):
        for workload, parameters in PARAMETERS.items():
            if f"/{style}/{workload}" not in _FASTAPI_HAS_NO:
                more = ("to",) if f"/{style}/{workload}" == "/offload/burn" else ()
                yield f"/{style}/{workload}", parameters + more
    for sample in SAMPLES:
        yield f"/sample/{sample}", ("ms",)
    yield SOCKET, ()


def _django() -> Iterator[tuple[str, tuple[str, ...]]]:
    for style, absent in _DJANGO_HAS_NO.items():
        for workload in PARAMETERS.keys() - set(absent):
            more = ("orm",) if f"/{style}/{workload}" == "/async/query" else ()
            yield f"/{style}/{workload}", PARAMETERS[workload] + (("sensitive",) if style == "bridged" else more)


# service -> path -> names of its parameters
OFFERED: dict[str, dict[str, tuple[str, ...]]] = {
    "flask": {f"/sync/{workload}": names for workload, names in PARAMETERS.items() if workload not in _FLASK_HAS_NO}
    | {f"/async/{workload}": PARAMETERS[workload] for workload in _FLASK_AWAITS},
    "fastapi": dict(_fastapi()),
    "django-wsgi": {path: names for path, names in _django() if path.startswith("/sync/")}
    | {f"/async/{workload}": PARAMETERS[workload] for workload in _FLASK_AWAITS}
    | {path: names for path, names in _django() if path == "/async/query"},
    "django-asgi": dict(_django()) | {SOCKET: ()},
}


def split(request: str) -> tuple[str, dict[str, str]]:
    """Path and parameters of a request; a parameter named twice keeps its last value."""
    path, _, query = request.partition("?")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return path, {name: value for name, _, value in pairs}


def pair(path: str) -> tuple[str, str]:
    """Style and workload of an offered path, as metrics are labelled with them."""
    if path == SOCKET:
        return "async", "ws"
    _, style, workload = path.split("/")
    return style, workload


def check(place: Place, service: str, request: str, more: tuple[str, ...] = ()) -> None:
    """LabError when `service` does not offer `request`, a path with parameters, nor one of the paths `more`."""
    path, parameters = split(request)
    offered = OFFERED[service]
    if path in more and not parameters:
        return
    if path not in offered:
        raise place.unknown(path, f"path of {service}", (*offered, *more))
    for name, value in parameters.items():
        if name not in offered[path]:
            raise place.unknown(name, f"parameter of {path}", offered[path])
        if not value:
            raise place.fault(f"gives {name} no value", f"write {name}=..., or leave it out for its default")
    if request.count("=") != len(parameters):
        raise place.fault("names a parameter twice", "name each parameter once")
