"""[load] and [arms.NAME] of an experiment: every list expands, and what is left is one configuration after another."""

import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

from waitlab.experiment import paths, tables
from waitlab.experiment.question import THEIR_MIX, Arm, Load
from waitlab.experiment.tables import Check, Place
from waitlab.serve import settings

MOST_ARMS = 64
FORMS = ("users", "concurrent", "rate")
CLIENTS = ("request", "sse", "websocket", "upload", "reader", "idle")
RESTING = ("request", "sse", "websocket")  # clients that rest between one thing and the next
FEWEST_IN_DUET, MOST_IN_DUET = 2, 4
MOST_IN_BACKGROUND = 4
ANY_PATH = tables.matching(r"/[!-~]{0,300}", "a path with its query, such as /orders?page=1")
PATH = tables.matching(r"/[!-~]{1,300}", "a path with its parameters, such as /sync/sleep?ms=200")


def _paths(value: object) -> tuple[str, ...]:
    """Different requests, in a list; none where an arm takes back what [load] says."""
    try:
        found = tuple(PATH(one) for one in value) if isinstance(value, list) else None
    except ValueError:
        found = None
    if found is None or len(found) > MOST_IN_BACKGROUND or len(set(found)) < len(found):
        raise ValueError(f'a list of at most {MOST_IN_BACKGROUND} different paths, such as ["/sync/sleep?ms=200"]')
    return found


LOAD: dict[str, Check] = {
    "users": tables.whole(1, 10_000),
    "think_ms": tables.whole(0, 600_000),
    "concurrent": tables.whole(1, 20),
    "rate": tables.number(0.01, 10_000),
    "seconds": tables.number(1, 3_600),
    "repeats": tables.whole(1, 100),
    "inner_repeats": tables.whole(1, 100),
    "victim": PATH,
    "expects_errors": tables.switch,
    "duet": tables.switch,
    "client": tables.choice(*CLIENTS),
    "background": _paths,
    "background_users": tables.whole(1, 1_000),
}


def _setting(name: str, kind: type) -> Check:
    """A knob of a service, held to the bounds that waitlab.serve gives its setting."""
    (row,) = (row for row in settings.TABLE if row.name == name.upper())

    def check(value: object) -> object:
        if type(value) is not kind:
            names = {int: "a whole number", bool: "true or false", str: "a word in quotes"}
            raise ValueError(f"{names[kind]}: {row.help}")
        row.parse(str(value))
        return value

    return check


KNOBS: dict[str, Check] = {
    **{name: _setting(name, str) for name in ("server", "worker_class")},
    **{name: _setting(name, int) for name in ("workers", "threads", "tokens", "executor_threads", "pool_size")},
    "preload": _setting("preload", bool),
    **{name: _setting(name, str) for name in ("loop", "traces", "middleware")},
    "receivers": _setting("receivers", bool),
    "cores": tables.whole(1, 1_024),  # whether this machine has them is not the file's fault
    "backlog": _setting("backlog", int),
    "access_log": _setting("access_log", bool),
    "upstream_concurrency": tables.whole(1, 10_000),
    "upstream_keep_alive": tables.switch,
    "upstream_delay_ms": tables.whole(0, 60_000),
    "edge": tables.choice("off", "buffered", "unbuffered"),
    "replicas": tables.whole(1, 4),
}
EXPANDS = ("service", "request", *FORMS, "client", "think_ms", *KNOBS)


def _service(value: object) -> str:
    """One of the lab's, or the file that describes one of the user's own."""
    if isinstance(value, str) and (value in paths.OFFERED or re.fullmatch(r"[^\x00-\x1f]{1,300}\.toml", value)):
        return value
    raise ValueError(f"one of {', '.join(paths.OFFERED)}, or the path of the lab.toml that describes your own")


ARM: dict[str, Check] = {"service": _service, "request": PATH, **LOAD, **KNOBS}
# Of an arm whose service is the user's own: lab.toml says how a knob reaches it, and its load is one of requests.
OWN: dict[str, Check] = {
    **{"service": _service, "request": ANY_PATH},
    **{key: check for key, check in LOAD.items() if key not in ("client", "duet", "background", "background_users")},
    "victim": ANY_PATH,
    "workers": tables.whole(1, 512),
    "worker_class": tables.matching(r"[A-Za-z_][\w.]{0,99}", "a word, such as gthread"),
    "threads": tables.whole(1, 10_000),
    "pool_size": tables.whole(1, 1_000),
    "cores": KNOBS["cores"],
}


def read_load(place: Place, found: object) -> dict[str, Any]:
    """What [load] says for all arms."""
    given = tables.read(place, found, LOAD)
    _refuse_two_forms(place, given)
    return given


