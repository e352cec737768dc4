"""The functions of an experiment's own file: what no quantity expresses, computed when a trial is measured.

It is the one place that runs an experimenter's code. What the functions return is stored with the trial, so that
judging it again, perhaps elsewhere, runs nobody's.
"""

import importlib.util
import math
from collections.abc import Callable, Mapping
from inspect import isfunction
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
    named = {name: value for name, value in vars(module).items() if not name.startswith("_") and isfunction(value)}
    return {name: value for name, value in named.items() if value.__module__ == module.__name__}


def measured(functions: Mapping[str, Function], trial: Trial) -> dict[str, float]:
    """What each function makes of the trial; a quantity it has no value for, or fails on, was not measured."""
    found = {}
    for name, function in functions.items():
        try:
            value = function(trial)
        except Exception:  # an experimenter's mistake must not cost the trial
            continue
        if isinstance(value, int | float) and math.isfinite(value):
            found[name] = float(value)
    return found
