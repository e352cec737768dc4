"""lab.toml, read strictly: whatever is wrong with it is found here, before anything starts."""

import hashlib
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from waitlab.experiment import tables
from waitlab.experiment.tables import Check, Place
from waitlab.target.settings import PLACEHOLDERS, Choices
from waitlab.target.target import PLACEHOLDER, Request, Scale, Target

NAME = "lab.toml"
MOST_BYTES = 64 * 1024
MOST_REQUESTS, MOST_CHOICES, MOST_CANDIDATES = 100, 32, 2_000
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SCALES = {"command": ("restart", "signals"), "url": ("signals",), "compose": ("replicas",)}
_BELONGS = {"pid_file": ("url",), "environment": ("command", "compose"), "directory": ("command", "compose")}
_LIST = 'a list such as ["orders.internal"]'


def _texts(one: Check) -> Check:
    def check(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > MOST_CHOICES:
            raise ValueError(_LIST)
        return tuple(map(one, value))

    return check


def _values(one: Check) -> Check:
    """One value, or a list of different ones."""

    def check(value: object) -> tuple[Any, ...]:
        listed = value if isinstance(value, list) else [value]
        if not listed or len(listed) > MOST_CHOICES or len(set(map(str, listed))) < len(listed):
            raise ValueError(f"one value, or a list of at most {MOST_CHOICES} different ones")
        return tuple(map(one, listed))

    return check


def _named(name: str, allowed: str, value: Check) -> Check:
    """A table of texts, each name of one form."""
    is_name = tables.matching(name, allowed)

    def check(found: object) -> dict[str, str]:
        if not isinstance(found, dict):
            raise ValueError('a table: { NAME = "value" }')
        return {is_name(key): value(text) for key, text in found.items()}

    return check


_HOST = tables.matching(r"[A-Za-z0-9.:-]{1,253}", "the name or the address of a machine, such as orders.internal")
_PATH = tables.matching(r"/[!-~]{0,2000}", "a path with its query, such as /orders?page=1")
_FILE = tables.matching(r"[^\x00-\x1f]{1,1000}", "the path of a file, relative to this one")
_LINE = tables.matching(r"[^\x00\r\n]{0,8000}", "one line of text in quotes")
_HEADER = tables.matching(r"[ -~\xa0-\xff]{0,8000}", "one line of printable characters")
_COMMAND = tables.matching(r"[^\x00\r\n]{1,8000}", "the words that start it, in one line")
_BODY = tables.matching(r"[^\x00]{0,60000}", "text")


def _weight(value: object) -> float:
    weight = float(tables.number(0, 1e6)(value))
    if not weight:
        raise ValueError("a number above 0")
    return weight


TOP: dict[str, Check] = {"service": tables.anything, "choices": tables.anything, "requests": tables.anything}
SERVICE: dict[str, Check] = {
    "name": tables.matching(r"[A-Za-z0-9][\w.-]{0,39}", "1 to 40 letters, digits, dots, dashes and underscores"),
    "command": _COMMAND,
    "url": tables.matching(r"http://[!-~]{1,300}", "an address such as http://127.0.0.1:9000"),
    "pid_file": _FILE,
    "compose": tables.matching(r"[A-Za-z0-9][\w.-]{0,99}", "the name of a service of the compose file"),
    "health": _PATH,
    "directory": _FILE,
    "environment": _named(r"[A-Za-z_]\w{0,99}", "names of variables", _LINE),
    "scale": tables.choice(*(scale for scale in get_args(Scale) if scale != "control")),
    "locustfile": _FILE,
    "allow": _texts(_HOST),
}
CHOICES: dict[str, Check] = {
    "workers": _values(tables.whole(1, 512)),
    "worker_class": _values(tables.matching(r"[A-Za-z_][\w.]{0,99}", "a word, such as gthread")),
    "threads": _values(tables.whole(1, 10_000)),
    "pool_size": _values(tables.whole(1, 1_000)),
}
REQUEST: dict[str, Check] = {
    "path": _PATH,
    "weight": _weight,
    "method": tables.choice(*METHODS),
    "headers": _named(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", "names of headers", _HEADER),
    "body": _BODY,
}


def read(file: Path) -> Target:
    """The service that lab.toml describes. LabError 2 names file, key and what was meant."""
    file, folder = _found(file)
    place = Place(file)
    top = tables.read(place, _parsed(place), TOP, needed=("service",))
    at = place.at("service")
    given = tables.read(at, top["service"], SERVICE)
    how = _how(at, given)
    choices = _choices(place.at("choices"), top.get("choices", {}))
    directory = _there(at.at("directory"), folder / given.get("directory", "."), is_folder=True)
    _check_placeholders(at, given, choices, top.get("choices", {}))
    locustfile = folder / given["locustfile"] if "locustfile" in given else None
    return Target(
        name=given.get("name") or directory.name,
        directory=directory,
        health=given.get("health", "/"),
        choices=choices,
        kind="command" if how == "command" else "running",
        requests=_requests(place, top, locustfile),
        locustfile=_there(at.at("locustfile"), locustfile) if locustfile else None,
        words=given.get("command", ""),
        given=given.get("environment", {}),
        url=_url(at, given),
        pid_file=folder / given["pid_file"] if "pid_file" in given else None,
        compose=given.get("compose", ""),
        scale=given.get("scale", "replicas" if how == "compose" else "restart"),
        allow=given.get("allow", ()),
        digest=_digest(file, locustfile),
    )


def _digest(*files: Path | None) -> str:
    """What tells a file that was changed from the one that was measured."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file)).hexdigest()[:16]


def _found(file: Path) -> tuple[Path, Path]:
    """The file, and the folder that its paths are relative to."""
    try:
        file = file / NAME if file.is_dir() else file
        if file.exists() and not file.is_file():
            raise Place(file).fault("is no file", f"{NAME} describes your service")
        return file, file.resolve().parent
    except (OSError, RuntimeError) as error:  # a name that is too long, a folder that is closed, a link to itself
        raise Place(file).fault(f"cannot be read: {error}", f"{NAME} describes your service") from None


def _parsed(place: Place) -> dict[str, Any]:
    try:
        with place.file.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise place.fault(f"cannot be read: {error.strerror}", f"{NAME} describes your service") from None
    if len(data) > MOST_BYTES:
        raise place.fault(f"is larger than {MOST_BYTES // 1024} KiB", "long bodies belong into a locustfile")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise place.fault(f"is not TOML: {error}", "see https://toml.io for its form") from None


def _how(at: Place, given: Mapping[str, Any]) -> str:
    """Which of command, compose and url says what runs: a url beside one of the others says where."""
    ways = [way for way in ("command", "compose") if way in given]
    if len(ways) > 1:
        raise at.at("compose").fault("does not go with command", "say one of them")
    if not ways and "url" not in given:
        raise at.fault("says nothing that runs", "add service.command, service.url or service.compose")
    how = ways[0] if ways else "url"
    scale = given.get("scale")
    if scale and scale not in _SCALES[how]:
        raise at.at("scale").fault(f"= '{scale}' does not go with {how}", f"it takes {' or '.join(_SCALES[how])}")
    for key, belongs in _BELONGS.items():
        if key in given and how not in belongs:
            raise at.at(key).fault(f"does not go with {how}", f"it belongs to a {' or a '.join(belongs)}")
    return how


def _url(at: Place, given: Mapping[str, Any]) -> str:
    """Where it is reached; with a command that holds {port}, a port of ours."""
    texts = (given.get("command", ""), *given.get("environment", {}).values())
    has_port = any("port" in PLACEHOLDER.findall(text) for text in texts)
    if "url" not in given and not ("command" in given and has_port):
        raise at.fault("does not say where it serves", "add service.url, or put {port} into its command")
    url = str(given.get("url", "http://127.0.0.1:{port}" if has_port else ""))
    if "{port}" in url and not has_port:
        raise at.at("url").fault("holds {port}, which nothing here takes", "write the port that it serves on")
    if not _is_whole(url.replace("{port}", "8000")):
        raise at.at("url").fault(f"= {tables.shown(url)} is not allowed", "it takes an address without a path")
    url = url.rstrip("/")
    return url if "{port}" in url or urlsplit(url).port else f"{url}:80"


def _is_whole(url: str) -> bool:
    """Whether it is an address, and no more than that."""
    try:
        parts = urlsplit(url)
        alone = f"http://{parts.netloc.rpartition('@')[2]}"
        return bool(parts.hostname) and parts.port != 0 and url.rstrip("/:") == alone
    except ValueError:
        return False


def _choices(place: Place, found: object) -> Choices:
    given = tables.read(place, found, CHOICES)
    choices = Choices(**{"workers": (0,), **given})
    if (count := len(choices.settings())) > MOST_CANDIDATES:
        raise place.fault(f"makes {count} candidates", f"shorten its lists: {MOST_CANDIDATES} at most")
    return choices


def _check_placeholders(at: Place, given: Mapping[str, Any], choices: Choices, chosen: Mapping[str, Any]) -> None:
    """Each placeholder is a choice, and each choice changes something."""
    environment = given.get("environment", {})
    texts = {"command": given.get("command", ""), **{f"environment.{name}": environment[name] for name in environment}}
    try:
        shlex.split(texts["command"])
    except ValueError as error:
        raise at.at("command").fault(f"cannot be split into words: {error}", "close its quotes") from None
    for key, text in texts.items():
        for name in PLACEHOLDER.findall(text):
            if name not in (*PLACEHOLDERS, "port"):
                raise at.at(key).unknown(name, "placeholder", (*PLACEHOLDERS, "port"))
            if name != "port" and name not in chosen:
                raise at.at(key).fault(f"holds {{{name}}}, which is no choice", f"add {name} = [...] to [choices]")
    held = {name for text in texts.values() for name in PLACEHOLDER.findall(text)}
    held |= {"workers"} if given.get("scale") == "signals" or "compose" in given else set()
    for name in chosen:
        if name not in held:
            unused = Place(at.file, f"choices.{name}")
            raise unused.fault("changes nothing", f"put {{{name}}} into service.command or service.environment")


def _requests(place: Place, top: Mapping[str, Any], locustfile: Path | None) -> tuple[Request, ...]:
    """What is asked; the service's first page where neither requests nor a locustfile say."""
    at = place.at("requests")
    if locustfile is not None and "requests" in top:
        raise at.fault("does not go with service.locustfile", "say one of them")
    if locustfile is not None:
        return ()
    listed = top.get("requests")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_REQUESTS:
        message = "are missing" if listed is None else f"are not 1 to {MOST_REQUESTS} tables"
        raise at.fault(message, 'add [[requests]] with path = "/", or service.locustfile')
    return tuple(_each(at, listed))


def _each(at: Place, listed: list[Any]) -> Iterator[Request]:
    for number, one in enumerate(listed, 1):
        yield Request(**tables.read(Place(at.file, f"requests[{number}]"), one, REQUEST, needed=("path",)))


def _there(place: Place, path: Path, *, is_folder: bool = False) -> Path:
    try:
        path = path.resolve()
        is_there = path.is_dir() if is_folder else path.is_file()
    except (OSError, RuntimeError):
        is_there = False
    if not is_there:
        raise place.fault(f"= {tables.shown(str(path))} is not there", "it is relative to the folder of this file")
    return path
