"""The command `lab`: one function a subcommand, each a few lines over the module that does the work.

Modules are imported inside the commands, so that `lab --help` answers at once.
"""
# ruff: noqa: PLC0415

import os
import signal
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waitlab import dashboards, runtime, verbs
from waitlab.errors import LabError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from waitlab.runtime.local.state import Home, LabState
    from waitlab.runtime.looks import Lab, Place
    from waitlab.status import Meter

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Waitlab: see, measure and prove where Python web servers wait.",
    epilog="Start with [bold]./lab up[/], open Locust's page, start load, and watch [bold]./lab status --watch[/] "
    "while you [bold]./lab scale flask 4[/].",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
OF_THE_HOST = ("up", "down", "scale", "logs")  # in containers these are the engine's business, so ./lab's own


app.add_typer(verbs.app)


@app.callback()
def _check_place(context: typer.Context) -> None:
    if not runtime.in_container(os.environ):
        runtime.why_local(os.environ)
    elif context.invoked_subcommand in OF_THE_HOST:
        raise LabError(f"no container may {context.invoked_subcommand} the lab", "use ./lab on the host", 2)


@app.command(
    epilog="Knobs are environment variables: [bold]FLASK_WORKERS=4 FLASK_THREADS=8 ./lab up[/]. "
    "Ports move with <PART>_PORT, for instance LOCUST_PORT=9089.",
)
def up(
    only: Annotated[list[str] | None, typer.Option(help="Start only this part; may be repeated.")] = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay; Ctrl-C stops the lab.")] = False,
) -> None:
    """Start the lab, wait until every part is healthy, print the addresses."""
    from waitlab.runtime.local import lab

    home, console = _home(), _console()
    if lab.is_up(home):
        _say_it_is_up(home, console)
        return
    console.print(f"The local runtime: {runtime.why_local(os.environ)}.")
    for number in (signal.SIGTERM, signal.SIGHUP):  # whatever ends us while it starts must end what was started
        signal.signal(number, _interrupt)
    try:
        _start(tuple(only or ()), foreground, console)
        _print_addresses(_lab(), console)
        if foreground:
            _stay(home, console)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it
        lab.stop(home)
        raise LabError("interrupted: the lab was stopped, nothing of it is left", code=105) from None


@app.command()
def down() -> None:
    """Stop the lab; nothing of it is left. Does no harm when it is not up."""
    from waitlab.runtime.local import lab

    _console().print("The lab is down." if lab.stop(_home()) else "The lab was not up.")


