"""Values of every type that is stored, and a way to compare them that forgives nothing."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st
from pydantic import BaseModel


class Moon(tzinfo):
    """A time zone that has no name to be stored by."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=13)

    def __repr__(self) -> str:
        return "Moon()"


texts = st.text(st.characters(), max_size=8) | st.sampled_from(["\x00", "a\x00b", "\ud800", "x\udfff", "\\ud800", "é𝄞"])
numbers = st.integers() | st.integers(-(2**200), 2**200) | st.floats() | st.booleans()
decimals = st.decimals(allow_nan=False) | st.sampled_from(
    [Decimal("NaN"), Decimal("1.00"), Decimal("-0"), Decimal("1E+400")]
)
fixed_zones = st.builds(
    timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)), st.text("ABCxyz+- ", min_size=1, max_size=4)
) | st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
ZONES = sorted(available_timezones())
named_zones = st.integers(0, len(ZONES) - 1).map(lambda index: ZoneInfo(ZONES[index]))
zones = st.none() | st.just(UTC) | fixed_zones | named_zones
datetimes = st.datetimes(timezones=zones, allow_imaginary=True) | st.builds(
    lambda moment, fold: moment.replace(fold=fold), st.datetimes(timezones=zones), st.integers(0, 1)
)
times = st.builds(lambda found, fold: found.replace(fold=fold), st.times(timezones=zones), st.integers(0, 1))
hashables = (
    st.none()
    | numbers
    | texts
    | st.binary(max_size=8)
    | decimals
    | datetimes
    | times
    | st.dates()
    | st.timedeltas()
    | st.uuids()
)
keys = st.recursive(hashables, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
values = st.recursive(
    hashables | st.just(Decimal("sNaN")),  # this one has no hash
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """Describe a value with the type of each part, so that 1 is not True, 0.0 not -0.0, and NaN is NaN."""
    kind = type(value).__name__
    if isinstance(value, BaseModel):
        return kind, {name: shape(part) for name, part in {**value.__dict__, **(value.model_extra or {})}.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return kind, [shape(getattr(value, part.name)) for part in fields(value)]
    if isinstance(value, Enum):
        return kind, value.name
    if isinstance(value, dict):
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(shape(item)) for item in value)
    if isinstance(value, list | tuple):
        return kind, [shape(item) for item in value]
    if isinstance(value, datetime | time):
        zone = value.tzinfo
        return kind, value.isoformat(), value.fold, type(zone).__name__, getattr(zone, "key", None), value.tzname()
    return kind, repr(value)
