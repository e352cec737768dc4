"""`lab demo`: two requests at once, blocked and awaited, each a bar that grows on a time axis.

The demonstration that needs no database and no network: one FastAPI process, one event loop, and a wait of two seconds
that is either slept through (the loop is held), awaited (the loop goes on) or slept through in a thread of the pool.
"""

import http.client
import io
import json
import math
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from waitlab.errors import LabError
from waitlab.runtime.local import service
from waitlab.serve import settings

WAIT_MS = 2000
REQUESTS = 2
COLUMNS_PER_SECOND = 10
FRAMES_PER_SECOND = 12


@dataclass(frozen=True)
class Arm:
    """One way to wait: its style, the code that waits, and what there is to see."""

    style: str
    code: str
    lesson: str

    @property
    def path(self) -> str:
        return f"/{self.style}/sleep?ms={WAIT_MS}"


ARMS = (
    Arm("blocked", "async def, time.sleep(2)", "the sleep holds the event loop: the second waits for the first"),
    Arm("async", "async def, await asyncio.sleep(2)", "the await gives the loop back: both wait at the same time"),
    Arm("sync", "def, time.sleep(2)", "a plain def runs in a thread of the pool: both sleep at the same time"),
)


@dataclass
class Request:
    """One request under way; `finished` is the seconds since the arm began, None until it is answered."""

    finished: float | None = None
    error: str | None = None


@dataclass
class Race:
    """The requests of one arm, sent at the same moment over connections that were open before."""

    arm: Arm
    port: int
    requests: list[Request] = field(default_factory=lambda: [Request() for _ in range(REQUESTS)])
    began: float = 0.0

    def run(self) -> list[threading.Thread]:
        """Send all requests; the threads end when these are answered."""
        connections = [http.client.HTTPConnection("127.0.0.1", self.port, timeout=30) for _ in self.requests]
        for connection in connections:
            connection.connect()
        self.began = time.monotonic()
        threads = [
            threading.Thread(target=self._send, args=pair, daemon=True)
            for pair in zip(self.requests, connections, strict=True)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _send(self, request: Request, connection: http.client.HTTPConnection) -> None:
        try:
            connection.request("GET", self.arm.path)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                request.error = f"status {answer.status}"
        except OSError as fault:
            request.error = str(fault)
        finally:
            connection.close()
            request.finished = time.monotonic() - self.began

    def in_order(self) -> list[Request]:
        """The requests as they were answered; which of two the service takes first is chance."""
        return sorted(self.requests, key=lambda request: request.finished or math.inf)

    def seconds(self) -> list[float]:
        """When each was answered, since the arm began."""
        return [round(request.finished, 3) for request in self.in_order() if request.finished is not None]


def draw(race: Race, now: float) -> Group:
    """The arm as text: its code, a bar a request (light: waiting for its turn, full: being served), and the axis."""
    title = Text.assemble((race.arm.code, "bold"), ("   GET " + race.arm.path, "dim"))
    bars = [_bar(number, request, now) for number, request in enumerate(race.in_order(), 1)]
    return Group(title, *bars, _axis())


def _bar(number: int, request: Request, now: float) -> Text:
    elapsed = now if request.finished is None else request.finished
    waited = max(0.0, elapsed - WAIT_MS / 1000) if request.finished is not None else 0.0
    wait_columns = round(waited * COLUMNS_PER_SECOND)
    served_columns = max(0, round(elapsed * COLUMNS_PER_SECOND) - wait_columns)
    bar = (("░" * wait_columns, "yellow"), ("█" * served_columns, "green"))
    line = Text.assemble(f"  request {number}  ", *bar, " ")
    if request.error:
        line.append(request.error, "bold red")
    elif request.finished is not None:
        line.append(f"{elapsed:.1f} s", "bold")
    return line


def _axis() -> Text:
    marks = "".join(f"{second} s".ljust(COLUMNS_PER_SECOND) for second in range(WAIT_MS * REQUESTS // 1000 + 1))
    return Text(" " * 13 + marks.rstrip(), "dim")


@contextmanager
def fastapi_alone() -> Iterator[int]:
    """One FastAPI worker on a free port, and nothing else; yields the port. Raises LabError when it does not start."""
    environment = {
        **os.environ,
        **dict.fromkeys((row.name for row in settings.TABLE), ""),  # a shell may well export HOST or DATABASE_URL
        "SERVICE": "fastapi",
        "APP": "services.fastapi_app:app",
        "SERVER": "uvicorn",
        "WORKERS": "1",
        "TRACES": "off",
    }
    with tempfile.TemporaryDirectory(prefix="lab-demo-") as name:
        folder = Path(name)
        with service.running(environment, folder / "run", folder / "log") as url:
            yield urlsplit(url).port or 80


def demo(as_json: bool = False, picture: Path | None = None) -> None:
    """Run the three arms, draw each while it runs, and say what was seen; `picture` is an SVG file to write."""
    console = Console(highlight=False, stderr=as_json)
    seen: list[Race] = []
    with ExitStack() as stack:
        with console.status("starting one FastAPI process (uvicorn, 1 worker) …"):
            port = stack.enter_context(fastapi_alone())
        for arm in ARMS:
            race = Race(arm, port)
            _watch(race, console)
            seen.append(race)
    if picture:
        picture.write_text(_picture(seen), encoding="utf-8")
    if as_json:
        print(json.dumps({race.arm.style: {"request": race.arm.path, "seconds": race.seconds()} for race in seen}))
    failed = [race.arm.path for race in seen if any(request.error for request in race.requests)]
    if failed:
        raise LabError(f"not answered: {', '.join(failed)}", "run it again; ./lab doctor looks at this machine")


def _watch(race: Race, console: Console) -> None:
    """Draw the race while it goes on, and leave its end on the screen."""
    threads = race.run()
    with Live(console=console, refresh_per_second=FRAMES_PER_SECOND, transient=True) as live:
        while any(thread.is_alive() for thread in threads):
            live.update(draw(race, time.monotonic() - race.began))
            time.sleep(1 / FRAMES_PER_SECOND)
    console.print(draw(race, 0.0), Text(f"  {race.arm.lesson}\n", "italic"))


def _picture(races: list[Race]) -> str:
    """What was seen as an SVG, without the web fonts that Rich would have a page load from elsewhere."""
    paper = Console(highlight=False, record=True, file=io.StringIO(), width=90)
    for race in races:
        paper.print(draw(race, 0.0), Text(f"  {race.arm.lesson}\n", "italic"))
    plain = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return paper.export_svg(title="make demo", code_format=plain)
