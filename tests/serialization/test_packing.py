"""Values of the closed list of types come back as they went in; all others are refused, with their path."""

from __future__ import annotations

import io
import struct
import threading
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from taf.errors import NotStorableError
from taf.serialization import MAX_DEPTH, dumps, loads, pack, packing, unpack
from tests.cost import cost
from tests.rounds import rounds
from tests.serialization.values import Moon, shape, values
from tests.steady_ids import steady

BERLIN = ZoneInfo("Europe/Berlin")


def through(value: Any) -> Any:
    packed, marks = pack(value)
    stored = loads(dumps([packed, marks]))
    return unpack(stored[0], [(tuple(path), tag) for path, tag in stored[1]])


@settings(max_examples=rounds(400), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(values)
def test_every_listed_value_comes_back_as_it_went_in(value: Any) -> None:
    assert shape(through(value)) == shape(value)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
        datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
        datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN),  # a time that the clocks left out
        datetime(2024, 7, 1, tzinfo=timezone(timedelta(hours=2), "CEST")),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14, seconds=1, microseconds=5))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(microseconds=-1))),
        datetime(2024, 10, 27, 2, 30, fold=1),
        time(2, 30, fold=1),
        time(2, 30, tzinfo=BERLIN),
        time(2, 30, 0, 1, tzinfo=UTC),
    ],
    ids=repr,
)
def test_a_time_keeps_its_zone_and_its_fold(value: datetime | time) -> None:
    assert shape(through(value)) == shape(value)


def test_a_zone_comes_back_with_its_rules() -> None:
    winter = through(datetime(2024, 1, 1, 12, tzinfo=BERLIN))

    assert winter.tzinfo is BERLIN
    assert (winter + timedelta(days=180)).utcoffset() == timedelta(hours=2)


def test_an_offset_that_pydantic_read_comes_back_as_the_same_moment() -> None:
    read = TypeAdapter(datetime).validate_python("2024-01-01T10:00:00+02:00")

    assert through(read) == read
    assert through(read).utcoffset() == timedelta(hours=2)


ZONE_FILE = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + bytes(6) + b"UTC\0"


@pytest.mark.parametrize("zone", [Moon(), ZoneInfo.from_file(io.BytesIO(ZONE_FILE))], ids=["made by hand", "read"])
def test_a_zone_that_cannot_be_named_is_refused(zone: tzinfo) -> None:
    with pytest.raises(NotStorableError, match=r"^data\['at'\] cannot be stored: its time zone is"):
        pack({"at": datetime(2024, 1, 1, tzinfo=zone)}, ("data",))


def test_a_dict_that_looks_like_marks_is_only_a_dict() -> None:
    hostile = {"__type__": "datetime", "marks": [[["a"], "bytes"]], "a": "QQ==", "$set": [1, 1]}

    assert through(hostile) == hostile
    assert pack(hostile)[1] == []


class Color(Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


class Pet(BaseModel):
    name: str = "Rex"


class Point(NamedTuple):
    x: int


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (Pet(), "a Pet stands where any value is allowed; declare the type Pet"),
        (Color.RED, "a Color stands where"),
        (Point(1), "Point is not a type that taf stores"),
        (Text("x"), "Text is not a type that taf stores"),
        (len, "builtins.builtin_function_or_method is not a type"),
        (range(3), "builtins.range is not a type"),
        (bytearray(b"x"), "builtins.bytearray is not a type"),
        (1j, "builtins.complex is not a type"),
        (threading.Lock(), "_thread.lock is not a type"),
        (type("D", (dict,), {})(), "D is not a type"),
    ],
    ids=steady,
)
def test_what_is_not_on_the_list_is_refused_with_its_path(value: Any, word: str) -> None:
    with pytest.raises(NotStorableError, match=r"^data\['a'\]\[1\] cannot be stored") as refused:
        pack({"a": [0, value]}, ("data",))

    assert refused.value.path == "data['a'][1]"
    assert word in refused.value.why


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth - 1):
        found = [found]
    return found


