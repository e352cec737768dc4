"""The lab in containers from outside: every endpoint through the published ports, every worker in Prometheus."""

import http.client
import secrets
import socket
import time

import httpx
import pytest

from services import contract
from tests import conformance
from tests.containers.conftest import Lab, listeners
from tests.waiting import wait_for
from waitlab.runtime.local import plan

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

NEEDS = "(no image, and none can be fetched): not checked "


@pytest.mark.parametrize(("stack", "style", "workload"), conformance.EVERY)
def test_every_pair_through_the_published_port(lab: Lab, stack: str, style: str, workload: str) -> None:
    conformance.check(lambda target: lab.get(stack, target), stack, style, workload)


def test_the_published_port_hands_on_what_it_is_asked(lab: Lab) -> None:
    """A broken path, a wrong method and a wrong value reach the service, which refuses them in its own words."""
    for stack in contract.SERVICES:
        url = lab.url(stack)
        refused = [
            (404, httpx.get(f"{url}/sync/nowhere", trust_env=False)),
            (405, httpx.delete(f"{url}/sync/sleep", trust_env=False)),
            (400, httpx.get(f"{url}/sync/sleep?ms=x", trust_env=False)),
        ]
        for expected, answer in refused:
            assert answer.status_code == expected, answer.text
            assert answer.headers["content-type"] == "application/problem+json", answer.text


def test_the_services_are_ready_and_see_their_limits(lab: Lab) -> None:
    for stack in contract.SERVICES:
        assert lab.get(stack, "/readyz").json() == {"ready": True, "answering": ["postgresql", "upstream"]}
        limit = lab.inspect(lab.ids(stack)[0])["HostConfig"]["NanoCpus"] / 1e9
        assert 0 < lab.get(stack, "/about").json()["cpus"] <= limit


def test_status_finds_every_part_healthy(lab: Lab) -> None:
    status = wait_for(lambda: (now := lab.status())["healthy"] and now, "health")
    parts = {"postgres", "upstream", "host", *contract.SERVICES, "edge", "locust", "locust-worker", "prometheus"}
    assert set(status["parts"]) == parts | {"grafana", "tempo"} - lab.left_out
    for stack in contract.SERVICES:
        assert len(status["services"][stack]["each_worker"]) == 2


def test_prometheus_sees_every_worker(lab: Lab) -> None:
    for stack in contract.SERVICES:
        lab.expect(stack, 2, 20)
        series = lab.prometheus(f'lab_worker_cpu_seconds_total{{service="{stack}"}}')
        assert {(one["metric"]["replica"], one["metric"]["worker"]) for one in series} == lab.seen(stack)
    assert {one["metric"]["replica"] for one in lab.prometheus("lab_load_users")} == {*lab.ids("locust-worker")}
    assert {one["metric"]["replica"] for one in lab.prometheus("lab_host_cpus")} == {*lab.ids("host")}


def test_prometheus_is_3_and_evaluates_the_rules(lab: Lab) -> None:
    url = lab.url("prometheus")
    build = httpx.get(f"{url}/api/v1/status/buildinfo", trust_env=False).json()["data"]
    assert build["version"].startswith("3.")

    def rules() -> list[dict[str, str]]:
        groups = httpx.get(f"{url}/api/v1/rules", trust_env=False).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_for(lambda: rules() and all(rule["health"] == "ok" for rule in rules()), "healthy rules")


def test_exemplars_lead_from_a_figure_to_a_trace(lab: Lab) -> None:
    trace = secrets.token_hex(16)
    header = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    assert httpx.get(f"{lab.url('fastapi')}/async/sleep?ms=5", headers=header, trust_env=False).status_code == 200

    def exemplars() -> str:
        query = {"query": "http_server_request_duration_seconds_bucket", "start": time.time() - 60, "end": time.time()}
        return httpx.get(f"{lab.url('prometheus')}/api/v1/query_exemplars", params=query, trust_env=False).text

    wait_for(lambda: trace in exemplars(), "an exemplar with the trace's id")


def test_a_trace_reaches_tempo_within_five_seconds(lab: Lab) -> None:
    if "tempo" in lab.left_out:
        pytest.skip(f"Tempo {NEEDS}that a request's trace can be found 5 s later")
    trace = secrets.token_hex(16)
    header = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    assert httpx.get(f"{lab.url('fastapi')}/async/sleep?ms=5", headers=header, trust_env=False).status_code == 200
    ask = "import urllib.request as u; print(u.urlopen('http://tempo:3200/api/search?q=%7B%7D&limit=100').read().decode())"
    found = lambda: trace.lstrip("0") in lab.docker("exec", lab.ids("host")[0], "python", "-c", ask)  # noqa: E731
    wait_for(found, "the trace in a search", 5.0)


def test_grafana_shows_to_anyone_and_changes_for_nobody(lab: Lab) -> None:
    if "grafana" in lab.left_out:
        pytest.skip(f"Grafana {NEEDS}its data sources, its home page, and that a viewer can change nothing")
    sources = lab.get("grafana", "/api/frontend/settings").json()["datasources"]
    assert {"prometheus", "tempo"} <= {source["type"] for source in sources.values()}
    assert lab.get("grafana", "/api/dashboards/home").json()["dashboard"]["title"]
    for target in ("/api/admin/settings", "/api/users", "/api/datasources"):
        assert lab.get("grafana", target).status_code in (401, 403, 404), target
    saved = httpx.post(f"{lab.url('grafana')}/api/dashboards/db", json={"dashboard": {"title": "x"}}, trust_env=False)
    assert saved.status_code in (401, 403)
    login = httpx.get(f"{lab.url('grafana')}/api/user", auth=("admin", "admin"), trust_env=False)
    assert login.status_code == 401


def outward() -> str:
    """This machine's address as others see it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect(("192.0.2.1", 9))  # sends nothing: only asks which address would be used
        return str(route.getsockname()[0])


def test_nothing_listens_on_any_address_but_loopback(lab: Lab, listeners_before: set[tuple[str, int]]) -> None:
    assert listeners() <= listeners_before, "the lab, or another program that was started meanwhile"
    for container in lab.ids():
        for bindings in (lab.inspect(container)["HostConfig"]["PortBindings"] or {}).values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


def test_no_other_address_of_this_machine_answers(lab: Lab) -> None:
    for name in (*(f"{plan.prefix(name)}_PORT" for name in plan.SERVICES), "LOCUST_PORT", "PROMETHEUS_PORT"):
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((outward(), int(lab.environment[name]))) != 0, name


def test_who_publishes_nothing_reaches_nothing_outside(lab: Lab) -> None:
    """Told by the other network: who is in it reaches it. (This machine itself is reached on old engines.)"""
    networks = lab.inspect(lab.ids("prometheus")[0])["NetworkSettings"]["Networks"]
    outside = networks[f"{lab.project}_front"]["IPAddress"]
    lab.docker("exec", lab.ids("edge")[0], "bash", "-c", f"exec 3<>/dev/tcp/{outside}/9090")
    code = f"import socket; print(socket.socket().connect_ex(('{outside}', 9090)))"
    for service in (*contract.SERVICES, "upstream", "host", "locust-worker"):
        refused = lab.run("docker", "exec", lab.ids(service)[0], "timeout", "1", "python", "-c", code)
        assert refused.stdout.strip() != "0", service


def test_locusts_page_answers_its_own_address_and_no_other(lab: Lab) -> None:
    port = int(lab.environment["LOCUST_PORT"])
    assert lab.get("locust", "/").status_code == 200
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={"Host": "elsewhere.example"})
    assert connection.getresponse().status == 403
    connection.close()
