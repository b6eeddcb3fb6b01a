"""Rows that were changed, cut, moved or taken out do not open. No store is needed to show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taf.checkpointer.base import Commit, InterruptRow, Known, Record, Signal, Snapshot, Stored, ThreadKey
from taf.checkpointer.keys import Keys
from taf.checkpointer.sealing import InterruptSeal, Links, SignalSeal, ThreadSeal
from taf.errors import StoreCorruptError
from tests.rounds import rounds

KEYS = Keys(Keys.new())
KEY = ThreadKey("tenant", "thread")
SEAL = ThreadSeal(KEYS, KEY, "born")
INTERRUPTS, SIGNALS = InterruptSeal(KEYS), SignalSeal(KEYS, KEY)

RECORDS = [
    Record(2, "started", "run", 1000.5, b"body 2", b"items 2"),
    Record(3, "stepped", "run", 1000.5, b"body 3", b"items 3", 1),
    Record(4, "stepped", "run", 1000.5, b"body 4", None, 2),
    Record(5, "stepped", "run", 1000.5, b"", b"", 3),
    Record(8, "paused", "run", 1000.5, b"body 8", None, 3),
]
SNAPSHOT = Snapshot(8, 3, (b"head", b"", b"part"))
INTERRUPT = InterruptRow("id", "open", "node", 1000.5, b"question")
SIGNAL = Signal("stop", "run", b"reason", 7)


def sealed_commit() -> Commit:
    commit = Commit(KEY, 1, 0, RECORDS, "running", "run", [INTERRUPT], SNAPSHOT)
    return SEAL.seal(commit, Links(), INTERRUPTS)[0]


COMMIT = sealed_commit()
ROWS = list(COMMIT.records)
STORED = Stored("born", 8, "running", "run", False, False, None, (), ROWS)


def with_snapshot(**changes: Any) -> Stored:
    items = [(row.sequence, row.items) for row in ROWS if row.items is not None and row.sequence >= 3]
    return STORED._replace(**{"snapshot": COMMIT.snapshot, "items": items, "tail": ()} | changes)


def refused(stored: Stored, seal: ThreadSeal = SEAL) -> str:
    with pytest.raises(StoreCorruptError) as caught:
        seal.open(stored, None)
    assert caught.value.thread_id == seal.key.thread
    return str(caught.value)


def test_a_thread_opens_as_it_was_sealed() -> None:
    assert SEAL.open(STORED, None) == (STORED._replace(tail=RECORDS), Links(8, 5))


def test_a_snapshot_opens_with_the_items_that_it_builds_on() -> None:
    opened = STORED._replace(snapshot=SNAPSHOT, items=[(3, b"items 3"), (5, b"")], tail=[])

    assert SEAL.open(with_snapshot(), None) == (opened, Links(8, 5))


def test_a_tail_opens_behind_what_is_known() -> None:
    known = STORED._replace(is_known=True, tail=ROWS[2:])

    assert SEAL.open(known, Known("born", 3)) == (known._replace(tail=RECORDS[2:]), Links(8, 5))
    assert SEAL.open(known._replace(tail=()), Known("born", 8)) == (known._replace(tail=[]), None)


def test_records_of_two_commits_follow_each_other() -> None:
    first, links = SEAL.seal(COMMIT._replace(records=RECORDS[:2], snapshot=None), Links(), INTERRUPTS)
    second, _ = SEAL.seal(COMMIT._replace(records=RECORDS[2:], snapshot=None), links, INTERRUPTS)

    assert SEAL.open(STORED._replace(tail=[*first.records, *second.records]), None)[0].tail == RECORDS


# -- changed ---------------------------------------------------------------------------------------

CLEAR = {"sequence": 6, "kind": "completed", "run_id": "run 2", "at": 1000.0, "step": 9}
PLACES = [("body", number) for number in range(5)] + [("items", 0), ("items", 1), ("items", 3)]


def changed(sealed: bytes, at: int, how: int) -> bytes:
    at %= len(sealed)
    return sealed[:at] + bytes([sealed[at] ^ how]) + sealed[at + 1 :]


flips = (st.integers(0, 10_000), st.integers(1, 255))


@settings(max_examples=rounds(300))
@given(st.sampled_from(PLACES), *flips)
def test_any_byte_that_is_changed_in_a_record_is_found(place: tuple[str, int], at: int, how: int) -> None:
    column, number = place
    rows = list(ROWS)
    rows[number] = rows[number]._replace(**{column: changed(getattr(rows[number], column), at, how)})

    refused(STORED._replace(tail=rows))


@given(st.integers(0, 2), *flips)
def test_any_byte_that_is_changed_in_a_snapshot_is_found(number: int, at: int, how: int) -> None:
    assert COMMIT.snapshot is not None
    parts = list(COMMIT.snapshot.parts)
    parts[number] = changed(parts[number], at, how)

    refused(with_snapshot(snapshot=COMMIT.snapshot._replace(parts=tuple(parts))))


@given(st.integers(0, 1), *flips)
def test_any_byte_that_is_changed_in_items_below_a_snapshot_is_found(number: int, at: int, how: int) -> None:
    items = list(with_snapshot().items)
    items[number] = (items[number][0], changed(items[number][1], at, how))

    refused(with_snapshot(items=items))


@given(*flips)
def test_any_byte_that_is_changed_in_an_interrupt_or_a_signal_is_found(at: int, how: int) -> None:
    row, signal = COMMIT.interrupts[0], SIGNALS.seal(SIGNAL)

    for place in (SEAL, None):
        with pytest.raises(StoreCorruptError):
            INTERRUPTS.open(row._replace(body=changed(row.body, at, how)), place)
    with pytest.raises(StoreCorruptError):
        SIGNALS.open(signal._replace(body=changed(signal.body, at, how)))


@given(st.sampled_from(PLACES), st.integers(0, 60))
def test_a_row_that_is_cut_is_refused(place: tuple[str, int], length: int) -> None:
    column, number = place
    rows = list(ROWS)
    whole = getattr(rows[number], column)
    rows[number] = rows[number]._replace(**{column: whole[: min(length, len(whole) - 1)]})

    refused(STORED._replace(tail=rows))


@pytest.mark.parametrize("column", CLEAR)
def test_a_column_in_clear_that_is_changed_is_found(column: str) -> None:
    rows = [*ROWS[:4], ROWS[4]._replace(**{column: CLEAR[column]})]

    assert "another place" in refused(STORED._replace(tail=rows))


@pytest.mark.parametrize("column", ["id", "status", "node", "changed"])
def test_a_column_of_an_interrupt_that_is_changed_is_found(column: str) -> None:
    row = COMMIT.interrupts[0]._replace(**{column: 9.0 if column == "changed" else "other"})

    for place in (SEAL, None):
        with pytest.raises(StoreCorruptError, match="another place"):
            INTERRUPTS.open(row, place)


@pytest.mark.parametrize("column", ["kind", "run_id"])
def test_a_signal_is_for_no_other_run_and_of_no_other_kind(column: str) -> None:
    with pytest.raises(StoreCorruptError, match="another place"):
        SIGNALS.open(SIGNALS.seal(SIGNAL)._replace(**{column: "other"}))


# -- moved -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "born"),
    [
        (KEY._replace(thread="other"), "born"),
        (KEY._replace(tenant=""), "born"),
        (ThreadKey("tenantthread", ""), "born"),
        (KEY, "born later"),
    ],
)
def test_rows_of_another_thread_or_another_life_are_refused(key: ThreadKey, born: str) -> None:
    other = ThreadSeal(KEYS, key, born)

    refused(STORED, other)
    refused(with_snapshot(), other)
    with pytest.raises(StoreCorruptError):
        INTERRUPTS.open(COMMIT.interrupts[0], other)


def test_a_signal_to_another_thread_is_refused() -> None:
    with pytest.raises(StoreCorruptError):
        SignalSeal(KEYS, KEY._replace(thread="other")).open(SIGNALS.seal(SIGNAL))


def moved(rows: list[Record], source: int, target: int, *columns: str) -> list[Record]:
    found = list(rows)
    found[target] = found[target]._replace(**{column: getattr(rows[source], column) for column in columns})
    return found


MOVES: dict[str, Callable[[], list[Record]]] = {
    "a body": lambda: moved(ROWS, 0, 1, "body"),
    "a body with its items": lambda: moved(ROWS, 0, 1, "body", "items"),
    "items": lambda: moved(ROWS, 0, 1, "items"),
    "no items": lambda: moved(ROWS, 2, 1, "items"),
    "items to where there were none": lambda: moved(ROWS, 1, 2, "items"),
    "items as a body": lambda: [ROWS[0]._replace(body=ROWS[0].items or b"", items=None)],
    "items of an attempt that failed": lambda: [ROWS[0]._replace(items=sealed_commit().records[0].items), *ROWS[1:]],
    "rows the other way round": lambda: [ROWS[0], ROWS[2], ROWS[1], *ROWS[3:]],
    "a row twice": lambda: [ROWS[0], ROWS[0], *ROWS[1:]],
    "all but the first": lambda: ROWS[1:],
    "all but one": lambda: [*ROWS[:2], *ROWS[3:]],
}


@pytest.mark.parametrize("move", MOVES)
def test_rows_that_were_moved_or_taken_out_are_refused(move: str) -> None:
    refused(STORED._replace(tail=MOVES[move]()))


@pytest.mark.parametrize("left", [[], [0], [1]], ids=["none", "the first", "the last"])
def test_items_taken_out_below_a_snapshot_are_missed(left: list[int]) -> None:
    items = with_snapshot().items

    assert "missing" in refused(with_snapshot(items=[items[number] for number in left]))


@pytest.mark.parametrize("order", [(0, 1), (0, 2, 1), (1, 2), (0, 1, 2, 2), (0, 0, 1), ()])
def test_parts_of_a_snapshot_that_were_cut_or_moved_are_refused(order: tuple[int, ...]) -> None:
    assert COMMIT.snapshot is not None
    parts = tuple(COMMIT.snapshot.parts[number] for number in order)

    refused(with_snapshot(snapshot=COMMIT.snapshot._replace(parts=parts)))


@pytest.mark.parametrize("change", [{"sequence": 5}, {"items_from": 2}, {"items_from": 4}, {"items_from": None}])
def test_a_snapshot_stands_for_what_it_stood_for(change: dict[str, Any]) -> None:
    assert COMMIT.snapshot is not None

    refused(with_snapshot(snapshot=COMMIT.snapshot._replace(**change)))


# -- not encrypted ---------------------------------------------------------------------------------


def test_rows_in_clear_are_refused_and_said_to_be() -> None:
    assert "not encrypted" in refused(STORED._replace(tail=RECORDS))
    assert "not encrypted" in refused(with_snapshot(snapshot=SNAPSHOT))
    assert "not encrypted" in refused(with_snapshot(items=[(3, b"items 3"), (5, b"")]))
    for place in (SEAL, None):
        with pytest.raises(StoreCorruptError, match="not encrypted"):
            INTERRUPTS.open(INTERRUPT, place)
    with pytest.raises(StoreCorruptError, match="not encrypted"):
        SIGNALS.open(SIGNAL)


def test_every_forgery_is_refused_in_the_same_words() -> None:
    flipped = [ROWS[0]._replace(body=changed(ROWS[0].body, -1, 1)), *ROWS[1:]]
    elsewhere = moved(ROWS, 1, 0, "body")
    cut = [ROWS[0]._replace(body=ROWS[0].body[:30]), *ROWS[1:]]

    assert len({refused(STORED._replace(tail=tail)) for tail in (flipped, elsewhere, cut)}) == 1