def read(place: Place, found: object, shared: Mapping[str, Any]) -> tuple[Arm, ...]:
    """Every arm, in the file's order; of the lists in one table the last one varies fastest."""
    arms: list[Arm] = []
    for family, table in tables.as_table(place, found).items():
        if not re.fullmatch(r"[\w(][\w ,.+/()'-]{0,79}", family):
            raise place.at(family).fault("is no name", "an arm's name is made of letters, digits, blanks and ,.+/()'-")
        arms += _family(place.at(family), family, tables.as_table(place.at(family), table), shared, len(arms))
    if not arms:
        raise place.fault("is empty", "name what is compared: [arms.NAME]")
    _check_duet(place, [arm for arm in arms if arm.load.duet])
    return tuple(arms)


def _check_duet(place: Place, members: list[Arm]) -> None:
    """Those that share one core: two to four, each with the same window and repeats, and nothing beside its load."""
    if members and not FEWEST_IN_DUET <= len(members) <= MOST_IN_DUET:
        counted = f"{len(members)} arm{'s' if len(members) > 1 else ''} in duet"
        raise place.fault(f"has {counted}", f"say duet = true in {FEWEST_IN_DUET} to {MOST_IN_DUET} arms")
    for arm in members:
        at = place.at(arm.family)
        given = [key for key in ("concurrent", "victim", "background") if getattr(arm.load, key)]
        given += [key for key in ("cores",) if key in arm.knobs]
        if given:
            raise at.at(given[0]).fault("does not go with duet", "all arms in duet share one core, each with its load")
        for key in ("repeats", "seconds"):
            mine, others = getattr(arm.load, key), getattr(members[0].load, key)
            if mine != others:
                hint = f"all arms in duet have the same window and repeats: {members[0].name} says {others:g}"
                raise at.at(key).fault(f"= {mine:g} differs within the duet", hint)


