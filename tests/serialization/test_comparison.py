"""Two values are the same only if each part is, in value and type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from pydantic import BaseModel, ConfigDict

from taf.serialization import difference
from taf.state.copying import copy_value
from tests.rounds import rounds
from tests.serialization.values import shape, values
from tests.steady_ids import steady

NAN = float("nan")


class Pet(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str = "Rex"
    tags: list[Any] = []

    @cached_property
    def shout(self) -> str:
        return self.name.upper()


@dataclass(eq=False)
class Point:
    x: Any


class Grumpy:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("never compare me")

    __hash__ = None


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        (1, True, ()),
        (0, False, ()),
        (1, 1.0, ()),
        (0.0, -0.0, ()),
        ((1,), [1], ()),
        ({1}, frozenset({1}), ()),
        ({1}, {True}, ()),
        ({(1, 2)}, {(1, 2.0)}, ()),
        ([1, [2, 3]], [1, [2, 3.0]], (1, 1)),
        ([1], [1, 2], ()),
        ({"a": {"b": 1}}, {"a": {"b": True}}, ("a", "b")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ()),
        ({1: "x"}, {True: "x"}, ()),
        (Decimal("1.0"), Decimal("1.00"), ()),
        (datetime(2024, 10, 27, 2), datetime(2024, 10, 27, 2, fold=1), ()),
        (datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 1, 2, tzinfo=timezone(timedelta(hours=2))), ()),
        (datetime(2024, 7, 1, tzinfo=ZoneInfo("UTC")), datetime(2024, 7, 1, tzinfo=UTC), ()),
        (Pet(tags=[1]), Pet(tags=[True]), ("tags", 0)),
        (Pet(age=1), Pet(age=2), ("age",)),
        (Pet(age=1), Pet(), ()),
        (Point(1), Point(True), ("x",)),
        (Grumpy(), Grumpy(), ()),
    ],
    ids=steady,
)
def test_a_difference_is_found_where_it_is(one: Any, other: Any, where: tuple[Any, ...]) -> None:
    assert difference(one, other, ("value",)) == ("value", *where)


def test_no_numbers_equal_each_other_wherever_they_are() -> None:
    assert difference([NAN, {"a": float("nan")}], [float("nan"), {"a": NAN}]) is None
    assert difference({NAN, 1.0}, {float("nan"), 1.0}) is None
    assert difference(Decimal("sNaN"), Decimal("sNaN")) is None


def test_what_a_model_has_cached_is_no_part_of_it() -> None:
    used = Pet()
    assert used.shout == "REX"

    assert difference(used, Pet()) is None


def test_dataclasses_are_compared_by_their_fields() -> None:
    assert difference(Point([1]), Point([1])) is None


@settings(max_examples=rounds(300), deadline=None)
@given(values, values)
def test_a_difference_is_found_exactly_when_there_is_one(one: Any, other: Any) -> None:
    assert (difference(one, other) is None) == (shape(one) == shape(other))


@settings(max_examples=rounds(200), deadline=None)
@given(values)
def test_a_copy_does_not_differ(value: Any) -> None:
    assert difference(value, copy_value(value)) is None
