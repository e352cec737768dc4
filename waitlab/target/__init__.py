"""What `lab tune` and `lab diagnose` measure: a service of the lab's, or one of the user's that lab.toml describes."""

from waitlab.target.arm import of_arm
from waitlab.target.lab import of_lab
from waitlab.target.observation import Observation
from waitlab.target.reading import read
from waitlab.target.rig import Rig, rig
from waitlab.target.service import Service
from waitlab.target.settings import Choices, Setting
from waitlab.target.target import Request, Target

__all__ = [
    "Choices",
    "Observation",
    "Request",
    "Rig",
    "Service",
    "Setting",
    "Target",
    "of_arm",
    "of_lab",
    "read",
    "rig",
]
