"""The verbs of `lab` about experiments: one function a verb, each a few lines over the module that does the work.

Modules are imported inside the verbs, so that `lab --help` answers at once.
"""
# ruff: noqa: PLC0415

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from waitlab import runtime
from waitlab.errors import LabError

app = typer.Typer(rich_markup_mode="rich")

RESULTS = Path(__file__).resolve().parents[2] / "results"
SUITES = "quick, A, B, C, D, E, F, L or replications"

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
What = Annotated[str, typer.Argument(metavar="NAME|FILE", help="An experiment (c02 is enough), or a TOML file.")]
Folder = Annotated[Path, typer.Option("--results", envvar="LAB_RESULTS", metavar="FOLDER", help="Where runs are kept.")]
A_RUN = "A run's name, its folder, an exported file, or an experiment: its newest run."
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Of the order of the trials; else a new one.")]


@app.command("list", epilog="For instance: [bold]./lab list[/], then [bold]./lab plan c02[/]")
def list_(as_json: AsJson = False) -> None:
    """Every experiment: its question, what it settles, its suites, and how long it takes."""
    from waitlab.verbs import catalogue

    _on_the_host()
    catalogue.show(as_json)


@app.command(epilog="For instance: [bold]./lab plan c02[/]")
def plan(what: What, seed: Seed = None, as_json: AsJson = False) -> None:
    """What a run would do: trials, commands, predicted values, how long. Runs nothing."""
    from waitlab.verbs import planned

    _on_the_host()
    planned.show(what, seed, as_json)


@app.command(
    epilog="For instance: [bold]./lab run c02[/] or [bold]./lab run --suite quick --junit gate.xml[/]. Exit code: "
    "0 every prediction judged as expected, 2 usage or configuration, 99 a verdict differs from what is expected, "
    "105 interrupted (what was measured is kept), 120 measured but inconclusive, 122 the environment is not ready.",
)
def run(  # noqa: PLR0917
    what: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE", help="An experiment (c02 is enough), or a TOML file.")
    ] = None,
    suite: Annotated[str | None, typer.Option(metavar="SUITE", help=f"{SUITES}, instead of one experiment.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what runs of the last 24 hours have measured of the same question.")
    ] = False,
    seed: Seed = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the verdicts for a CI gate.")] = None,
    results: Folder = RESULTS,
    as_json: AsJson = False,
) -> None:
    """Measure, judge, report. Needs no lab: it starts only what it needs, on free ports. Linux."""
    _on_the_host()
    if not sys.platform.startswith("linux"):
        raise LabError("lab run measures on Linux only", "run it there; lab report opens an exported run anywhere", 122)
    from waitlab.verbs import gate

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    asked = gate.Asked(what, suite, resume, seed, results)
    raise typer.Exit(gate.run(asked, os.environ, junit, as_json))


@app.command(
    epilog="For instance: [bold]./lab report c02[/] or [bold]./lab report run.zip -o run.html[/]. Without [bold]-o[/] "
    "report.html and report.md are written into the run's folder.",
)
def report(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=f"{A_RUN} The newest of all when left out.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="One file: .html or .md; - is standard output."),
    ] = None,
    results: Folder = RESULTS,
    as_json: AsJson = False,
) -> None:
    """Judge a run again from its folder alone, on any machine, and write its page."""
    from waitlab.verbs import past

    _on_the_host()
    past.report(results, run, output, as_json)


@app.command(
    epilog="For instance: [bold]./lab compare RUN_A RUN_B --quantity throughput_rps[/]. Exit code 120: of something it "
    "cannot be told whether it changed.",
)
def compare(
    before: Annotated[str, typer.Argument(metavar="RUN_A", help=A_RUN)],
    after: Annotated[str, typer.Argument(metavar="RUN_B", help="The same, measured later.")],
    quantity: Annotated[
        list[str] | None, typer.Option(help="What to compare; may be repeated. Else what the experiment predicts.")
    ] = None,
    results: Folder = RESULTS,
    as_json: AsJson = False,
) -> None:
    """Two runs, arm by arm: no practical difference, faster, slower, or cannot tell, and what could have been seen."""
    from waitlab.verbs import past

    _on_the_host()
    raise typer.Exit(past.compare(results, before, after, tuple(quantity or ()), as_json))


@app.command()
def runs(results: Folder = RESULTS, as_json: AsJson = False) -> None:
    """The history: every run that is kept, newest first, with its verdict."""
    from waitlab.verbs import past

    _on_the_host()
    past.history(results, as_json)


@app.command(epilog="For instance: [bold]./lab export c02 -o c02.zip[/]")
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help=A_RUN)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; RUN.zip when left out.")
    ] = None,
    results: Folder = RESULTS,
    as_json: AsJson = False,
) -> None:
    """Pack a run into one file, which anybody's [bold]lab report[/] opens."""
    from waitlab.verbs import past

    _on_the_host()
    past.export(results, run, output, as_json)


