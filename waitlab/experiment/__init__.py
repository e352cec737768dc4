"""One question in TOML: read strictly into one typed value, which is listed, planned and run.

Nothing here runs, measures or judges. docs/experiments.md describes the file.
"""

from waitlab.experiment.question import (
    PAIR_REPEATS,
    REPEATS,
    VICTIM_RATE,
    Arm,
    Experiment,
    Load,
    Prediction,
    Reference,
    Value,
)
from waitlab.experiment.reading import FOLDER, find, read, recorded

__all__ = [
    "FOLDER",
    "PAIR_REPEATS",
    "REPEATS",
    "VICTIM_RATE",
    "Arm",
    "Experiment",
    "Load",
    "Prediction",
    "Reference",
    "Value",
    "find",
    "read",
    "recorded",
]
