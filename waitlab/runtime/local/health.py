"""Whether a part really works: asked of the part itself, and of this run's part, not of whoever answers on its port.

Only the standard library's smallest modules: the supervisor lives as long as the lab, and its memory is the lab's.
"""

import json
from typing import Any

from waitlab.runtime import pages
from waitlab.runtime.local import postgres
from waitlab.runtime.local.plan import SERVICES
from waitlab.runtime.local.state import Home

PATIENCE_SECONDS = 0.5  # the supervisor asks again soon
PATHS = {"locust": "/", "prometheus": "/-/ready", "grafana": "/api/health"}


def ailment(home: Home, name: str, url: str, nonce: str, patience: float = PATIENCE_SECONDS) -> str:
    """Why the part is not healthy, in words; empty when it is. A request takes `patience` seconds at most."""
    if name == "postgres":
        is_ours = postgres.accepts((home.run("postgres") / "url").read_text())
        return "" if is_ours else "accepts no connection yet"
    if name == "edge":  # its pages are the services', and a service under load does not answer at once
        return pages.unreachable(url, patience)
    if name in SERVICES and (served(home, name) or {}).get("nonce") != nonce:
        return "its workers are starting"
    return pages.ailment(url + PATHS.get(name, "/healthz"), patience)


def unscraped(home: Home, prometheus_url: str) -> str:
    """Which announced targets Prometheus has not yet scraped with success; empty when it has them all."""
    try:
        groups = [group for file in home.targets.glob("*.json") for group in json.loads(file.read_text())]
        _, body = pages.get(f"{prometheus_url}/api/v1/targets?state=active", PATIENCE_SECONDS)
        active = json.loads(body)["data"]["activeTargets"]
    except (OSError, ValueError) as error:  # a target file may go while we look
        return f"does not list its targets ({error})"
    announced = {target for group in groups for target in group["targets"]}
    up = {target["discoveredLabels"]["__address__"] for target in active if target["health"] == "up"}
    missing = announced - up
    return f"{len(announced) - len(missing)} of {len(announced)} targets are up" if missing else ""


def served(home: Home, service: str) -> dict[str, Any] | None:
    """What the parent of a service wrote about it (every knob, pid and url); None while it does not serve."""
    try:
        return dict(json.loads((home.run(service) / "serve.json").read_text()))
    except (FileNotFoundError, ValueError):
        return None
