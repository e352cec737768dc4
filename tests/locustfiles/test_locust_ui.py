"""The web UI's door: what the page itself does works, and nothing a foreign page can make a browser send does."""

import json
import threading
import time
import urllib.parse
from typing import Any

import psutil
from locust_runs import Run, Service, Starter

from locustfiles.arguments import MOST_USERS
from tests.waiting import wait_for

START = {"user_count": "2", "spawn_rate": "2", "user_classes": "IoBound"}
EVIL = "http://evil.example"


def page(run: Run) -> dict[str, Any]:
    """What the page is filled with: the choices of the form."""
    text = run.ask("GET", "/")[1]
    return dict(json.JSONDecoder().raw_decode(text, text.index("{", text.index("window.templateArgs")))[0])


def foreign_ways(port: int) -> list[dict[str, str]]:
    """Headers of requests that another page, another name of this machine, or an old browser would send."""
    here = f"127.0.0.1:{port}"
    return [
        {"Host": "evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": f"127.0.0.1:{port}.evil.example"},
        {"Host": ""},
        {"Host": here, "Origin": EVIL},
        {"Host": here, "Origin": "null"},
        {"Host": here, "Origin": f"http://localhost:{port}"},
        {"Host": here, "Origin": f"http://{here}.evil.example"},
        {"Host": here, "Origin": f"http://evil@{here}"},
        {"Host": here, "Origin": "http://127.0.0.1:3000"},
        {"Host": here, "Origin": "http://["},
        {"Host": here, "Sec-Fetch-Site": "cross-site"},
        {"Host": here, "Sec-Fetch-Site": "same-site"},
        {"Host": here, "Referer": f"{EVIL}/page"},
        {"Host": here, "Referer": f"{EVIL}/http://{here}/"},
    ]


def test_the_door(locust: Starter, service: Service) -> None:
    """One Locust for the whole matrix: what is refused must leave it as it was."""
    run = locust.with_ui(LAB_UI_HOSTS="lab.example:80", LOCUST_STYLE="sync", LOCUST_THINK_TIME_MS="5")
    listening = [c.laddr for c in psutil.Process(run.popen.pid).net_connections("inet") if c.status == "LISTEN"]
    assert listening == [("127.0.0.1", run.port)]  # and no worker port, as nothing is distributed
    the_page_offers_the_lab(run)
    no_foreign_request_is_taken(run)
    no_order_out_of_bounds_is_taken(run)
    assert run.stats()["state"] == "ready"
    assert service.seen == []
    the_pages_own_flow_works(run, service)


def the_page_offers_the_lab(run: Run) -> None:
    shown = page(run)
    choices = shown["extra_options"]
    assert choices["service"]["choices"] == ["flask", "fastapi"]
    assert choices["style"]["choices"] == ["natural", "sync", "async", "blocked", "offload", "bridged", "sample"]
    assert {"ping", "sleep", "httpx-await"} <= set(choices["workload"]["choices"])
    assert (choices["style"]["default_value"], choices["think_time_ms"]["default_value"]) == ("sync", 5)
    assert all(choice["help_text"] for choice in choices.values())
    assert shown["available_shape_classes"] == ["Default", "Ramp", "Spike", "Steady", "Steps"]
    assert {"IoBound", "CpuBound", "Mixed", "Profile", "OneRequest", "Sse", "WebSocket"} <= set(shown["users"])
    assert shown["available_user_classes"] == ["IoBound"]  # the one that is ticked at first
    assert (shown["host"], shown["missing_host_warning"]) == ("", False)


def no_foreign_request_is_taken(run: Run) -> None:
    routes = [("POST", "/swarm"), ("POST", "/stop"), ("POST", "/stats/reset"), ("POST", "/user"), ("POST", "/login")]
    routes += [("GET", "/stop"), ("GET", "/stats/reset"), ("GET", "/logs"), ("OPTIONS", "/swarm")]
    for way in foreign_ways(run.port):
        for method, path in routes:
            body = urllib.parse.urlencode(START) if method == "POST" else ""
            status, text, headers = run.ask(method, path, body, way)
            assert status in (400, 403), (method, path, way, text)
            assert not any(name.startswith("access-control-") for name in headers), (method, path, way)
    assert run.ask("GET", "/", headers={"Host": "evil.example"})[0] == 403
    assert run.ask("GET", "/", headers={"Origin": EVIL})[0] == 403
    for method, path in (("GET", "/stop"), ("GET", "/stats/reset")):
        assert run.ask(method, path)[0] == 405


