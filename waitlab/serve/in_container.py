"""`lab serve` inside a user's container: the same service, run by the container's own Python from a mounted folder.

Only the standard library and prometheus_client are at hand. It announces itself by the container's name in the lab's
folder of targets, which is mounted too.
"""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from waitlab.errors import LabError
from waitlab.serve import outside, settings


def main(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until told to stop; the exit code."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        return outside.run(asked(words), environment)
    except LabError as error:
        print(error.told, file=sys.stderr)
        return error.code


def asked(words: Sequence[str]) -> outside.Asked:
    """What the command line says; it has the options of `lab serve` but for the interpreter. SystemExit 2 if wrong."""
    own, options = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, ())
    given = _parser().parse_args(own)
    return outside.Asked(
        app=given.application,
        service=given.name,
        server=given.server,
        python=Path(sys.executable),
        workers=given.workers,
        worker_class=given.worker_class,
        threads=given.threads,
        host=given.host,
        port=given.port,
        options=tuple(options),
        traces=given.traces,
        otlp_endpoint=given.otlp_endpoint,
        targets_dir=given.targets,
        announce="hostname",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python /waitlab", epilog="Options of the server itself follow after --.")
    parser.add_argument("application", metavar="MODULE:APP")
    parser.add_argument("--server", default="gunicorn", choices=outside.SERVERS)
    parser.add_argument("--workers", type=int, default=1, choices=range(1, settings.MOST_WORKERS + 1), metavar="N")
    parser.add_argument("--worker-class", default="")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--name", default="", help="of the service in figures; the module's when left out")
    parser.add_argument("--traces", default="sampled", choices=("off", "sampled", "all"))
    parser.add_argument("--otlp-endpoint", default=None, help="such as http://tempo:4318")
    parser.add_argument("--targets", type=Path, default=Path("/targets"), help="the lab's folder of targets")
    return parser