def test_nesting_is_stored_up_to_its_bound_and_refused_above_it() -> None:
    assert through(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    with pytest.raises(NotStorableError, match=r"^data\[0\]\[0\]\[0\]\[\.\.\.\].* nested deeper than 64 levels"):
        pack(nested(MAX_DEPTH + 1), ("data",))


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless

    with pytest.raises(NotStorableError, match="nested deeper"):
        pack(endless, ("data",))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=10,
)
tags = st.sampled_from(
    ["tuple", "set", "frozenset", "dict", "bytes", "datetime", "date", "time", "timedelta", "decimal", "uuid", "os"]
)
paths = st.lists(st.integers(-2, 3) | st.text(max_size=2) | json_like, max_size=4).map(tuple)


@settings(max_examples=rounds(500))
@given(json_like, st.lists(st.tuples(paths, tags | json_like), max_size=5))
def test_marks_that_do_not_fit_give_a_value_error_and_nothing_else(value: Any, marks: list[Any]) -> None:
    try:
        unpack(value, marks)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("stored", "tag"),
    [
        (["2024-01-01T00:00:00", 0, "../../etc/passwd"], "datetime"),
        (["2024-01-01T00:00:00", 0, "os.path"], "datetime"),
        (["2024-01-01T00:00:00", 0, "posix/UTC"], "datetime"),  # a file, but no key
        (["2024-01-01T00:00:00", 0, None, "X", 2, 0, 0], "datetime"),
        (["2024-01-01T00:00:00", 0, None, 5, 0, 0, 0], "datetime"),
        (["2024-01-01T00:00:00", 2], "datetime"),
        (["2024-01-01T00:00:00", 0, ["Europe/Berlin"]], "datetime"),
        ("2024-01-01", "datetime"),
        ([], "datetime"),
        ([10**9, 0, 0], "timedelta"),
        ("1e999999999999999999999", "decimal"),
        ("1E+99999999", "decimal"),  # a field of whole numbers would write it out
        ("1E-99999999", "decimal"),
        ("9" * 30_000, "decimal"),
        ("QQ", "bytes"),
        (5, "uuid"),
        ([[1, 2, 3]], "dict"),
        ([[[], 1]], "dict"),
        ([[1]], "set"),
        ("abc", "tuple"),
        ({"a": 1}, "set"),
    ],
    ids=repr,
)
def test_a_mark_on_a_wrong_value_is_refused(stored: Any, tag: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack([stored], [((0,), tag)])


def test_marking_one_value_again_and_again_takes_no_time() -> None:
    big = list(range(200_000))

    def refuse(again: int, times: int) -> None:
        with pytest.raises(ValueError, match="bad type mark"):
            unpack([list(big)], [((0,), "tuple"), *[((again,), "tuple")] * times])

    for again in (-1, 0):
        assert cost(partial(refuse, again, 50_000)) < 100 * cost(partial(refuse, again, 1))


@pytest.mark.parametrize("again", [-1, 0])
def test_one_value_that_is_marked_again_and_again_is_built_once(again: int, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    def build(stored: list[int]) -> tuple[int, ...]:
        built.append(len(stored))
        return tuple(stored)

    monkeypatch.setitem(packing._FROM_TAG, "tuple", (list, build))
    with pytest.raises(ValueError, match="bad type mark"):
        unpack([[1, 2, 3]], [((0,), "tuple"), *[((again,), "tuple")] * 1000])
    assert built == [3]


def test_equal_decimals_are_told_apart() -> None:
    assert str(through(Decimal("1.00"))) == "1.00"


@pytest.mark.parametrize("text", ["1E+10000", "-1E-10000", "9" * 10_000, "0E+9999", "NaN", "Infinity"])
def test_a_decimal_of_many_digits_is_kept(text: str) -> None:
    assert str(through(Decimal(text))) == text


@pytest.mark.parametrize("text", ["1E+10001", "1E-10001", "9" * 10_002, "0E-10001"])
def test_a_decimal_that_nobody_could_write_out_is_refused(text: str) -> None:
    with pytest.raises(NotStorableError, match="more than 10,000 digits"):
        pack(Decimal(text))
