"""The functions of an experiment's own file: what no quantity expresses, computed when a trial is measured.

It is the one place that runs an experimenter's code. What the functions return is stored with the trial, so that
judging it again, perhaps elsewhere, runs nobody's.
"""

import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import isfunction, unwrap
from pathlib import Path

from waitlab.errors import LabError
from waitlab.trial import Trial

Function = Callable[[Trial], float | None]


def load(file: Path | None) -> dict[str, Function]:
    """Every public function of the file, by name; none without a file. LabError 2 when it cannot be run."""
    if file is None:
        return {}
    spec = importlib.util.spec_from_file_location(f"experiments.{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise LabError(
            f"{file} cannot be run: {error!r:.200}", "its functions are quantities: Trial -> float", 2
        ) from error
    public = {name: value for name, value in vars(module).items() if not name.startswith("_") and callable(value)}
    return {name: value for name, value in public.items() if _is_own(value, module.__name__)}


def _is_own(value: object, module: str) -> bool:
    """Whether it is a function of the file itself, decorated or not, and none that it imported."""
    inner = unwrap(value) if callable(value) else value
    return isfunction(inner) and inner.__module__ == module


def apply(functions: Mapping[str, Function], trial: Trial) -> Trial:
    """The trial with what each function makes of it, or why one makes nothing; a mistake costs its own figure alone."""
    found, faults = dict[str, float](), dict[str, str]()
    for name, function in functions.items():
        try:
            found[name] = _number(function(trial))
        except Exception as error:
            faults[name] = f"its function gives no number: {error!r:.200}"
    return replace(trial, measured=found, unmeasured=faults)


def _number(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"it is {value!r:.60}")
    return float(value)
