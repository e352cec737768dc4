"""One table of a TOML file, read strictly: each key has a check, and a fault names file, key and what was meant."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waitlab.errors import LabError

Check = Callable[[object], Any]  # the value as it is used; ValueError says what is allowed


@dataclass(frozen=True)
class Place:
    """Where in which file one reads: `key` is dotted, as TOML writes it."""

    file: Path
    key: str = ""

    def at(self, key: str) -> "Place":
        """The place one level below."""
        return Place(self.file, f"{self.key}.{key}" if self.key else key)

    def fault(self, what: str, remedy: str = "") -> LabError:
        """What is wrong here, as the error to raise."""
        return LabError(f"{self.file}: {self.key} {what}" if self.key else f"{self.file} {what}", remedy, 2)

    def unknown(self, name: str, kind: str, known: Iterable[str]) -> LabError:
        """The fault of a name that is none of `known`."""
        return self.fault(f"is not known: {shown(name)} is no {kind}", meant(name, known))


def shown(value: object) -> str:
    """A value of the file in an error message: never long, never more than one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def meant(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names, and otherwise all of them."""
    names = list(known)
    found = nearest(name, names)
    return f"did you mean {found}?" if found else f"there are {', '.join(names) or 'none'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant; empty without one."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), "")


def read(place: Place, found: object, checks: Mapping[str, Check], needed: Iterable[str] = ()) -> dict[str, Any]:
    """The checked values of one table, in the file's order. LabError for the first fault."""
    table = as_table(place, found)
    for key, value in table.items():
        if key not in checks:
            raise place.at(key).unknown(key, "key here", checks)
        table[key] = checked(place.at(key), value, checks[key])
    for key in needed:
        if key not in table:
            raise place.fault(f"has no {key}" if place.key else f"says no {key}", f"add {place.at(key).key}")
    return table


def as_table(place: Place, found: object) -> dict[str, Any]:
    """A copy of the table; LabError when it is something else."""
    if not isinstance(found, dict):
        raise place.fault(f"is {shown(found)}", f"{place.key} is a table: [{place.key}]")
    return dict(found)


def checked(place: Place, value: object, check: Check) -> Any:
    """The value as its check makes it; LabError when that refuses it."""
    try:
        return check(value)
    except ValueError as error:
        raise place.fault(f"= {shown(value)} is not allowed", f"it takes {error}") from None


def whole(minimum: int, maximum: int) -> Check:
    """A whole number within bounds."""

    def check(value: object) -> int:
        if type(value) is not int or not minimum <= value <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum}")
        return value

    return check


def number(minimum: float, maximum: float, what: str = "") -> Check:
    """A finite number within bounds; `what` it is, where the bounds alone do not tell."""

    def check(value: object) -> float:
        if type(value) not in (int, float) or not minimum <= value <= maximum:  # type: ignore[operator]
            raise ValueError(f"{what}a number from {minimum:g} to {maximum:g}")
        return float(value)  # type: ignore[arg-type]

    return check


def switch(value: object) -> bool:
    """true or false, and nothing that only resembles them."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def text(value: object, longest: int = 500) -> str:
    """Some words; line breaks in them are blanks."""
    words = " ".join(value.split()) if isinstance(value, str) else ""
    if not 1 <= len(words) <= longest or not words.isprintable():
        raise ValueError(f"1 to {longest} printable characters in quotes")
    return words


def choice(*allowed: str) -> Check:
    """One of some words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return value

    return check


def matching(pattern: str, allowed: str) -> Check:
    """Text of one form."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(allowed)
        return value

    return check


def finite(value: object) -> float:
    """Any number that can be predicted."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e12 or math.isnan(value):
        raise ValueError("a number, or { arm = ..., quantity = ..., times = ... }")
    return float(value)


def anything(value: object) -> object:
    """A value that is read later."""
    return value