@app.command(
    epilog="A worker's [bold]share[/] is of its service's requests; [bold]queue[/] is what waits inside the worker, "
    "[bold]accept[/] what waits in the kernel for any of them. Exit code 1: a part is dead or does not answer.",
)
def status(
    watch: Annotated[bool, typer.Option("--watch", help="A live table, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every part, and every worker: requests/s, share, in flight, queue, CPU, memory."""
    from waitlab import status as lab_status

    try:
        meter = lab_status.Meter(_lab())
        meter.read(probe=False)
    except LabError:
        if as_json:
            print(lab_status.as_json(lab_status.LabStatus("down")))
        raise
    if watch:
        with suppress(KeyboardInterrupt):
            _watch(meter)
        return
    time.sleep(1)  # rates need two looks
    now = meter.read()
    if as_json:
        print(lab_status.as_json(now))
    else:
        _console().print(lab_status.draw(now))
    raise typer.Exit(0 if now.healthy else 1)


@app.command(epilog="For instance: [bold]./lab logs flask -f[/]")
def logs(
    part: Annotated[str | None, typer.Argument(help="flask, postgres, supervisor, ...; all when left out.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print what is added, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many last lines of each part.")] = 20,
) -> None:
    """Print what the parts wrote to their logs."""
    from waitlab.runtime.local import lab
    from waitlab.runtime.local import logs as lab_logs

    files = lab.log_files(_home(), part)
    width = 0 if part else max(map(len, files))
    for name, line in lab_logs.last_lines(files, lines):
        print(f"{name:{width}}  {line}" if width else line)
    with suppress(KeyboardInterrupt):
        for name, line in lab_logs.new_lines(files) if follow else ():
            print(f"{name:{width}}  {line}" if width else line, flush=True)


@app.command(epilog="For instance: [bold]./lab scale flask 4[/]")
def scale(
    service: Annotated[str, typer.Argument(help="flask, fastapi, django-wsgi or django-asgi")],
    workers: Annotated[int, typer.Argument(help="How many workers it shall have, 1 to 64.")],
) -> None:
    """Change how many workers a service has, without a restart."""
    from waitlab.runtime.local import lab

    _console().print(lab.scale(_home(), service, workers))


# What follows belongs to modules of its own, one for each command.


@app.command()
def demo(
    as_json: AsJson = False,
    picture: Annotated[Path | None, typer.Option(help="Also write what was seen to this SVG file.")] = None,
) -> None:
    """Two requests at once, blocked and awaited, drawn as bars on a time axis. Needs nothing else to be up."""
    from waitlab.demo import demo as run_demo

    run_demo(as_json, picture)


@app.command()
def load(as_json: AsJson = False) -> None:
    """A bounded load on every stack of the running lab: what the clients waited and what the services did (70 s)."""
    from waitlab import load as lab_load

    try:
        is_good = lab_load.run(_lab(), as_json)
    except KeyboardInterrupt:
        raise LabError("interrupted: the load was stopped, and half a load says nothing", code=105) from None
    raise typer.Exit(0 if is_good else 1)


@app.command()
def addresses() -> None:
    """Print where the parts of the running lab are reached."""
    _print_addresses(_lab(), _console())


@app.command()
def traces(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many.")] = 5,
    service: Annotated[str | None, typer.Option(help="Only traces that begin in this service.")] = None,
    as_json: AsJson = False,
) -> None:
    """The slowest recorded traces, as waterfalls."""
    from waitlab import traces as lab_traces

    if runtime.in_container(os.environ):
        lab_traces.show_where(_lab().addresses())
        return
    lab_traces.show(sorted(_home().folder.glob("run/*/traces-*.jsonl")), count, service, as_json)


@app.command(
    epilog="For instance: [bold]./lab panels --dashboard workers --since 30m -o ticket.html[/]. "
    f"The dashboards are {', '.join(dashboard.name for dashboard in dashboards.ALL)}. "
    "Exit code 1: Prometheus does not answer or has no data; the page is written all the same, and says why.",
)
def panels(
    dashboard: Annotated[str | None, typer.Option(metavar="NAME", help="Only this one; all when left out.")] = None,
    since: Annotated[str, typer.Option(metavar="TIME", help="How far back: 30s, 5m, 1h30m; a day at most.")] = "5m",
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Where to; - is standard output.")
    ] = Path("waitlab-panels.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the last values as JSON instead of a page.")] = False,
) -> None:
    """Draw the dashboards into one HTML file, from Prometheus alone: for a lab without Grafana, or for a ticket."""
    from waitlab.panels import draw, window

    wanted, seconds = draw.chosen(dashboard), window.seconds(since)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        is_good = (
            draw.as_json(_prometheus(), wanted, seconds)
            if as_json
            else draw.as_page(_prometheus(), wanted, seconds, output)
        )
    except KeyboardInterrupt:
        raise LabError("interrupted: no page was written", code=105) from None
    raise typer.Exit(0 if is_good else 1)


@app.command()
def doctor(
    machine: Annotated[bool, typer.Option("--machine", help="Measure whether it can be trusted (10 s).")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what this machine lacks to run the lab, and how to get it."""
    from waitlab import doctor as lab_doctor
    from waitlab.runtime.local import lab, plan

    if machine:
        lab_doctor.report_machine(as_json)
        return
    if runtime.in_container(os.environ):
        findings = lab_doctor.examine_containers(os.environ)
    else:
        findings = lab_doctor.examine(os.environ, plan.read(os.environ).ports, lab.is_up(_home()))
    raise typer.Exit(0 if lab_doctor.report(findings, as_json) else 122)


def _say_it_is_up(home: "Home", console: "Console") -> None:
    """The addresses of the lab that is up, with the settings it was started with; LabError when a part of it died."""
    from waitlab.runtime.local import lab

    state = lab.require_up(home)
    ready = "The lab is up, as it was started: the settings of this call change nothing."
    console.print(ready if state.phase == "ready" else f"The lab is {state.phase}: ./lab status shows how far it is.")
    _print_addresses(_lab(), console)
    dead = [f"{name} {part.detail}" for name, part in state.parts.items() if part.state == "dead"]
    if dead:
        raise LabError("; ".join(dead), "./lab logs says why; make lab-down and make lab-up start it anew")


def _start(only: tuple[str, ...], foreground: bool, console: "Console") -> None:
    """Start the lab; on a terminal its parts are a live table, elsewhere a line for each that became healthy."""
    from rich.live import Live

    from waitlab.runtime.local import lab

    began = time.monotonic()
    said: set[str] = set()
    with (
        Live(console=console, transient=True, auto_refresh=False) as live,
        closing(lab.start(os.environ, only, lambda line: console.print(f"  {line}"), foreground)) as changes,
    ):
        for state in changes:
            if console.is_terminal:
                live.update(_progress(state, time.monotonic() - began), refresh=True)
                continue
            for name, part in state.parts.items():
                if part.state == "healthy" and name not in said:
                    said.add(name)
                    console.print(f"  {name} is healthy ({time.monotonic() - began:.0f} s)")
    console.print(f"All parts are healthy after {time.monotonic() - began:.0f} s.\n")


def _progress(state: "LabState", seconds: float) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False, title=f"{seconds:.0f} s", title_justify="left")
    for name, part in state.parts.items():
        colour = "green" if part.state == "healthy" else "yellow"
        table.add_row(f"  [{colour}]{part.state}", name, part.detail)
    return table


def _print_addresses(lab: "Lab", console: "Console") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for address in lab.addresses():
        table.add_row(address.part, address.url, address.purpose)
    console.print(table)
    console.print(
        "\n./lab status --watch shows every worker, ./lab scale flask 4 gives more, make lab-down stops it all."
    )


def _stay(home: "Home", console: "Console") -> None:
    """Wait for Ctrl-C, or the end of the lab; say when a part dies."""
    from waitlab.runtime.local import lab, state

    said: set[str] = set()
    while lab.is_up(home):
        seen = state.read(home)
        for name, part in seen.parts.items() if seen else ():
            if part.state == "dead" and name not in said:
                said.add(name)
                console.print(f"[red]{name} {part.detail}[/]; ./lab logs {name} shows its last words")
        time.sleep(0.5)


def _watch(meter: "Meter") -> None:
    from rich.live import Live

    from waitlab import status as lab_status

    with Live(console=_console(), auto_refresh=False, screen=_console().is_terminal) as live:
        for number in range(sys.maxsize):
            live.update(lab_status.draw(meter.read(probe=number % 10 == 0)), refresh=True)
            time.sleep(1)


def _lab() -> "Lab":
    """The running lab, as it can be seen from here."""
    if runtime.in_container(os.environ):
        from waitlab.runtime.compose.looks import ContainerLab

        return ContainerLab(os.environ)
    from waitlab.runtime.local.looks import LocalLab

    return LocalLab(_home())


def _prometheus() -> "Place":
    """Where Prometheus is: the running lab's, else where it would be, so that whoever asks can say it is not there."""
    from waitlab.runtime.local import plan
    from waitlab.runtime.looks import Place

    try:
        return _lab().prometheus()
    except LabError as fault:
        address = f"http://127.0.0.1:{plan.port(os.environ, 'PROMETHEUS_PORT', plan.PORTS['PROMETHEUS_PORT'])}"
        return Place(address, f"{address} ({fault.message})")


def _home() -> "Home":
    from waitlab.runtime.local.state import Home

    return Home.of(os.environ)


def _console() -> "Console":
    from rich.console import Console

    # A file or pipe has no width of its own; addresses must not be folded in it.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command; an expected fault is a message and an exit code, never a traceback."""
    try:
        app(prog_name="lab")
    except LabError as error:
        print(error.told, file=sys.stderr)
        sys.exit(error.code)
    except OSError as error:
        if error.filename is None:  # no file the user named, or that the lab keeps: that is not expected
            raise
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(122)


if __name__ == "__main__":
    main()
