"""Values of declared types come back as they went in, or are refused with their path when they are produced."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, SecretStr, field_serializer
from typing_extensions import TypedDict

from taf.errors import NotStorableError
from taf.serialization import Codec, dumps, is_exact, loads
from taf.state.messages import FrozenDict, MediaBlock, Message, TextBlock, ToolCallBlock, ToolResultBlock
from tests.rounds import rounds
from tests.serialization.values import Moon, datetimes, decimals, keys, shape, texts, times, values
from tests.steady_ids import steady


class Color(Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(IntEnum):
    LOW = 1


class Mood(StrEnum):
    GOOD = "good"


class Rights(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    tag: Color = Color.RED


@dataclass
class Size:
    width: Decimal
    points: list[Point] = field(default_factory=list[Point])


class Box(TypedDict):
    size: Size


class Pet(BaseModel):
    name: str = Field(default="Rex", alias="petName")
    born: datetime | None = None
    size: Size | None = None
    anything: Any = None

    model_config = ConfigDict(validate_by_name=True)


class Dog(Pet):
    bark: str = "wow"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Cow(BaseModel):
    kind: Literal["cow"] = "cow"
    lives: int = 1


class Goat(BaseModel):
    kind: Literal["cow"] = "cow"
    lives: int = 1


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Tree(BaseModel):
    children: list[Tree] = []


points = st.builds(Point, st.integers(), st.sampled_from(Color))
sizes = st.builds(Size, st.decimals(allow_nan=False, allow_infinity=False), st.lists(points, max_size=2))
pets = st.builds(Pet, name=texts, born=st.none() | datetimes, size=st.none() | sizes, anything=values)
blocks = (
    st.builds(TextBlock, text=texts)
    | st.builds(MediaBlock, media_type=texts, url=st.none() | texts)
    | st.builds(ToolCallBlock, id=texts, name=texts, arguments=st.dictionaries(texts, st.lists(st.integers() | texts)))
    | st.builds(ToolResultBlock, call_id=texts, text=texts, is_error=st.booleans())
)
contents = texts | st.lists(blocks, max_size=3)
messages = st.builds(Message, id=texts, role=texts, content=contents, name=st.none() | texts)
json_values = st.recursive(
    st.none() | texts | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
)
trees = st.recursive(st.builds(Tree), lambda inner: st.builds(Tree, children=st.lists(inner, max_size=3)), max_leaves=6)

DECLARED: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Any, values),
    (int, st.integers()),
    (int | None, st.none() | st.integers()),
    (float, st.floats()),
    (str | None, st.none() | texts),
    (bytes, st.binary()),
    (datetime, datetimes),
    (time | None, st.none() | times),
    (date, st.dates()),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (int | str, st.integers() | texts),
    (int | bool, st.integers() | st.booleans()),
    (int | float, st.integers() | st.floats()),
    (Decimal | float, st.decimals(allow_nan=False, allow_infinity=False) | st.floats()),
    (str | bytes | None, st.none() | texts | st.binary()),
    (str | datetime, texts | datetimes),
    (list[int] | dict[str, int], st.lists(st.integers()) | st.dictionaries(texts, st.integers())),
    (tuple[int, ...], st.lists(st.integers()).map(tuple)),
    (tuple[int, tuple[str, bytes]], st.tuples(st.integers(), st.tuples(texts, st.binary()))),
    (set[datetime], st.sets(datetimes)),
    (frozenset[tuple[int, str]], st.frozensets(st.tuples(st.integers(), texts))),
    (dict[int, str], st.dictionaries(st.integers(), texts)),
    (dict[Any, Any], st.dictionaries(keys, values)),
    (dict[Color, set[Level]], st.dictionaries(st.sampled_from(Color), st.sets(st.sampled_from(Level)))),
    (dict[tuple[int, UUID], set[bytes]], st.dictionaries(st.tuples(st.integers(), st.uuids()), st.sets(st.binary()))),
    (Color | None, st.none() | st.sampled_from(Color)),
    (Rights, st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE])),
    (list[Mood | Level], st.lists(st.sampled_from([Mood.GOOD, Level.LOW]))),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (JsonValue, json_values),
    (Point, points),
    (list[Size], st.lists(sizes)),
    (Box, st.fixed_dictionaries({"size": sizes})),
    (Pet, pets),
    (list[Pet] | None, st.none() | st.lists(pets, max_size=3)),
    (dict[str, Cat | Cow], st.dictionaries(texts, st.builds(Cat, lives=st.integers()) | st.builds(Cow))),
    (Open, st.builds(lambda extra: Open(**extra), st.dictionaries(st.text("abc", min_size=1), values, max_size=2))),
    (Tree, trees),
    (Message, messages),
    (list[Message], st.lists(messages, max_size=3)),
    (dict[str, Message | None], st.dictionaries(texts, st.none() | messages, max_size=3)),
    (PurePosixPath, st.text("abc/", max_size=5).map(PurePosixPath)),
    (dict[str, list[IPv4Address]], st.dictionaries(st.text("ab"), st.lists(st.ip_addresses(v=4)))),
]


def through(codec: Codec, value: Any) -> Any:
    packed, marks = loads(dumps([*codec.encode(value)]))
    return codec.decode(packed, [(tuple(path), tag) for path, tag in marks])


@pytest.mark.parametrize(("declared", "strategy"), DECLARED, ids=[str(declared)[:50] for declared, _ in DECLARED])
def test_a_value_of_a_declared_type_comes_back(declared: Any, strategy: st.SearchStrategy[Any]) -> None:
    codec = Codec(declared, "field")

    @settings(max_examples=rounds(60), deadline=None)
    @given(strategy)
    def check(value: Any) -> None:
        assert shape(through(codec, value)) == shape(value)

    check()


class Formatted(BaseModel):
    price: Decimal = Decimal("1.005")

    @field_serializer("price")
    def rounded(self, price: Decimal) -> str:
        return f"{price:.2f}"


class Hidden(BaseModel):
    secret: str = Field(default="", exclude=True)


REFUSED: list[tuple[Any, Any, str]] = [
    (Any, {"a": [Pet()]}, "f['a'][0]"),
    (Any, {"a": Color.RED}, "f['a']"),
    (Any, {"a": (1, Point(1))}, "f['a'][1]"),
    (Any, {"a": len}, "f['a']"),
    (Any, {"a": object()}, "f['a']"),
    (Any, [IPv4Address("1.1.1.1")], "f[0]"),
    (dict[str, Any], {"a": {"b": Level.LOW}}, "f['a']['b']"),
    (Pet, Pet(anything=[Color.RED]), "f['anything'][0]"),
    (Pet, Dog(), "f"),
    (list[Pet], [Pet(), Dog()], "f[1]"),
    (dict[str, Pet | None], {"rex": Dog()}, "f['rex']"),
    (list[Size | None], [None, type("Big", (Size,), {})(Decimal(1))], "f[1]"),
    (Cow | Goat, Goat(), "f"),
    (list[Cow | Goat], [Cow(), Goat()], "f[1]"),
    (int | Level, Level.LOW, "f"),
    (Message, type("Note", (Message,), {})(content="x"), "f"),
    (list[Message], [Message(), type("Note", (Message,), {})(content="x")], "f[1]"),
    (Message, Message(content=[type("Bold", (TextBlock,), {})(text="x")]), "f['content'][0]"),
    (int, "text", "f"),
    (list[int], ["text"], "f"),
    (SecretStr, SecretStr("password"), "f"),
    (Pet, Pet(born=datetime(2024, 1, 1, tzinfo=Moon())), "f['born']"),
    (dict[str, set[datetime] | None], {"a": {datetime(2024, 1, 1, tzinfo=Moon())}}, "f['a'][0]"),
    (Formatted, Formatted(), "f['price']"),
    (Hidden, Hidden(secret="x"), "f['secret']"),
    (Annotated[int, BeforeValidator(lambda value: value + 1)], 1, "f"),
    (float, 1j, "f"),
]


@pytest.mark.parametrize(("declared", "value", "path"), REFUSED, ids=lambda part: steady(part)[:40])
def test_what_could_not_come_back_is_refused_with_its_path(declared: Any, value: Any, path: str) -> None:
    with pytest.raises(NotStorableError) as refused:
        Codec(declared, "f").encode(value)

    assert refused.value.path == path


def test_a_value_of_a_wrong_type_is_refused_in_one_sentence() -> None:
    with pytest.raises(NotStorableError) as refused:
        Codec(dict[str, list[int]], "f").encode({"a": [1, "x"]})

    assert str(refused.value) == (
        "f cannot be stored: it is not of its declared type: "
        "a.1: Input should be a valid integer, unable to parse string as an integer."
    )


@pytest.mark.parametrize("levels", [65, 200, 5000])
@pytest.mark.parametrize("declared", [Any, list[Any], dict[str, Any], JsonValue], ids=str)
def test_nesting_is_bounded_and_the_refusal_names_the_place(declared: Any, levels: int) -> None:
    value: Any = 1
    for _ in range(levels):
        value = [value]

    with pytest.raises(NotStorableError, match=r"^f\b"):
        Codec(declared, "f").encode({"a": value} if declared == dict[str, Any] else value)


def test_a_tree_of_models_is_bounded_too() -> None:
    tree = Tree()
    for _ in range(40):
        tree = Tree(children=[tree])

    with pytest.raises(NotStorableError, match=r"^f\['children'\]\[0\].*nested deeper than 64"):
        Codec(Tree, "f").encode(tree)


def test_what_is_too_large_is_refused_with_its_path() -> None:
    with pytest.raises(NotStorableError, match=r"^f cannot be stored: it would be 9,"):
        Codec(dict[str, Any], "f").encode({"a": b"x" * 7 * 1024 * 1024})


def test_a_validator_of_the_users_never_raises_out_of_a_decoder() -> None:
    def broken(value: Any) -> Any:
        raise LookupError("gone")

    with pytest.raises(ValueError, match="gone"):
        Codec(Annotated[int, BeforeValidator(broken)], "f").decode(1, [])


@pytest.mark.parametrize("declared", [int, str, bool, float, int | None, list[int], Pet, Color, datetime], ids=str)
def test_a_value_of_another_type_is_refused_when_it_is_read(declared: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Codec(declared, "f").decode(["no", {"such": 1}], [])


def test_an_integer_that_a_field_of_floats_held_before_comes_back_as_a_float() -> None:
    assert shape(Codec(float, "f").decode(3, [])) == shape(3.0)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (int, True),
        (None, True),
        (int | None, True),
        (list[int | None], True),
        (list[datetime] | None, True),
        (dict[str, tuple[Decimal, ...]], True),
        (time, True),
        (Literal["a", 1], True),
        (Literal["a"] | None, True),
        (int | str, False),
        (int | str | None, False),
        (Any, False),
        (list, False),
        (list[Any], False),
        (Any | None, False),
        (Color, False),
        (Color | None, False),
        (Literal[Color.RED], False),
        (Pet | None, False),
        (Annotated[int, BeforeValidator(abs)], False),
    ],
    ids=str,
)
def test_types_whose_values_owe_no_check_are_known(declared: Any, expected: bool) -> None:
    assert is_exact(declared) is expected


@given(messages)
def test_a_message_is_stored_as_pydantic_dumps_it_whichever_way_is_taken(message: Message) -> None:
    dumped = message.model_dump(round_trip=True)

    assert Codec(Message, "f").encode(message) == (dumped, [])
    assert Codec(list[Message], "f").encode([message, message]) == ([dumped, dumped], [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 1},
        {"role": None},
        {"name": 2},
        {"content": b"x"},
        {"content": [TextBlock.model_construct(text=None)]},
        {"content": [ToolCallBlock.model_construct(id="1", name=None, arguments=FrozenDict())]},
        {"content": [ToolCallBlock.model_construct(id="1", name="n", arguments={"x": {1, 2}})]},
    ],
    ids=str,
)
def test_a_message_that_was_never_validated_is_refused_where_it_is_wrong(wrong: dict[str, Any]) -> None:
    message = Message.model_construct(**{"id": "1", "role": "user", "content": "x", **wrong})

    for codec, value in ((Codec(Message, "f"), message), (Codec(list[Message], "f"), [Message(), message])):
        with pytest.raises(NotStorableError, match=r"declared type|read back"):
            codec.encode(value)


@pytest.mark.parametrize(
    "other", [None, {"id": "1"}, "text", type("Note", (Message,), {})()], ids=["none", "dict", "str", "sub"]
)
def test_what_is_no_message_is_refused_where_one_is_declared(other: Any) -> None:
    for codec, value in ((Codec(Message, "f"), other), (Codec(list[Message], "f"), [Message(), other])):
        with pytest.raises(NotStorableError):
            codec.encode(value)


@given(decimals)
def test_a_decimal_in_an_open_place_keeps_its_digits(number: Decimal) -> None:
    assert str(through(Codec(Any, "f"), {"n": number})["n"]) == str(number)
