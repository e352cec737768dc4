"""`lab panels` against a real Prometheus that knows a few series, some of them hostile, and against none."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.commands.panels import (
    A_SECOND,
    LAB,
    SERIES,
    TRACE,
    Listener,
    Panels,
    prometheus_at,
    prometheus_of,
    serving,
)
from tests.pages import parsed
from tests.ports import free_port
from tests.waiting import wait_for
from waitlab.dashboards import ALL
from waitlab.errors import LabError
from waitlab.panels import ask, units, window
from waitlab.runtime.local import prometheus


@pytest.fixture(scope="module")
def known() -> Iterator[int]:
    """The port of a Prometheus that has seen the listener for some seconds."""
    with serving(Listener) as listener, prometheus_of([f"127.0.0.1:{listener}"]) as port:
        rate = f"rate(http_server_request_duration_seconds_count[8s]) > {0.95 * A_SECOND}"
        with closing(prometheus_at(port)) as client:
            wait_for(lambda: client.at_end(rate, window.Window(0, time.time())), "a rate")
        yield port


@pytest.fixture
def panels(known: int, tmp_path: Path) -> Panels:
    return Panels(tmp_path, known)


def panel_of(html: str, title: str) -> str:
    found = re.search(rf"<article(?:(?!</article>).)*<h4>{re.escape(title)}</h4>.*?</article>", html, re.DOTALL)
    assert found, title
    return found[0]


def test_a_page_shows_what_prometheus_knows_and_needs_nothing_else(panels: Panels) -> None:
    done = panels("--since", "1m", "-o", "page.html")
    assert done.returncode == 0, done.stderr
    html = (panels.folder / "page.html").read_text()
    page = parsed(html)
    assert page.ids == [dashboard.name for dashboard in ALL]
    assert not page.elements & {"script", "img", "iframe"}
    assert not re.search(r"url\(|@import|@font-face", html)
    for dashboard in ALL:
        for panel in dashboard.panels:
            assert panel_of(html, panel.title)
    assert "flask <b>7</b>" in panel_of(html, "In flight")
    assert re.search(r"flask <b>(9|10|11)(\.\d+)? req/s</b>", panel_of(html, "Requests/s"))
    assert "p95 <b>200 ms</b>" in panel_of(html, "flask: response time")
    assert f"195 ms, trace {TRACE}</title>" in panel_of(html, "flask: response time")
    assert "(the lab is not up)" in html
    assert "CPUs" in html


def test_hostile_labels_and_figures_stay_text(panels: Panels) -> None:
    assert panels("--since", "1m", "-o", "page.html").returncode == 0
    html = (panels.folder / "page.html").read_text()
    parsed(html)
    assert not set(html) & {"\u202e", "\u0007"}
    assert "<img" not in html
    counted = panel_of(html, "What Locust counted")
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&amp;\ufffd\ufffdlong" in counted
    assert "…" in counted
    assert "1,234,567" in counted, "a count is exact"
    assert "load: &lt;/title&gt;&lt;b&gt;arm" in html
    users = panel_of(html, "Users")
    assert len(re.findall('class="line"', panel_of(html[html.index('id="load"') :], "Users"))) == 40
    assert f"{SERIES - 40:,} more are not shown" in panel_of(html[html.index('id="load"') :], "Users")
    assert f"<b>{SERIES * (SERIES - 1) / 2e6:.1f}M</b>" in users
    assert "25 MB" in panel_of(html, "Memory of each worker (PSS)")
    assert "All values are NaN or infinite" in panel_of(html, "Event loop lag: how late the loop runs what is due")


def test_panels_without_data_are_named_with_the_reason(panels: Panels) -> None:
    done = panels("--since", "1m")
    html = (panels.folder / "waitlab-panels.html").read_text()
    assert done.stdout.endswith("written: waitlab-panels.html\n")
    assert re.search(r"Without data are \d+ of them:\n", done.stdout)
    for reason, panel in (
        ("no request has asked for the database yet", "where-the-time-goes: Database connections"),
        ("Prometheus has no lab_service_workers in this time", "workers: Workers: asked for, alive"),
        ("traces are not in Prometheus: ./lab traces", "traces: Sampled requests that took longer"),
    ):
        assert re.search(rf"^  {re.escape(reason)}.*\n(    .*\n)*    {re.escape(panel)}", done.stdout, re.MULTILINE)
    assert "No request has asked for the database yet." in panel_of(html, "Database connections")


def test_one_dashboard_can_be_had_alone_and_on_standard_output(panels: Panels) -> None:
    done = panels("--dashboard", "workers", "--since", "1m", "-o", "-")
    assert done.returncode == 0, done.stderr
    assert parsed(done.stdout).ids == ["workers"]
    assert "panels" in done.stderr
    assert list(panels.folder.iterdir()) == []


def test_json_has_the_last_values(panels: Panels) -> None:
    done = panels("--dashboard", "overview", "--since", "1m", "--json")
    assert done.returncode == 0, done.stderr
    found = {panel["title"]: panel for panel in json.loads(done.stdout)["panels"]}
    assert [(one["name"], one["last"]) for one in found["In flight"]["series"]] == [("flask", 7)]
    assert found["What binds now"]["why_empty"] == "nothing binds"


def test_a_prometheus_that_knows_nothing(tmp_path: Path) -> None:
    with prometheus_of([]) as port:
        done = Panels(tmp_path, port)("-o", "page.html")
    assert done.returncode == 1
    assert "Prometheus has no figures of the lab in this time" in done.stdout
    parsed((tmp_path / "page.html").read_text())


def test_no_prometheus_at_all(tmp_path: Path) -> None:
    port = free_port()
    done = Panels(tmp_path, port)("-o", "page.html")
    reason = f"Prometheus does not answer at http://127.0.0.1:{port} (the lab is not up)"
    assert (done.returncode, done.stdout.count(reason)) == (1, 1)
    html = (tmp_path / "page.html").read_text()
    parsed(html)
    assert html.count(f'<p class="why">{reason}.</p>') == sum(len(one.panels) for one in ALL) - 1, "all but traces"


class Nonsense(BaseHTTPRequestHandler):
    """Something else that listens where Prometheus is looked for."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("body", [b"<html>", b'{"status": "fine"}', b'{"status": "success", "data": [1]}'])
