"""Witness 1 of a trial: the clients. Drives a load at a service, with every request written down, and reads it back."""

from waitlab.drive.driver import Driver, Standby, command, driving, standby
from waitlab.drive.mixed import driving_mix, driving_theirs
from waitlab.drive.record import Answer, Recording, Sample
from waitlab.drive.singles import singles
from waitlab.drive.view import client, slices

__all__ = [
    "Answer",
    "Driver",
    "Recording",
    "Sample",
    "Standby",
    "client",
    "command",
    "driving",
    "driving_mix",
    "driving_theirs",
    "singles",
    "slices",
    "standby",
]
