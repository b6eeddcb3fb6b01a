"""Which stores rows are compressed for, and that nothing else changes by it."""

from __future__ import annotations

import json
import random
import string

import pytest

from taf import AgentState, ExecutionStatus, Message, StateGraph, interrupt
from taf.checkpointer import BaseCheckpointer, EncryptedCheckpointer, InMemoryCheckpointer, Keys, ledger
from taf.checkpointer.base import ThreadKey
from taf.serialization import loads

REPEATS, MIXED = "a" * 600, "".join(random.Random(0).choices(string.ascii_letters, k=600))


class Note(AgentState):
    note: str = ""
    answer: str = ""


async def ask(state: Note) -> dict[str, str]:
    return {"answer": await interrupt(state.note, answer=str)}


@pytest.fixture(autouse=True)
def early_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SNAPSHOT_FLOOR", 500)


async def rows_of(store: BaseCheckpointer, inner: BaseCheckpointer, text: str) -> list[bytes]:
    """Return all rows that hold a text, as the inner store has them: records, their items, parts of a snapshot."""
    config = {"thread_id": f"{text[:1]} is what it holds"}
    async with StateGraph(Note).add_node("ask", ask).compile(store) as app:
        asked = await app.ainvoke({"note": text, "messages": [Message.text_message(text)]}, config)
        assert asked.status is ExecutionStatus.INTERRUPTED_BEFORE
        found = await app.aresume(config, text)
        assert (found.status, found.state.answer, found.state.note) == (ExecutionStatus.COMPLETED, text, text)
    key = ThreadKey("", config["thread_id"])
    stored = await inner.load(key)
    assert stored is not None
    assert stored.snapshot is not None
    records = await inner.read(key)
    rows = [row for record in records for row in (record.body, record.items) if row is not None]
    return [*rows, *stored.snapshot.parts]


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["in clear", "encrypted"])
async def test_rows_are_compressed_for_a_file_and_a_database_and_nowhere_else(
    inner: BaseCheckpointer, is_encrypted: bool
) -> None:
    """How well a text could be compressed does not show in how long it is encrypted."""
    store = EncryptedCheckpointer(inner, Keys(Keys.new())) if is_encrypted else inner

    repeats, mixed = [await rows_of(store, inner, text) for text in (REPEATS, MIXED)]

    lengths = [[len(row) for row in rows] for rows in (repeats, mixed)]
    if is_encrypted or isinstance(inner, InMemoryCheckpointer):
        assert lengths[0] == lengths[1]
        assert max(lengths[0]) > 1200
    else:
        assert sum(lengths[0]) < sum(lengths[1]) / 2
        assert max(lengths[0]) < 600 < max(lengths[1]) < 1200
    if not is_encrypted:
        assert all(isinstance(loads(row), list) for row in repeats)
        is_in_clear = all(row.startswith(b"[") for row in repeats)
        assert is_in_clear == isinstance(inner, InMemoryCheckpointer)


async def test_the_table_of_interrupts_can_be_read_as_it_is(inner: BaseCheckpointer) -> None:
    await rows_of(inner, inner, REPEATS)
    (row,) = await inner.interrupts()
    assert json.loads(row.body)[0]["reason"] == REPEATS


async def test_a_store_may_be_told_to_have_rows_as_they_are(inner: BaseCheckpointer) -> None:
    inner.wants_short_rows = False
    rows = await rows_of(inner, inner, REPEATS)
    assert all(row.startswith(b"[") for row in rows)
    inner.wants_short_rows = True
    shorter = await rows_of(inner, inner, MIXED)
    assert sum(map(len, shorter)) < sum(map(len, rows))