def test_what_is_no_prometheus_is_called_so(tmp_path: Path, body: bytes) -> None:
    with serving(type("Answers", (Nonsense,), {"body": body})) as port:
        done = Panels(tmp_path, port)("-o", "page.html")
    assert done.returncode == 1
    assert f"what answers at http://127.0.0.1:{port} (the lab is not up) is not Prometheus" in done.stdout


def test_one_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "PATIENCE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        asked = prometheus_at(mute.getsockname()[1])
        with closing(asked), pytest.raises(ask.Silence, match=r"does not answer at .* within 0 s"):
            asked.alerts()


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("the page before")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        made = Panels(tmp_path, mute.getsockname()[1])
        process = subprocess.Popen(
            [LAB, "panels", "-o", "page.html"], cwd=tmp_path, env=made.environment, stderr=subprocess.PIPE, text=True
        )
        with mute.accept()[0]:  # it asks, so its file is begun
            assert len(list(tmp_path.iterdir())) == 2
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (105, "interrupted: no page was written\n")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the page before"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("--dashboard", "worker"),
            2,
            "there is no dashboard 'worker'\n  -> did you mean workers? The dashboards are: ",
        ),
        (("--dashboard", "<b>\x1b[1m"), 2, "there is no dashboard '<b>\ufffd[1m'\n  -> The dashboards are: overview, "),
        (("--since", "0"), 2, "--since '0' is no length of time"),
        (("--since", "-5m"), 2, "--since '-5m' is no length of time"),
        (("--since", "0s"), 2, "--since 0s is too short"),
        (("--since", "3 years"), 2, "--since '3 years' is no length of time"),
        (("--since", "1000d"), 2, "further back than Prometheus remembers: it keeps a day"),
        (("-o", "folder"), 2, "folder is a folder"),
        (("-o", "nowhere/page.html"), 2, "there is no folder nowhere"),
        (("-o", "/proc/page.html"), 122, "/proc/page.html cannot be written"),
        (("-o", "a" * 300), 122, "File name too long"),
        (("--json", "--since", "x"), 2, "--since 'x'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    done = Panels(tmp_path, 1)(*words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True)
    assert Panels(tmp_path, free_port())("-o", "pipe").returncode == 1
    assert reader.communicate(timeout=10)[0].endswith("</html>\n")
    assert (tmp_path / "pipe").is_fifo()


def test_the_time_that_can_be_asked_for_is_what_prometheus_keeps() -> None:
    kept = f"--storage.tsdb.retention.time={window.KEPT_SECONDS // 86_400}d"
    assert kept in prometheus.command(Path("prometheus"), Path(), 1)
    assert kept in (Path(__file__).parents[2] / "compose.yaml").read_text()
    assert (window.seconds("1d"), window.seconds("1h30m")) == (86_400, 5400)
    assert (window.Window(0, 300).step, window.Window(0, 86_400).step) == (2, 216)
    with pytest.raises(LabError):
        window.seconds("٥m")


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("s", 0.2, "200 ms"),
        ("s", 0.0, "0 ms"),
        ("s", 2.5, "2.5 s"),
        ("s", 0.00035, "350 µs"),
        ("percentunit", 0.07, "7 %"),
        ("bytes", 25e6, "25 MB"),
        ("reqps", 1500.0, "1.5k req/s"),
        ("short", 999.9, "1k"),
        ("short", float("nan"), "-"),
        ("none", float("-inf"), "-∞"),
    ],
)
def test_figures_are_said_as_people_say_them(unit: str, value: float, text: str) -> None:
    assert units.human(unit, value) == text  # type: ignore[arg-type]


