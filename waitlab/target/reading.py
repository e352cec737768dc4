"""lab.toml, read strictly; and a service of the lab as a target."""

from pathlib import Path

from waitlab.target.target import Target


def read(file: Path) -> Target:
    """The service that lab.toml describes. LabError 2 names file, key and what was meant."""
    raise NotImplementedError


def of_lab(service: str, request: str) -> Target:
    """A service of the lab with one request of the contract. LabError 2 for what it does not offer."""
    raise NotImplementedError