def _family(place: Place, name: str, table: Mapping[str, Any], shared: Mapping[str, Any], before: int) -> list[Arm]:
    """The members of one [arms.NAME], of which `before` are there already."""
    is_own = isinstance(table.get("service"), str) and table["service"].endswith(".toml")
    checks = OWN if is_own else ARM
    options = {key: _options(place.at(key), key, value, checks) for key, value in table.items()}
    if is_own:
        options.setdefault("request", [THEIR_MIX])
    for key in ("service", "request"):
        if key not in options:
            raise place.fault(f"has no {key}", f"add {place.at(key).key}")
    if not is_own and any(service not in paths.OFFERED for service in options["service"]):
        raise place.at("service").fault("lists a service of your own", "give it an arm to itself: it has other knobs")
    if before + math.prod(map(len, options.values())) > MOST_ARMS:
        raise place.fault(f"expands to more than {MOST_ARMS} arms in all", "shorten its lists")
    varying = [key for key, value in table.items() if isinstance(value, list) and key in EXPANDS]
    members = [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    labels = _request_labels(options["request"])
    return [_arm(place, name, _suffix(member, varying, labels), member, shared) for member in members]


def _options(place: Place, key: str, value: object, checks: Mapping[str, Check]) -> list[Any]:
    """The values that one key takes, one after the other."""
    if key not in checks:
        known = "key of an arm with a service of your own" if key in ARM else "key here"
        raise place.unknown(key, known, checks)
    if not isinstance(value, list) or key == "background":
        return [tables.checked(place, value, checks[key])]
    if key not in EXPANDS:
        raise place.fault(f"= {tables.shown(value)} is not allowed", f"{key} takes one value; lists expand in others")
    checked = [tables.checked(place, one, checks[key]) for one in value]
    if not checked or len(set(checked)) < len(checked):
        raise place.fault(f"= {tables.shown(value)} is not allowed", "a list that expands takes different values")
    return checked


def _request_labels(requests: list[str]) -> dict[str, str]:
    """What to call each request of a list: the parameters that differ, or the whole where more than they differ."""
    split = {request: paths.split(request) for request in requests}
    shared = set.intersection(*(set(parameters.items()) for _, parameters in split.values()))
    if len({path for path, _ in split.values()}) > 1:
        return {request: f"request={request}" for request in requests}
    return {
        request: " ".join(f"{key}={value}" for key, value in parameters.items() if (key, value) not in shared)
        or f"request={request}"
        for request, (_, parameters) in split.items()
    }


def _suffix(member: Mapping[str, Any], varying: list[str], labels: Mapping[str, str]) -> str:
    """What tells one member of a family from the others: empty in a family of one."""
    return " ".join(labels[member[key]] if key == "request" else f"{key}={_word(member[key])}" for key in varying)


def _word(value: object) -> str:
    """A value as the file writes it."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _arm(place: Place, family: str, suffix: str, member: Mapping[str, Any], shared: Mapping[str, Any]) -> Arm:
    load = _load(place, {key: value for key, value in member.items() if key in LOAD}, shared)
    is_labs = member["service"] in paths.OFFERED
    (_check_labs if is_labs else _check_own)(place, load, member)
    return Arm(
        name=f"{family} {suffix}".strip(),
        family=family,
        service=member["service"],
        request=member["request"],
        knobs={key: value for key, value in member.items() if key in KNOBS},
        load=load,
        described=None if is_labs else place.file.parent / member["service"],
    )


def _check_labs(place: Place, load: Load, member: Mapping[str, Any]) -> None:
    """Whether the lab's service offers what this load asks of it."""
    paths.check(place.at("request"), member["service"], member["request"])
    if load.victim:
        paths.check(place.at("victim"), member["service"], load.victim, paths.UNMEASURED)
    _check_client(place, load, paths.split(member["request"])[0])
    _check_background(place, load, member)
    _check_replicas(place.at("replicas"), load, member)


def _check_own(place: Place, load: Load, member: Mapping[str, Any]) -> None:
    """Whether [load] says nothing that a service of the user's own cannot be asked."""
    if given := [key for key in ("duet", "background") if getattr(load, key)]:
        raise place.fault(f"has {given[0]} by [load]", "a service of your own is loaded alone, by one mix of requests")
    if load.holds:
        raise place.fault(f"has client = {load.client!r} by [load]", "a service of your own is asked requests")
    if load.concurrent and member["request"] == THEIR_MIX:
        raise place.fault("has no request", f"single requests at once are all the same one: add {place.key}.request")


def _load(place: Place, own: Mapping[str, Any], shared: Mapping[str, Any]) -> Load:
    """[load], with what the arm itself says put over it: the arm's form of load takes the place of another."""
    _refuse_two_forms(place, own)
    if any(form in own for form in FORMS):
        shared = {key: value for key, value in shared.items() if key not in FORMS}
    load = Load(**{**shared, **own})
    if not any((load.users, load.concurrent, load.rate)):
        raise place.fault("has no load", f"say {', '.join(FORMS[:-1])} or {FORMS[-1]}, here or in [load]")
    if load.victim and load.concurrent:
        raise place.fault(
            "has a victim beside single requests", "say victim only where users or a rate load the service"
        )
    if load.think_ms and not load.users:
        raise place.fault("has think_ms without users", "only users think: say users, or think_ms = 0")
    return load


def _check_client(place: Place, load: Load, path: str) -> None:
    """Whether this kind of client can do what is asked of it."""
    if (load.client == "websocket") != (path == paths.SOCKET):
        raise place.at("request").fault(f"= {path!r} is not for client = {load.client!r}", _hint(load.client))
    if load.client == "sse" and not path.endswith("/sse"):
        raise place.at("request").fault(f"= {path!r} sends no events", _hint(load.client))
    if not load.holds:
        return
    at = place.at("client")
    if not load.users or load.duet:
        raise at.fault(f"= {load.client!r} holds connections", "say users, and no duet")
    if load.think_ms and load.client not in RESTING:
        raise place.at("think_ms").fault(f"is nothing that client = {load.client!r} does", "leave it out")
    if not load.victim and load.client not in RESTING:
        raise at.fault(f"= {load.client!r} shows nothing by itself", "say whom it keeps waiting: victim")


def _check_background(place: Place, load: Load, member: Mapping[str, Any]) -> None:
    """Whether what runs beside the load can, and whether the service's own account tells it from what is measured."""
    at = place.at("background")
    if "background_users" in member and not load.background:
        raise place.at("background_users").fault("has no background", "say which: background = [...]")
    if not load.background:
        return
    if load.concurrent or load.holds:
        raise at.fault("needs a load of requests", "say users or a rate, and no client that holds connections")
    if not load.background_users:
        raise at.fault("has no users", "say how many ask each of its requests: background_users")
    for request in load.background:
        paths.check(at, member["service"], request)
        path = paths.split(request)[0]
        if path in (paths.SOCKET, paths.split(member["request"])[0]):
            why = "is a WebSocket" if path == paths.SOCKET else "has the path of the request that is measured"
            raise at.fault(f"= {tables.shown(request)} {why}", "the service tells requests apart by style and workload")


def _check_replicas(at: Place, load: Load, member: Mapping[str, Any]) -> None:
    """Whether something stands in front of several of a service that leads to each, and the load goes through it."""
    if member.get("replicas", 1) == 1:
        return
    if member.get("edge", "off") == "off":
        raise at.fault("needs an edge, which shares requests out to them", 'say edge = "buffered" or "unbuffered"')
    if load.concurrent:
        raise at.fault("needs a load of users or a rate", "single requests do not go through the edge")


def _hint(client: str) -> str:
    words = {"websocket": f"it speaks to {paths.SOCKET}", "sse": "it reads /STYLE/sse"}
    return words.get(client, 'say client = "websocket"')


def _refuse_two_forms(place: Place, given: Mapping[str, Any]) -> None:
    forms = [form for form in FORMS if form in given]
    if len(forms) > 1:
        raise place.fault(f"says {' and '.join(forms)}", "one load has one form: users, concurrent or rate")
