"""One question in TOML: read strictly into one typed value, which is listed, planned and run.

Nothing here runs, measures or judges. docs/experiments.md describes the file.
"""

from waitlab.experiment.question import VICTIM_RATE, Arm, Cell, Experiment, Load, Prediction, Reference, Value
from waitlab.experiment.reading import FOLDER, find, read, recorded

__all__ = [
    "FOLDER",
    "VICTIM_RATE",
    "Arm",
    "Cell",
    "Experiment",
    "Load",
    "Prediction",
    "Reference",
    "Value",
    "find",
    "read",
    "recorded",
]
