"""A verdict for a person, and for a program."""

import json
import textwrap
from dataclasses import asdict

from waitlab.diagnose.decision import Verdict
from waitlab.diagnose.figures import Figures
from waitlab.diagnose.limits import Limit

WIDTH = 100


def text(seen: Figures, verdict: Verdict) -> str:
    """What binds, why that is known, what to do, where to look."""
    told = "" if verdict.limit is Limit.UNKNOWN else f" (confidence {verdict.confidence:.0%})"
    load = f", {seen.rps:.1f} requests/s" if seen.rps is not None else ""
    lines = [
        f"{seen.service}: {verdict.limit.value}{told}",
        f"  watched for {seen.seconds:.0f} s, {seen.looks} looks{load}",
        *(_item("", words) for words in verdict.evidence),
        *(_item("but: " if verdict.evidence else "because ", words) for words in verdict.doubts),
        *(_item("also seen: ", f"{one.limit.value}: {one.says[0]}") for one in verdict.also),
        "",
        _item("What to do: ", verdict.cure.does, "  "),
        f"  Where to look: {_where(seen, verdict)}",
    ]
    return "\n".join(lines)


def as_json(seen: Figures, verdict: Verdict) -> str:
    """Everything, `limit` as the word a person reads."""
    found = {
        "service": seen.service,
        "limit": verdict.limit.value,
        "confidence": round(verdict.confidence, 3),
        "evidence": list(verdict.evidence),
        "doubts": list(verdict.doubts),
        "also": [{"limit": one.limit.value, "evidence": list(one.says)} for one in verdict.also],
        "cure": verdict.cure.does,
        "dashboard": verdict.cure.dashboard if seen.telemetry else None,
        "panel": verdict.cure.panel if seen.telemetry else None,
        "figures": asdict(seen),
    }
    return json.dumps(found, indent=1)


def _where(seen: Figures, verdict: Verdict) -> str:
    """The panel; of a service that shows no figures of its own all of them are empty."""
    if not seen.telemetry:
        return "nowhere yet; the dashboards show a service that `lab serve` has started"
    return f'dashboard "{verdict.cure.dashboard}", panel "{verdict.cure.panel}"'


def _item(head: str, words: str, indent: str = "  - ") -> str:
    return textwrap.fill(f"{head}{words}", WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent))
