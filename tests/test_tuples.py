"""A named tuple of the house is what `typing` would have made of the same class."""

from __future__ import annotations

import copy
import pickle
import typing

import pytest

from taf.tuples import NamedTuple


class Point(NamedTuple):
    """A place."""

    x: int
    y: int | None = None

    @property
    def is_flat(self) -> bool:
        return self.y is None


class Twin(typing.NamedTuple):
    """A place."""

    x: int
    y: int | None = None


class Empty(NamedTuple):
    """Nothing to say."""


def test_it_is_a_tuple_with_names_and_defaults() -> None:
    assert Point(1) == (1, None) == Twin(1)
    assert Point(x=1, y=2)._replace(y=3) == (1, 3)
    assert (Point._fields, Point._field_defaults) == (Twin._fields, Twin._field_defaults)
    assert Point.__bases__ == Twin.__bases__ == (tuple,)
    assert repr(Point(1)) == "Point(x=1, y=None)"
    assert Empty() == ()


def test_a_replacement_of_what_is_no_field_is_refused() -> None:
    for point in (Point(1), Twin(1)):
        with pytest.raises((ValueError, TypeError), match=r"Got unexpected field names: \['z'\]"):
            point._replace(**{"x": 2, "z": 3})
    assert Point(1, 2)._replace() == (1, 2)


def test_it_keeps_what_the_class_says() -> None:
    assert Point(1).is_flat
    assert Point.__doc__ == Twin.__doc__
    assert (Point.__module__, Point.__qualname__) == (__name__, "Point")
    assert not hasattr(Point(1), "__dict__")
    assert typing.get_type_hints(Point) == typing.get_type_hints(Twin)


def test_it_can_be_copied_and_pickled() -> None:
    assert copy.deepcopy(Point(1, 2)) == Point(1, 2)
    assert pickle.loads(pickle.dumps(Point(1, 2))) == Point(1, 2)
