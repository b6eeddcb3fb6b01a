"""Values of a closed list of types ⇄ plain JSON types and *marks*, which tell what plain JSON cannot.

A mark is a path inside the value and a tag, kept beside the value, so that nothing is hidden inside a user's own dict.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel
from pydantic_core import TzInfo

from taf.errors import NotStorableError

MAX_DEPTH = 64
"""Deepest nesting of a stored value. pydantic encodes some 200 levels but cannot decode them."""

MAX_DIGITS = 10_000
"""How many digits a Decimal may have, written out: a few characters can name a number that no memory holds."""

Path = tuple[str | int, ...]
Mark = tuple[Path, str]

PLAIN = frozenset({str, int, float, bool, NoneType})
"""Types that JSON itself tells apart."""

_TEXT = frozenset({str})


# -- times -----------------------------------------------------------------------------------------


@cache
def _zone_keys() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(value: datetime | time) -> list[Any]:
    """Return what the ISO text leaves out of a time zone: the key of one with rules, the name of a fixed one."""
    zone = value.tzinfo
    kind = type(zone)
    if zone is None or zone is UTC or kind is TzInfo:
        return []
    if kind is timezone:
        offset, name = cast("timedelta", zone.utcoffset(None)), zone.tzname(None)
        own_name = "" if name == timezone(offset).tzname(None) else name
        is_plain = not own_name and not offset.microseconds  # which the ISO text may lose
        return [] if is_plain else [None, own_name, offset.days, offset.seconds, offset.microseconds]
    key = zone.key if isinstance(zone, ZoneInfo) and kind is ZoneInfo else None
    if key not in _zone_keys():
        raise ValueError(
            f"its time zone is {zone!r}; taf stores fixed offsets and the named zones of zoneinfo.ZoneInfo."
        )
    return [key]


def _dump_time(value: datetime | time) -> list[Any]:
    return [value.isoformat(), value.fold, *_zone(value)]


def _load_datetime(stored: list[Any]) -> datetime:
    text, fold, *zone = stored
    found = datetime.fromisoformat(text).replace(fold=fold)
    return found.replace(tzinfo=_load_zone(*zone)) if zone else found


def _load_time(stored: list[Any]) -> time:
    text, fold, *zone = stored
    found = time.fromisoformat(text).replace(fold=fold)
    return found.replace(tzinfo=_load_zone(*zone)) if zone else found


def _load_zone(key: str | None, name: str = "", *offset: int) -> tzinfo:
    if key is None:
        return timezone(timedelta(*offset), name) if name else timezone(timedelta(*offset))
    if key not in _zone_keys():  # only known keys may lead to a file
        raise ValueError(f"there is no time zone {key!r} here; is the package tzdata missing?")
    return ZoneInfo(key)


# -- numbers ---------------------------------------------------------------------------------------


def _bounded(value: Decimal) -> Decimal:
    """Return a number that is not so long or so large that it would take for ever to make a whole number of it."""
    if value.is_finite() and max(abs(value.adjusted()), abs(int(value.as_tuple().exponent))) > MAX_DIGITS:
        raise ValueError(f"it is a Decimal of more than {MAX_DIGITS:,} digits, written out.")
    return value


def _load_decimal(text: str) -> Decimal:
    if len(text) > 2 * MAX_DIGITS:
        raise ValueError(f"a Decimal has {len(text):,} characters")
    return _bounded(Decimal(text))


# -- values of a closed list of types --------------------------------------------------------------

SCALARS: dict[type, tuple[str, Callable[[Any], Any], type, Callable[[Any], Any]]] = {
    bytes: ("bytes", lambda v: base64.b64encode(v).decode(), str, lambda v: base64.b64decode(v, validate=True)),
    datetime: ("datetime", _dump_time, list, _load_datetime),
    date: ("date", date.isoformat, str, date.fromisoformat),
    time: ("time", _dump_time, list, _load_time),
    timedelta: ("timedelta", lambda v: [v.days, v.seconds, v.microseconds], list, lambda v: timedelta(*v)),
    Decimal: ("decimal", lambda v: str(_bounded(v)), str, _load_decimal),
    UUID: ("uuid", str, str, UUID),
}
_SEQUENCES: dict[type, str] = {tuple: "tuple", set: "set", frozenset: "frozenset"}
_FROM_TAG: dict[str, tuple[type, Callable[[Any], Any]]] = {
    **{tag: (stored, load) for tag, _, stored, load in SCALARS.values()},
    **{tag: (list, kind) for kind, tag in _SEQUENCES.items()},
    "dict": (list, dict),
}
"""tag → the JSON type that it stands on, and what builds the value. Each leads away from JSON, so none works twice."""


def dotted(path: Path) -> str:
    """Write a path as it would stand in Python: ``data['a'][0]``."""
    head, *rest = path or ("value",)
    return str(head) + "".join(f"[{part!r}]" for part in rest)


def pack(value: Any, where: Path = (), *, declared: bool = False) -> tuple[Any, list[Mark]]:
    """Return the value as plain JSON types, and the marks that tell what they were.

    ``where`` is the path of the value itself, for errors. With ``declared``, enums and named tuples become what they
    hold: a declared type builds them again. Raise ``NotStorableError`` for what is not on the list.
    """
    if type(value) in PLAIN:
        return value, []
    marks: list[Mark] = []
    return _pack(value, (), marks, where, declared), marks


def _pack(value: Any, path: Path, marks: list[Mark], where: Path, declared: bool) -> Any:
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind in PLAIN:
        return value
    if len(path) >= MAX_DEPTH:
        raise NotStorableError(dotted(where + path[:3]) + "[...]", f"it is nested deeper than {MAX_DEPTH} levels.")
    if kind is dict and _TEXT.issuperset(map(type, value)):
        return {
            key: item if type(item) in PLAIN else _pack(item, (*path, key), marks, where, declared)
            for key, item in value.items()
        }
    if kind is dict:
        marks.append((path, "dict"))
        value = [list(pair) for pair in value.items()]
    elif kind in _SEQUENCES:
        marks.append((path, _SEQUENCES[kind]))
    elif kind in SCALARS:
        return _pack_scalar(value, path, marks, where)
    elif kind is not list:
        return _pack_declared(value, path, marks, where, declared)
    return [
        item if type(item) in PLAIN else _pack(item, (*path, i), marks, where, declared) for i, item in enumerate(value)
    ]


def _pack_scalar(value: Any, path: Path, marks: list[Mark], where: Path) -> Any:
    tag, dump, _, _ = SCALARS[type(value)]
    marks.append((path, tag))
    try:
        return dump(value)
    except ValueError as error:
        raise NotStorableError(dotted(where + path), str(error)) from error


def _pack_declared(value: Any, path: Path, marks: list[Mark], where: Path, declared: bool) -> Any:
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]
    if declared and issubclass(kind, Enum):
        return _pack(value.value, path, marks, where, declared)
    if declared and issubclass(kind, tuple):
        return _pack(tuple(value), path, marks, where, declared)
    raise NotStorableError(dotted(where + path), _why_not(value))


def _why_not(value: object) -> str:
    kind = type(value)
    declare = f"declare the type {kind.__name__} in the state model, so that it can be built again."
    if issubclass(kind, BaseModel | Enum):
        return f"a {kind.__name__} stands where any value is allowed; {declare}"
    return f"{kind.__module__}.{kind.__qualname__} is not a type that taf stores; {declare}"


def unpack(value: Any, marks: list[Mark]) -> Any:
    """Undo ``pack``, in place. Raise ``ValueError`` for marks that do not fit."""
    if not marks:
        return value
    box = [value]
    try:
        for path, tag in sorted(marks, key=lambda mark: -len(mark[0])):  # children before their parents
            holder: Any = box
            steps: Path = (0, *path)
            for step in steps[:-1]:
                holder = holder[step]
            stored, load = _FROM_TAG[tag]
            if type(holder[steps[-1]]) is not stored:
                raise TypeError(f"{tag} does not stand on {type(holder[steps[-1]]).__name__}")
            holder[steps[-1]] = load(holder[steps[-1]])
    except (LookupError, TypeError, ArithmeticError, AttributeError) as error:
        raise ValueError(f"bad type mark: {error!r}") from error
    return box[0]
