"""Answers of every type that a question may want: given as Python has them, and as JSON has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from taf import ExecutionStatus as Status
from taf import InMemoryCheckpointer, interrupt
from taf.checkpointer import BaseCheckpointer
from taf.errors import InvalidAnswerError
from tests.pausing.trails import Trail, row
from tests.steady_ids import steady

CONFIG = {"thread_id": "t"}


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


@dataclass
class Point:
    x: int
    y: float = 0.0


class Order(BaseModel):
    sku: str = Field(min_length=2, alias="SKU")
    color: Color
    at: Point
    tags: list[Color] = []


class Node(BaseModel):
    name: str
    children: list[Node] = []


FITTING: list[tuple[Any, Any]] = [
    (int, 5),
    (float, 1.5),
    (bool, True),
    (str, "x\x00\ud800"),
    (None, None),
    (Literal["a", "b"], "b"),
    (Literal[1, "one"], 1),
    (Color, Color.BLUE),
    (Size, Size.LARGE),
    (list[int], [1, 2]),
    (list[Color], [Color.RED, Color.BLUE]),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, str], (1, "a")),
    (dict[str, int], {"a": 1}),
    (dict[int, str], {1: "a"}),
    (dict[str, Color], {"a": Color.RED}),
    (int | None, None),
    (int | str, "5"),
    (datetime, datetime(2025, 1, 2, 3, 4, tzinfo=UTC)),
    (date, date(2025, 1, 2)),
    (time, time(3, 4)),
    (timedelta, timedelta(hours=1)),
    (Decimal, Decimal("1.10")),
    (UUID, UUID(int=7)),
    (bytes, b"abc"),
    (Annotated[int, Field(gt=3)], 4),
    (Point, Point(1, 2.5)),
    (list[Point], [Point(1)]),
    (Order, Order(SKU="ab", color=Color.RED, at=Point(1), tags=[Color.BLUE])),
    (Order | None, Order(SKU="ab", color=Color.RED, at=Point(1))),
    (dict[str, Order], {"a": Order(SKU="ab", color=Color.RED, at=Point(1))}),
    (Node, Node(name="a", children=[Node(name="b")])),
]


def app_asking(declared: Any, got: list[Any], store: BaseCheckpointer) -> Any:
    async def ask(state: Trail) -> None:
        got.append(await interrupt("which?", answer=declared if declared is not None else type(None)))

    return row("ask", nodes={"ask": ask}).compile(store)


@pytest.mark.parametrize(("declared", "answer"), FITTING, ids=lambda value: str(value)[:40].replace("\x00", ""))
async def test_an_answer_as_python_has_it_arrives_typed(declared: Any, answer: Any) -> None:
    got: list[Any] = []
    app = app_asking(declared, got, InMemoryCheckpointer())
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, answer)).status is Status.COMPLETED
    assert got == [answer]
    assert type(got[0]) is type(answer)


@pytest.mark.parametrize(
    ("declared", "answer"), [case for case in FITTING if case[0] is not str], ids=lambda value: str(value)[:40]
)
async def test_an_answer_as_json_has_it_arrives_typed(declared: Any, answer: Any) -> None:
    got: list[Any] = []
    app = app_asking(declared, got, InMemoryCheckpointer())
    await app.ainvoke({}, CONFIG)
    sent = TypeAdapter(declared).dump_python(answer, mode="json", by_alias=True)
    assert (await app.aresume(CONFIG, sent)).status is Status.COMPLETED
    assert got == [answer]
    assert type(got[0]) is type(answer)


MISFITS: list[tuple[Any, Any]] = [
    (int, "five"),
    (int, 1.5),
    (bool, "perhaps"),
    (str, 5),
    (None, 1),
    (Literal["a", "b"], "c"),
    (Color, "green"),
    (Size, 3),
    (list[int], [1, "x"]),
    (list[Color], [Color.RED, "green"]),
    (tuple[int, str], (1, "a", 2)),
    (tuple[int, str], ("a", 1)),
    (dict[str, int], {"a": "x"}),
    (int | None, "x"),
    (date, "yesterday"),
    (Annotated[int, Field(gt=3)], 3),
    (Point, {"y": 1}),
    (Point, "1,2"),
    (Order, {"SKU": "a", "color": "red", "at": {"x": 1}}),
    (Order, {"SKU": "ab", "color": "red", "at": {"x": "left"}}),
    (Node, {"children": []}),
    (int, object()),
]


@pytest.mark.parametrize(("declared", "answer"), MISFITS, ids=lambda value: steady(value)[:40])
async def test_an_answer_that_does_not_fit_is_refused_and_changes_nothing(declared: Any, answer: Any) -> None:
    got: list[Any] = []
    app = app_asking(declared, got, InMemoryCheckpointer())
    before = await app.ainvoke({}, CONFIG)
    with pytest.raises(InvalidAnswerError) as caught:
        await app.aresume(CONFIG, answer)
    assert caught.value.interrupt_id == before.interrupts[0].id
    after = await app.aget_state(CONFIG)
    assert (after.status, after.interrupts, got) == (before.status, before.interrupts, [])


async def test_a_refusal_says_where_the_answer_is_wrong() -> None:
    app = app_asking(Order, [], InMemoryCheckpointer())
    await app.ainvoke({}, CONFIG)
    with pytest.raises(InvalidAnswerError, match=r"at\.x: .*integer"):
        await app.aresume(CONFIG, {"SKU": "ab", "color": "red", "at": {"x": "left"}})


@pytest.mark.parametrize("answer", [object(), {"a": [object()]}, lambda: None])
async def test_an_answer_that_cannot_be_stored_is_refused(answer: Any, store: BaseCheckpointer) -> None:
    app = app_asking(Any, [], store)
    before = await app.ainvoke({}, CONFIG)
    with pytest.raises(InvalidAnswerError, match="cannot be stored"):
        await app.aresume(CONFIG, answer)
    after = await app.aget_state(CONFIG)
    assert (after.status, after.interrupts) == (before.status, before.interrupts)


async def test_an_answer_survives_in_every_store(store: BaseCheckpointer) -> None:
    """Told apart from the tests above: here the answer is read back from the store, since the node asks once more."""
    got: list[Any] = []

    async def ask(state: Trail) -> None:
        first = await interrupt("order?", answer=Order)
        second = await interrupt("when?", answer=datetime)
        got.extend([first, second])

    app = row("ask", nodes={"ask": ask}).compile(store)
    await app.ainvoke({}, CONFIG)
    order, at = Order(SKU="ab", color=Color.RED, at=Point(1)), datetime(2025, 1, 2, tzinfo=UTC)
    await app.aresume(CONFIG, order)
    await app.aresume(CONFIG, at)
    assert got == [order, at]
