"""The one validator: a raw query in; typed values out, or a problem that names the parameter and its bounds."""

import re
from collections.abc import Sequence

from services.contract import Parameter, Value
from services.problem import Problem

LONGEST_QUERY = 32_000  # bytes: ten thousand digits are still answered as the wrong number they are
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)  # canonical decimal: no sign, no leading zero, no underscore
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")


def read(query: bytes, allowed: Sequence[Parameter]) -> dict[str, Value]:
    """Every parameter of `allowed` with its value from `query` or its default, in order; Problem 400 otherwise."""
    given = _split(query, allowed)
    return {one.name: _value(given[one.name], one) if one.name in given else one.default for one in allowed}


def _split(query: bytes, allowed: Sequence[Parameter]) -> dict[str, str]:
    if len(query) > LONGEST_QUERY:
        raise Problem(400, f"The query is longer than {LONGEST_QUERY} bytes.", parameters=_bounds(allowed))
    known = {one.name: one for one in allowed}
    given: dict[str, str] = {}
    for part in query.split(b"&") if query else ():
        raw_name, _, raw_value = part.partition(b"=")
        name = _text(raw_name)
        if name is None:
            raise Problem(400, "A parameter's name is not percent-encoded UTF-8.", parameters=_bounds(allowed))
        if name not in known:
            takes = ", ".join(known) or "no parameter"
            detail = f"There is no such parameter here; this path takes {takes}."
            raise Problem(400, detail, parameter=name[:80], parameters=_bounds(allowed))
        if name in given:
            raise _refusal(known[name], "is given more than once; it must be")
        value = _text(raw_value)
        if value is None:
            raise _refusal(known[name], "is not percent-encoded UTF-8; it must be")
        given[name] = value
    return given


def _text(raw: bytes) -> str | None:
    """Percent-decoded UTF-8, strictly: None for a lone %, a lone surrogate or a stray byte, which are not repaired."""
    if b"%" in _ENCODED.sub(b"", raw):
        return None
    try:
        return _ENCODED.sub(lambda escape: bytes.fromhex(escape[1].decode()), raw).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _value(text: str, parameter: Parameter) -> Value:
    value = parsed(text, parameter)
    if value is None:
        raise _refusal(parameter, "must be")
    return value


def _refusal(parameter: Parameter, what: str) -> Problem:
    detail = f"{parameter.name} {what} {parameter.bounds}."
    return Problem(400, detail, parameter=parameter.name, allowed=parameter.bounds)


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


def _bounds(allowed: Sequence[Parameter]) -> dict[str, str]:
    return {one.name: one.bounds for one in allowed}