def no_order_out_of_bounds_is_taken(run: Run) -> None:
    refused = {
        f"{MOST_USERS + 1} users": {"user_count": MOST_USERS + 1},
        f"0 to {MOST_USERS}": {"user_count": " 1_000_000 "},  # what Python's int() takes, Locust takes
        f"from 1 to {MOST_USERS}": {"shape_class": "Steady", "shape_users": MOST_USERS + 1},
        "not one of the lab's own services": {"host": EVIL},
        "does not offer /offload/sleep": {"style": "offload"},
        "ms must be a whole number": {"parameters": "ms=10001"},
        "OneRequest cannot start": {"parameters": "ms=1", "user_classes": "OneRequest"},
        "no user class Nobody": {"user_classes": "Nobody"},
        "no field html_file": {"html_file": "/tmp/x"},
        "no field locustfile": {"locustfile": "x"},
        "service must be one of": {"service": "django"},
        "think_time_ms must be": {"think_time_ms": "-1"},
        "shape_class must be": {"shape_class": "Nothing"},
        "must be an integer": {"user_count": "1e9"},
    }
    for says, change in refused.items():
        answer = run.swarm(**change)
        assert (answer["success"], says in answer["message"]) == (False, True), (change, answer)
    for settings in ({"user_class_name": "IoBound", "host": EVIL}, {"user_class_name": "IoBound", "abstract": True}):
        assert run.ask("POST", "/user", json.dumps(settings))[0] == 400
    assert run.ask("POST", "/user", "{")[0] == 400
    assert run.ask("POST", "/swarm", "x" * 100_000)[0] == 413


def the_pages_own_flow_works(run: Run, service: Service) -> None:
    own = {"Host": f"localhost:{run.port}", "Origin": f"http://localhost:{run.port}", "Sec-Fetch-Site": "same-origin"}
    settings = {"user_class_name": "IoBound", "host": "", "weight": 1, "fixed_count": 0, "tasks": ["send"]}
    assert run.ask("POST", "/user", json.dumps(settings), own)[0] == 201
    choices = {name: str(choice["default_value"]) for name, choice in page(run)["extra_options"].items()}
    form = START | choices | {"host": "", "run_time": "", "profile": "", "shape_class": "Default", "parameters": "ms=1"}
    status, text, headers = run.ask("POST", "/swarm", urllib.parse.urlencode(form), own)
    assert (status, json.loads(text)["success"]) == (200, True), text
    assert not any(name.startswith("access-control-") for name in headers)
    assert headers["x-frame-options"] == "DENY"
    wait_for(lambda: "/sync/sleep?ms=1" in service.paths, "the load")

    edit = {"user_count": "3", "spawn_rate": "3"} | choices | {"service": "fastapi", "style": "blocked"}
    assert json.loads(run.ask("POST", "/swarm", urllib.parse.urlencode(edit), own)[1])["success"]
    wait_for(lambda: "/blocked/sleep" in service.paths, "the edit to reach running users")
    for path in ("/stats/requests", "/logs", "/tasks", "/exceptions", "/stats/report", "/worker-count"):
        assert run.ask("GET", path, headers={"Referer": f"http://127.0.0.1:{run.port}/"})[0] == 200
    assert run.ask("POST", "/stats/reset", headers=own)[0] == 200
    assert run.ask("POST", "/stop", headers=own)[0] == 200
    wait_for(lambda: run.stats()["state"] == "stopped", "the stop")
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Referer": f"{EVIL}/"}
    for headers in ({"Host": "lab.example:80"}, {"Host": f"[::1]:{run.port}"}, linked):
        assert run.ask("GET", "/", headers=headers)[0] == 200


def test_the_page_learns_of_a_stop_that_waits_for_last_answers(locust: Starter, service: Service) -> None:
    """The page asks for as long as it is told that the load runs; a word it does not know would be its last."""
    run = locust.with_ui()
    assert run.swarm(parameters="ms=5000")["success"]
    wait_for(lambda: service.seen, "the first request")
    stop = threading.Thread(target=run.ask, args=("POST", "/stop"))
    stop.start()
    told = []
    while stop.is_alive():
        told.append(run.stats()["state"])
        time.sleep(0.2)
    assert len(told) > 5
    assert set(told) <= {"spawning", "running", "stopped"}
    wait_for(lambda: run.stats()["state"] == "stopped", "the stop")
