"""Typed records from JSON that may come from anyone: read strictly, or refused with the place that is wrong."""

import dataclasses
import json
import types
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from waitlab.errors import LabError

T = TypeVar("T")

LARGEST, FARTHEST = 2**63 - 1, 1e300
ANYTHING: Any = object


def text(raw: bytes, where: str) -> str:
    """UTF-8 as text; LabError otherwise."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise LabError(f"{where}: not text", "it was edited, or is no file of Waitlab", 2) from None


def parse(raw: bytes, where: str) -> dict[str, Any]:
    """A JSON object without duplicate keys or numbers that JSON does not have; LabError otherwise."""
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise LabError(
            f"{where}: not JSON as it was written ({error})", "it was edited, or is no file of Waitlab", 2
        ) from None
    if not isinstance(value, dict):
        _refuse(where, "an object", value)
    return value


def decode(kind: type[T], value: object, where: str) -> T:
    """`value` as the dataclass `kind`: each field of the type it says, none missing that has no default, and none
    unknown but one that says nothing, as null does of what another version recorded.

    Whole numbers are 0 to 2^63 - 1, fractions finite, keys text or whole numbers; LabError otherwise.
    """
    decoded: T = _decode(kind, value, where)
    return decoded


def _decode(kind: Any, value: object, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _decode(inner[0], value, where)
    if origin is tuple:
        items = value if isinstance(value, list) else _refuse(where, "a list", value)
        return tuple(_decode(inner[0], item, f"{where}[{place}]") for place, item in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        entries = value if isinstance(value, dict) else _refuse(where, "an object", value)
        return {
            _key(inner[0], key, where): _decode(inner[1], entry, f"{where}.{key[:40]!r}")
            for key, entry in entries.items()
        }
    return value if kind is ANYTHING else _plain(kind, value, where)


def _record(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        _refuse(where, "an object", value)
    hints, fields = get_type_hints(kind), dataclasses.fields(kind)
    given = {name: entry for name, entry in value.items() if name in hints or entry is not None}
    unknown = sorted(given.keys() - hints.keys())
    needed = [field for field in fields if field.default is field.default_factory is dataclasses.MISSING]
    missing = [field.name for field in needed if field.name not in value]
    if unknown or missing:
        what = f"unknown field {unknown[0][:40]!r}" if unknown else f"{missing[0]} is missing"
        raise LabError(f"{where}: {what}", "it was edited, or written by another version", 2)
    return kind(**{name: _decode(hints[name], entry, f"{where}.{name}") for name, entry in given.items()})


def _plain(kind: type, value: object, where: str) -> object:
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= FARTHEST:
        return float(value)
    if kind is int and type(value) is int and 0 <= value <= LARGEST:
        return value
    if kind in (str, bool) and type(value) is kind:
        return value
    return _refuse(where, {float: "a number", int: "a whole number", str: "text", bool: "true or false"}[kind], value)


def _key(kind: type, key: str, where: str) -> object:
    if kind is str:
        return key
    return (
        int(key) if key.isascii() and key.isdigit() and len(key) < 19 else _refuse(where, "whole numbers as keys", key)
    )


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("the same key twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _refuse(where: str, wanted: str, value: object) -> NoReturn:
    raise LabError(f"{where}: {wanted} expected, not {str(value)[:40]!r}", "it was edited, or is no file of Waitlab", 2)
