"""Which types need a copy, so that nobody changes what somebody else holds; and copies that are copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from pydantic import BaseModel, ConfigDict, Field

from taf.state import Message
from taf.state.copying import copier_for, copy_value, is_immutable
from tests.rounds import rounds
from tests.serialization.values import shape, values


class Color(Enum):
    RED = "red"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str = ""
    pair: tuple[int, ...] = ()


class FrozenHoldingAList(BaseModel):
    model_config = ConfigDict(frozen=True)
    items: list[int] = []


class FrozenHoldingAnything(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Loose(BaseModel):
    name: str = ""


@dataclass(frozen=True)
class Point:
    tags: list[str] = field(default_factory=list[str])


@pytest.mark.parametrize(
    "declared",
    [
        None,
        int,
        str | None,
        Literal["a"],
        Color,
        datetime,
        tuple[int, ...],
        tuple[str, Decimal],
        frozenset[bytes],
        Annotated[int, Field(ge=0)],
        Message,
        Frozen,
        Frozen | None,
        tuple[Frozen, ...],
    ],
    ids=str,
)
def test_values_that_nobody_can_change_need_no_copy(declared: Any) -> None:
    assert is_immutable(declared)
    assert copier_for(declared) is None
    assert copier_for(list[declared]) is list


@pytest.mark.parametrize(
    "declared",
    [
        Any,
        object,
        tuple,
        dict[str, int],
        set[int],
        tuple[list[int], ...],
        int | list[int],
        Loose,
        FrozenHoldingAList,
        FrozenHoldingAnything,
        Point,
    ],
    ids=str,
)
def test_all_other_values_are_copied(declared: Any) -> None:
    assert not is_immutable(declared)
    assert copier_for(declared) is copy_value
    assert copier_for(list[declared]) is copy_value


@settings(max_examples=rounds(150), deadline=None)
@given(values)
def test_a_copy_is_the_same(value: Any) -> None:
    assert shape(copy_value(value)) == shape(value)


def test_a_copy_shares_nothing_that_can_be_changed() -> None:
    value: dict[str, Any] = {"list": [[1]], "set": {1}, "tuple": ([1],), "model": Loose(), "point": Point(["x"])}
    copied = copy_value(value)
    copied["list"][0].append(2)
    copied["set"].add(2)
    copied["tuple"][0].append(2)
    copied["model"].name = "new"
    copied["point"].tags.append("y")

    assert value == {"list": [[1]], "set": {1}, "tuple": ([1],), "model": Loose(), "point": Point(["x"])}
