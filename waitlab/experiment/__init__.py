"""One question in TOML: read strictly into one typed value, which is listed, planned and run.

Nothing here runs, measures or judges. docs/experiments.md describes the file.
"""

from waitlab.experiment.question import (
    PAIR_REPEATS,
    REPEATS,
    THEIR_MIX,
    VICTIM_RATE,
    Arm,
    Cell,
    Experiment,
    Load,
    Prediction,
    Reference,
    Source,
    Value,
)
from waitlab.experiment.reading import FOLDER, REPLICATIONS, files, find, read, recorded

__all__ = [
    "FOLDER",
    "PAIR_REPEATS",
    "REPEATS",
    "REPLICATIONS",
    "THEIR_MIX",
    "VICTIM_RATE",
    "Arm",
    "Cell",
    "Experiment",
    "Load",
    "Prediction",
    "Reference",
    "Source",
    "Value",
    "files",
    "find",
    "read",
    "recorded",
]
