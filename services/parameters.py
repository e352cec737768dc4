"""The one validator: a raw query in; typed values out, or a problem that names the parameter and its bounds."""

import re
from collections.abc import Sequence

from services.contract import Parameter, Value
from services.problem import Problem

LONGEST_QUERY = 1_000  # bytes; the longest valid query of the contract is below 60
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)  # canonical decimal: no sign, no leading zero, no underscore
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")


def read(query: bytes, allowed: Sequence[Parameter]) -> dict[str, Value]:
    """Every parameter of `allowed` with its value from `query` or its default, in order; Problem 400 otherwise."""
    given = _split(query, allowed)
    return {one.name: _value(given[one.name], one) if one.name in given else one.default for one in allowed}


def _split(query: bytes, allowed: Sequence[Parameter]) -> dict[str, str]:
    if len(query) > LONGEST_QUERY:
        raise Problem(400, f"The query is longer than {LONGEST_QUERY} bytes.", parameters=_names(allowed))
    given: dict[str, str] = {}
    for part in query.split(b"&") if query else ():
        raw_name, _, raw_value = part.partition(b"=")
        name = _text(raw_name, allowed)
        if name not in _names(allowed):
            takes = ", ".join(_names(allowed)) or "no parameter"
            raise Problem(400, f"There is no such parameter here; this path takes {takes}.", parameter=name)
        if name in given:
            raise Problem(400, f"{name} is given more than once.", parameter=name)
        given[name] = _text(raw_value, allowed, name)
    return given


def _text(raw: bytes, allowed: Sequence[Parameter], name: str = "") -> str:
    """Percent-decoded UTF-8, strictly: a lone %, a lone surrogate or a stray byte is refused, not repaired."""
    try:
        if b"%" in _ENCODED.sub(b"", raw):
            raise ValueError("a % that begins no escape")
        return _ENCODED.sub(lambda escape: bytes.fromhex(escape[1].decode()), raw).decode("utf-8")
    except ValueError:
        where = f"The value of {name}" if name else "A parameter's name"
        raise Problem(
            400, f"{where} is not percent-encoded UTF-8.", parameter=name, parameters=_names(allowed)
        ) from None


def _value(text: str, parameter: Parameter) -> Value:
    value = parsed(text, parameter)
    if value is None:
        detail = f"{parameter.name} must be {parameter.bounds}."
        raise Problem(400, detail, parameter=parameter.name, allowed=parameter.bounds)
    return value


def parsed(text: str, parameter: Parameter) -> Value | None:
    """The typed value of `text`; None when it is not within the bounds of `parameter`."""
    if parameter.kind == "bool":
        return {"0": False, "1": True}.get(text)
    if parameter.kind == "choice":
        return text if text in parameter.choices else None
    if not _WHOLE_NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if parameter.minimum <= number <= parameter.maximum else None


def written(values: dict[str, Value]) -> bytes:
    """`values` as the canonical query that `read` takes back: every parameter, a bool as 0 or 1."""
    return "&".join(
        f"{name}={int(value) if isinstance(value, bool) else value}" for name, value in values.items()
    ).encode()


def _names(allowed: Sequence[Parameter]) -> list[str]:
    return [one.name for one in allowed]
