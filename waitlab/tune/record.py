"""The answer as JSON: `recommendation`, `predicted`, `achieved`, `limit`, `candidates`, and what they rest on."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from waitlab.target.settings import Setting
from waitlab.tune.answer import Answer, Candidate
from waitlab.tune.demands import Demands
from waitlab.tune.predicted import Predicted


def as_json(of: Answer) -> dict[str, Any]:
    """The answer as a program reads it; what is infinite or not known is null."""
    known, chosen = of.known, of.recommended
    found = {
        "target": of.target,
        "objective": {**asdict(known.objective), "cores": known.cores, "words": str(known.objective)},
        "recommendation": _chosen(chosen, of) if chosen else None,
        "nearest": {**_setting(of.nearest.setting), "misses": list(of.in_the_way)} if of.nearest else None,
        "predicted": _foretold(chosen.foretold) if chosen else None,
        "achieved": asdict(chosen.achieved) if chosen and chosen.achieved else None,
        "limit": _limit(of),
        "best": [_setting(one) for one in of.best],
        "candidates": [_row(one) for one in of.candidates],
        "demands": {kind or "service": _demands(one) for kind, one in known.demands().items()},
        "scalability": {**asdict(of.scalability), "peak": of.scalability.peak} if of.scalability else None,
        "doubts": list(of.doubts),
        "windows": known.windows,
        "seconds": round(of.seconds, 1),
        "is_whole": of.is_whole,
    }
    cleaned: dict[str, Any] = _finite(found)
    return cleaned


def _chosen(one: Candidate, of: Answer) -> dict[str, Any]:
    return {**_setting(one.setting), "command": of.command, "variables": dict(of.variables)}


def _setting(one: Setting) -> dict[str, Any]:
    return {**asdict(one), "words": str(one)}


def _foretold(one: Predicted) -> dict[str, Any]:
    names = ("throughput_rps", "expected_rps", "ceiling_rps", "mean_ms", "p95_ms")
    memory = {"pss_mb": one.pss_mb if one.knows_memory else None, "pss_mb_at_most": one.most_mb or None}
    return {**{name: getattr(one, name) for name in names}, **memory, "formula": one.bounds[0].text}


def _limit(of: Answer) -> dict[str, Any] | None:
    if of.limits is None:
        return None
    following = of.limits.following
    return {
        **asdict(of.limits.binding),
        "next": asdict(following) if following else None,
        "evidence": list(of.limits.evidence),
        "margins": dict(of.margins),
        "rule_of_thumb": of.rule_of_thumb,
    }


def _row(one: Candidate) -> dict[str, Any]:
    return {
        **_setting(one.setting),
        "predicted": _foretold(one.foretold),
        "achieved": asdict(one.achieved) if one.achieved else None,
        "verdict": one.standing.verdict if one.standing else "not measured",
        "why": one.why,
    }


def _demands(one: Demands) -> dict[str, Any]:
    figures = asdict(one) | {"wait_ms": one.wait_s * 1000, "cpu_ms": one.cpu_s * 1000, "think_ms": one.think_s * 1000}
    figures |= {} if len(one.weighed) > 1 else {"further_mb": None}
    return {name: value for name, value in figures.items() if name not in ("wait_s", "cpu_s", "least_cpu_s", "think_s")}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
