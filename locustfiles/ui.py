"""The door of Locust's web UI: it answers to its own name only, takes orders only from its own page, and within bounds.

Locust's own sends "any origin may read this" and starts load at any host for any page that is open in the same browser.
"""

# Locust is only partly typed.
# mypy: disable-error-code="no-untyped-call"

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import locust.web
from flask import Response, jsonify, request
from locust.env import Environment
from locust.runners import STATE_CLEANUP, STATE_RUNNING, STATE_STOPPING

from locustfiles.arguments import Argument
from locustfiles.classes import OWN_WORKLOADS
from locustfiles.order import check, check_user_settings, check_users
from locustfiles.request import Refused
from locustfiles.shapes import SHAPES
from locustfiles.users import IoBound

LARGEST_BODY = 64 * 1024  # bytes
# Locust's form handler would set any option of the process, also the names of files it writes at exit.
FORM_FIELDS = frozenset({"user_count", "spawn_rate", "run_time", "host", "profile", "user_classes", "shape_class"})
NO_SHAPE_CLASS = "Default"


def send_no_cors_headers() -> None:
    """To be called before the web UI is made: Locust adds the headers through this name."""
    locust.web.CORS = lambda app: None  # type: ignore


def names_of(port: int, further: Iterable[str]) -> frozenset[str]:
    """Every Host header the UI answers to. A page that made its own name resolve to this machine is not among them."""
    return frozenset({f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", *(name.lower() for name in further)})


@dataclass(frozen=True)
class Door:
    """What the web UI of one Locust process lets in."""

    environment: Environment
    names: frozenset[str]
    arguments: Mapping[str, Argument]
    addresses: Mapping[str, str]

    def install(self) -> None:
        """Stand before every page of the web UI."""
        web_ui = self.environment.web_ui
        assert web_ui is not None and web_ui.app is not None
        web_ui.app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
        web_ui.app.before_request(self.answer)
        web_ui.app.after_request(unframed)
        web_ui.app.after_request(running_until_stopped)
        fill_page = web_ui.update_template_args

        def fill_lab_page() -> None:
            fill_page()
            # The service decides the host, so the field stays empty and no warning asks for it; and a newcomer's first
            # load is one user class, not all of them mixed.
            web_ui.template_args |= {"host": "", "missing_host_warning": False, "override_host_warning": False}
            web_ui.template_args["available_user_classes"] = [IoBound.__name__]

        web_ui.update_template_args = fill_lab_page  # type: ignore[method-assign]

    def answer(self) -> Response | None:
        """A refusal, or None: then Locust answers."""
        if request.headers.get("Host", "").lower() not in self.names:
            return refusal(403, f"This is Locust's web UI at {', '.join(sorted(self.names))}; it has no other name.")
        if self._comes_from_elsewhere():
            return refusal(
                403, "Only Locust's own page may ask this, not another site; a link may lead to its front page."
            )
        try:
            match request.endpoint:
                case "locust.swarm":
                    self._check_form()
                case "locust.update_user":
                    check_user_settings(_json(request.get_data()), OWN_WORKLOADS, self.addresses)
        except Refused as refused:
            # The page shows the message of a 200 and "An unknown error occurred." for any other status.
            return refusal(200 if request.endpoint == "locust.swarm" else 400, str(refused))
        return None

    def _comes_from_elsewhere(self) -> bool:
        """By whichever of the three headers the browser sends; curl and scripts send none of them."""
        headers = request.headers
        origin = headers.get("Origin")
        if origin is not None and _netloc(origin) != headers["Host"].lower():
            return True
        if request.endpoint == "locust.index" and request.method in ("GET", "HEAD"):
            return False
        if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return True
        referer = headers.get("Referer")
        return referer is not None and _netloc(referer) != headers["Host"].lower()

    def _check_form(self) -> None:
        form = request.form
        if unknown := form.keys() - FORM_FIELDS - self.arguments.keys():
            raise Refused(f"The form has no field {', '.join(sorted(unknown))}.")
        if form.get("shape_class", NO_SHAPE_CLASS) not in (NO_SHAPE_CLASS, *SHAPES):
            raise Refused(f"shape_class must be one of {NO_SHAPE_CLASS}, {', '.join(SHAPES)}.")
        with suppress(ValueError):  # what is no number Locust itself refuses, by the same int()
            check_users(int(form.get("user_count", "0")))
        asked: dict[str, Any] = {
            name: argument.read(form[name]) for name, argument in self.arguments.items() if name in form
        }
        options = vars(self.environment.parsed_options) | {"num_users": None, "host": form.get("host")} | asked
        check(options, self._users(form.getlist("user_classes")), self.addresses)

    def _users(self, names: list[str]) -> dict[str, str]:
        """The classes Locust is going to run for this form, with their own workloads."""
        if unknown := set(names) - OWN_WORKLOADS.keys():
            raise Refused(f"There is no user class {', '.join(sorted(unknown))}.")
        if not names and self.environment.runner and self.environment.runner.state == STATE_RUNNING:
            names = [user.__name__ for user in self.environment.user_classes]
        if not names:
            raise Refused("Choose at least one user class.")
        return {name: OWN_WORKLOADS[name] for name in names}


def refusal(status: int, message: str) -> Response:
    """An answer in the form that Locust's page shows."""
    response = jsonify({"success": False, "message": message})
    response.status_code = status
    return response


def unframed(response: Response) -> Response:
    """No other page may show this one inside itself and lend it its visitors' clicks."""
    response.headers["X-Frame-Options"] = "DENY"
    return response


def running_until_stopped(response: Response) -> Response:
    """Locust's page asks on only while a load runs: told that one is being stopped, it never learns that it was."""
    if request.endpoint == "locust.request_stats":
        stats = json.loads(response.get_data())
        if stats.get("state") in (STATE_CLEANUP, STATE_STOPPING):
            response.set_data(json.dumps(stats | {"state": STATE_RUNNING}))
    return response


def _netloc(url: str) -> str:
    """host:port of an http address in lower case; empty for anything else, as the origin `null`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme in ("http", "https") else ""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise Refused("The body must be JSON.") from None