@app.command(
    epilog="For instance: [bold]./lab diagnose fastapi[/] or [bold]./lab diagnose lab.toml --seconds 30[/]. Exit code: "
    "0 a limit is named, or nothing is at its limit; 2 usage; 120 it cannot be told; 122 nothing runs there.",
)
def diagnose(
    what: Annotated[
        str | None,
        typer.Argument(metavar="SERVICE|lab.toml|URL", help="Of the running lab, by default the busiest; or your own."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=3, max=600, help="How long it is watched.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Watch a service under its present load and name what limits it. Sends nothing."""
    from waitlab.verbs import diagnosed

    raise typer.Exit(diagnosed.run(what, seconds, as_json))


@app.command(
    epilog="For instance: [bold]./lab serve shop:app --workers 4 --threads 8[/] or [bold]./lab serve shop:app --server "
    "uvicorn --port 9000 -- --limit-concurrency 100[/]. It stays in the foreground; Ctrl-C ends it. TTIN and TTOU give "
    "it one worker more or less, where its server can.",
)
def serve(  # noqa: PLR0917
    application: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Any WSGI or ASGI application.")],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- SERVER OPTIONS]", help="Given to the server as they are.")
    ] = None,
    server: Annotated[str, typer.Option(help="gunicorn, uvicorn or hypercorn.")] = "gunicorn",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    worker_class: Annotated[str, typer.Option(help="Of gunicorn or hypercorn; the server's own when left out.")] = "",
    threads: Annotated[int, typer.Option(min=0, max=1000, help="Of a gunicorn worker; its own when left out.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    python: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The application's interpreter; else the active virtual environment's."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the service in figures; the module's when left out.")] = "",
    traces: Annotated[str, typer.Option(help="off, sampled or all; needs OpenTelemetry beside the application.")] = (
        "sampled"
    ),
) -> None:
    """Serve your own application with its own interpreter, measured: nothing of it is changed, nothing installed."""
    _on_the_host()
    from waitlab.serve import interpreter, outside
    from waitlab.verbs import served

    asked = outside.Asked(
        app=application,
        service=name,
        server=server,
        python=interpreter.chosen(python, os.environ),
        workers=workers,
        worker_class=worker_class,
        threads=threads,
        host=host,
        port=port,
        options=tuple(options or ()),
        traces=traces,
        otlp_endpoint=os.environ.get("OTLP_ENDPOINT") or None,
    )
    raise typer.Exit(served.run(asked))


@app.command(
    epilog="For instance: [bold]./lab tune flask --request '/sync/sleep?ms=200'[/], or [bold]./lab tune --rate 200 "
    "--p95-ms 300[/] beside a lab.toml. Exit code: 0 one setting is recommended, 2 usage or configuration, 99 no "
    "setting meets the objective, 105 interrupted (what was measured is told), 122 the environment is not ready.",
)
def tune(  # noqa: PLR0917
    target: Annotated[
        str | None,
        typer.Argument(metavar="[TARGET]", help="A lab.toml, or its folder (this one); or a service of the lab."),
    ] = None,
    request: Annotated[
        str | None, typer.Option(metavar="PATH", help="What is asked of a service of the lab: '/sync/sleep?ms=200'.")
    ] = None,
    users: Annotated[
        int, typer.Option(min=0, max=10_000, help="As much throughput as so many users can get; 100 when left out.")
    ] = 0,
    rate: Annotated[float, typer.Option(min=0.0, max=100_000, help="Arrivals a second, to be carried.")] = 0.0,
    p95_ms: Annotated[
        float, typer.Option("--p95-ms", min=0.0, help="What 95 % of the answers must keep, under --rate or --users.")
    ] = 0.0,
    memory_mb: Annotated[float, typer.Option("--memory-mb", min=0.0, help="The memory that all may take (PSS).")] = 0.0,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores of the service; else all but the load's.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="An address beyond this machine that may be loaded.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Also write the answer as an HTML page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How many workers, of which class, with how many threads? Measures a few candidates and recommends one. Linux."""
    _on_the_host()
    if not sys.platform.startswith("linux"):
        raise LabError("lab tune measures on Linux only", code=122)
    from waitlab.verbs import tuned

    asked = tuned.Asked(target, request, users, rate, p95_ms, memory_mb, cores, tuple(allow or ()))
    raise typer.Exit(tuned.tune(asked, os.environ, output, as_json))


def _on_the_host() -> None:
    if runtime.in_container(os.environ):
        raise LabError("experiments are not run in a container", "use ./lab on the host, which needs Python there", 2)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt
