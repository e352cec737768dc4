"""A load as ordered, on the command line or in the web form, and every reason to refuse it before it begins."""

import json
from collections.abc import Container, Mapping
from typing import Any
from urllib.parse import urlsplit

from locustfiles.arguments import MOST_USERS
from locustfiles.request import Refused, resolve
from services.contract import SERVICES
from waitlab.telemetry.targets import Site

USER_SETTINGS = frozenset({"user_class_name", "host", "weight", "fixed_count", "tasks"})


def read_addresses(text: str | None) -> dict[str, str]:
    """service -> base URL from LAB_SERVICES, a JSON object; without it, the contract's own ports on this machine."""
    if not text:
        return {name: f"http://127.0.0.1:{service.port}" for name, service in SERVICES.items()}
    try:
        given = json.loads(text)
        addresses = {name: str(given[name]).rstrip("/") for name in SERVICES if name in given}
        sound = all(map(is_base_url, addresses.values()))
    except (ValueError, TypeError):
        sound, addresses = False, {}
    if not sound or not addresses:
        raise Refused(
            f"LAB_SERVICES is {text!r}. It must be a JSON object of service and base URL, "
            f'as {{"flask": "http://127.0.0.1:8001"}}, with at least one of {", ".join(SERVICES)}.'
        )
    return addresses


def is_base_url(url: str) -> bool:
    """Scheme, host and port, and no user, path or query: they would change every request. ValueError for no URL."""
    parts = urlsplit(url)
    is_whole = url == f"{parts.scheme}://{parts.netloc}" and "@" not in url and parts.port != 0
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_whole


def read_site(text: str | None) -> Site:
    """How this process is found by Prometheus, from LAB_ANNOUNCE; without it, by this machine only."""
    try:
        return Site.of(text or "loopback")
    except ValueError as error:
        raise Refused(f"LAB_ANNOUNCE is {text!r}. It must be {error}.") from None


def check(options: Mapping[str, Any], users: Mapping[str, str], addresses: Mapping[str, str]) -> None:
    """Refused, with what is allowed, unless each of `users`, name and own workload, can do what `options` ask."""
    check_users(options["num_users"])
    check_host(options["host"], addresses, options["service"])
    for user, own_workload in users.items():
        asked = (options[name] for name in ("service", "style", "workload", "parameters"))
        try:
            resolve(*asked, own_workload)
        except Refused as refused:
            raise Refused(f"{user} cannot start: {refused}") from None


def check_users(count: int | None) -> None:
    """Refused for more users than one load may have."""
    if count is not None and not 0 <= count <= MOST_USERS:
        raise Refused(f"{count} users are not possible: 0 to {MOST_USERS} are, for all user classes together.")


def check_host(host: str | None, addresses: Mapping[str, str], service: str | None = None) -> None:
    """Only the lab's own services are load targets, and the service is chosen by name, not by address."""
    if not host:
        return
    named = [name for name, url in addresses.items() if url == host.rstrip("/")]
    if not named:
        known = ", ".join(f"{name} ({url})" for name, url in addresses.items())
        raise Refused(f"The host {host!r} is not one of the lab's own services, {known}. Leave it empty.")
    if service is not None and service not in named:
        raise Refused(f"The host {host!r} is {named[0]}, but the service chosen is {service}. Leave the host empty.")


def check_user_settings(settings: Any, users: Container[str], addresses: Mapping[str, str]) -> None:
    """Locust would set any attribute of the class; only those of its own dialogue are let through, within bounds."""
    if not isinstance(settings, dict) or not settings.keys() <= USER_SETTINGS:
        raise Refused(
            f"The settings of a user class are an object with {', '.join(sorted(USER_SETTINGS))} and no more."
        )
    if settings.get("user_class_name") not in users:
        raise Refused("user_class_name must be one of the user classes.")
    if not isinstance(host := settings.get("host") or "", str):
        raise Refused("host must be text.")
    check_host(host, addresses)
    for name in ("weight", "fixed_count"):
        count = settings.get(name, 0)
        if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count <= MOST_USERS:
            raise Refused(f"{name} must be a number from 0 to {MOST_USERS}.")
    if settings.get("tasks", ["send"]) != ["send"]:
        raise Refused('tasks must be ["send"]: a user class of the lab does one thing.')