@pytest.mark.long
def test_a_browser_shows_the_page_without_complaint(panels: Panels) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        lacks = "there is no Chromium: not checked is that the page of `lab panels` is laid out and without errors"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacks)
    assert panels("--since", "1m", "-o", "page.html").returncode == 0
    page, picture = panels.folder / "page.html", panels.folder / "page.png"
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={panels.folder}/profile"]
    command += ["--enable-logging=stderr", "--window-size=1920,1080"]
    shown = subprocess.run(
        [*command, f"--screenshot={picture}", page.as_uri()], capture_output=True, text=True, timeout=90, check=True
    )
    assert "CONSOLE" not in shown.stderr, shown.stderr
    assert colours(picture) > 50, "the page is blank"
    probe = panels.folder / "probe.html"
    probe.write_text(page.read_text().replace("default-src 'none'", "script-src 'unsafe-inline'") + MEASURE)
    dump = subprocess.run(
        [*command, "--dump-dom", probe.as_uri()], capture_output=True, text=True, timeout=90, check=True
    )
    layout = json.loads(re.search(r"<title>(\{.*?\})</title>", dump.stdout)[1])  # type: ignore[index]
    assert layout["wide"] <= 1920, "nothing makes the page scroll sideways"
    for name, tall in layout["first_rows"].items():
        assert 300 < tall <= 1080, f"the first row of {name} is {tall:.0f} pixels tall"
    assert layout["smallest_chart"] > 100


# How tall the first row of each dashboard is, with everything above it in its section, as the page's own title.
MEASURE = """
<script>
const box = element => element.getBoundingClientRect();
const all = (name, tell) => [...document.querySelectorAll(name)].map(tell);
document.title = JSON.stringify({
  wide: document.documentElement.scrollWidth,
  first_rows: Object.fromEntries(all('section', one => [one.id, box(one.querySelector('.grid')).bottom - box(one).y])),
  smallest_chart: Math.min(...all('article svg', one => box(one).height)),
});
</script>
"""


def colours(picture: Path) -> int:
    """How many colours a picture has."""
    from matplotlib import image  # noqa: PLC0415

    return len({tuple(pixel) for row in image.imread(picture)[::4, ::4] for pixel in row.tolist()})
