"""A state with a value of every type that is kept, and a process that packs it and pauses."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from taf import AgentState, SqliteCheckpointer, StateGraph, interrupt


class Color(Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    NUL = "\0"


class Point(NamedTuple):
    x: int
    y: tuple[int, ...]


PARIS = ZoneInfo("Europe/Paris")
LOOSE: dict[str, Any] = {
    "tuple": (1, (2, ()), [3, (4,)]),
    "set": {1, "a", (2, frozenset({3}))},
    "frozenset": frozenset({b"x", None}),
    "datetime": datetime(2025, 10, 26, 2, 30, 0, 7, tzinfo=PARIS, fold=1),
    "naive": datetime(2025, 1, 2, 3),
    "utc": datetime(2025, 1, 2, tzinfo=UTC),
    "offset": datetime(2025, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30), "IST")),
    "date": date(2025, 1, 2),
    "time": time(1, 2, 3, 4, tzinfo=UTC),
    "timedelta": timedelta(days=-1, microseconds=1),
    "decimal": [Decimal("1.00"), Decimal("-0"), Decimal("1E+400"), Decimal("NaN")],
    "uuid": UUID(int=5),
    "bytes": b"\x00\xff",
    "text": ["a\0b", "\ud800", "x\udfff", "\\ud800", "\U0001f525", ""],
    "numbers": [2**200, -1, -0.0, float("inf"), float("nan"), 1e-320, True, 1, 1.0],
    "keys": {
        1: "int",
        "1": "str",
        2: (3,),
        (1, 2): "tuple",
        None: "none",
        "\udc00": "surrogate",
        b"b": "bytes",
    },
    "nested": {"a": [({"b": (frozenset({(Decimal(1), date(2025, 1, 2))}), {"c": [b"\0"]})},)]},
}


class Luggage(AgentState):
    loose: Any = None
    by_key: dict[tuple[int, str], set[UUID]] = {}
    colors: list[Color] = []
    level: Level | None = None
    words: frozenset[Word] = frozenset()
    point: Point | None = None
    price: Decimal = Decimal(0)
    moments: tuple[datetime | date, ...] = ()


PACKED: dict[str, Any] = {
    "loose": LOOSE,
    "by_key": {(1, "a\0\ud800"): {UUID(int=1), UUID(int=2)}, (2, ""): set()},
    "colors": [Color.PAIR, Color.RED],
    "level": Level.HIGH,
    "words": frozenset({Word.NUL}),
    "point": Point(1, (2, 3)),
    "price": Decimal("1.10"),
    "moments": (datetime(2025, 1, 2, tzinfo=PARIS), date(2025, 1, 2)),
}


def build() -> StateGraph:
    async def pack(state: Luggage) -> dict[str, Any]:
        return PACKED

    async def ask(state: Luggage) -> dict[str, Any]:
        return {"loose": [state.loose, await interrupt("more?", data=LOOSE)]}

    return StateGraph(Luggage).add_node("pack", pack).add_node("ask", ask)


async def main() -> None:
    async with SqliteCheckpointer(sys.argv[1]) as store, build().compile(store) as app:
        assert (await app.ainvoke({}, {"thread_id": "t"})).interrupted


if __name__ == "__main__":
    asyncio.run(main())
