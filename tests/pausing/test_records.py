"""Every pause is a record, written in the same transaction as the pause and seen wherever one looks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from taf import Approve
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer, InMemoryCheckpointer
from taf.checkpointer.base import Commit, Signal
from taf.errors import StoreUnavailableError
from tests.pausing.trails import Trail, asking, row
from tests.styles import run

CONFIG = {"thread_id": "t"}


async def ask_for_a_look(state: Trail) -> dict[str, Any]:
    state.set_interrupt("b", "look", Status.INTERRUPTED_AFTER, data={"n": 1})
    return {"trail": ["b"]}


CASES: dict[str, tuple[dict[str, Any], Any, tuple[str, str, str]]] = {
    "before": ({"interrupt_before": ["b"]}, None, ("before", 'Paused before node "b".', "interrupted_before")),
    "after": ({"interrupt_after": ["b"]}, None, ("after", 'Paused after node "b".', "interrupted_after")),
    "asked for": ({}, ask_for_a_look, ("after", "look", "interrupted_after")),
    "question": ({}, asking("b", "sure?"), ("node", "sure?", "interrupted_before")),
}


@pytest.mark.parametrize("case", CASES)
async def test_the_record_is_the_same_wherever_one_looks(case: str, style: str, store: BaseCheckpointer) -> None:
    points, node, (kind, reason, status) = CASES[case]
    app = row("a", "b", nodes={"b": node}).compile(store, clock=lambda: 1_000_000.0, **points)
    paused = await run(app, style, {}, CONFIG)
    (record,) = paused.interrupts
    assert (record.kind, record.reason, record.node, record.status) == (kind, reason, "b", "open")
    assert (record.thread_id, record.run_id, record.version) == ("t", paused.run_id, 1)
    assert record.created_at == datetime.fromtimestamp(1_000_000, UTC)
    assert (paused.status, paused.interrupt_reason, paused["interrupts"]) == (status, reason, (record,))
    snapshot = await app.aget_state(CONFIG)
    assert (snapshot.interrupts, snapshot.status) == ((record,), status)
    assert await app.ainterrupts(CONFIG) == [record]
    assert await asyncio.to_thread(app.interrupts, CONFIG) == [record]
    (told,) = [event async for event in app.aevents(CONFIG) if event.event_type == "interrupted"]
    assert (told.data["interrupts"], told.data["interrupted"], told.node_name) == ([record.id], kind, "b")


async def test_ids_are_never_used_twice(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["a", "b"], interrupt_after=["a", "b"])
    result, ids = await app.ainvoke({}, CONFIG), list[str]()
    while result.interrupted:
        ids += [record.id for record in result.interrupts]
        result = await app.ainvoke(None, CONFIG)
    assert len(ids) == len(set(ids)) == 4
    assert [record.id for record in await app.ainterrupts(CONFIG)] == ids[::-1]


async def test_an_answered_record_keeps_what_was_asked_and_says_what_was_answered(store: BaseCheckpointer) -> None:
    app = row("a", "b", nodes={"b": asking("b", "how many?", answer=int)}).compile(store)
    (asked,) = (await app.ainvoke({}, CONFIG)).interrupts
    await app.aresume(CONFIG, 5, by="alice")
    (closed,) = await app.ainterrupts(CONFIG)
    assert (closed.id, closed.reason, closed.answer_schema) == (asked.id, asked.reason, asked.answer_schema)
    assert (closed.status, closed.answer, closed.answered_by, closed.version) == ("answered", 5, "alice", 2)


class Watching(InMemoryCheckpointer):
    """Remembers the commits, and fails the one that it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[Commit] = []
        self.fails_at_interrupts = False

    async def append(self, commit: Commit) -> Sequence[Signal]:
        if commit.interrupts and self.fails_at_interrupts:
            raise StoreUnavailableError("write", "the disk is full")
        self.commits.append(commit)
        return await super().append(commit)


@pytest.mark.parametrize("case", CASES)
async def test_the_pause_and_its_record_are_one_commit(case: str) -> None:
    points, node, _ = CASES[case]
    store = Watching()
    await row("a", "b", nodes={"b": node}).compile(store, **points).ainvoke({}, CONFIG)
    (pause,) = [commit for commit in store.commits if commit.interrupts]
    assert [record.kind for record in pause.records][-1] == "paused"
    assert [one.status for one in pause.interrupts] == ["open"]
    assert pause.status.startswith("interrupted")


@pytest.mark.parametrize("case", CASES)
async def test_a_pause_that_could_not_be_stored_was_never_seen(case: str) -> None:
    points, node, (kind, _, _) = CASES[case]
    store = Watching()
    app = row("a", "b", nodes={"b": node}).compile(store, **points)
    store.fails_at_interrupts = True
    with pytest.raises(StoreUnavailableError):
        await app.ainvoke({}, CONFIG)
    assert [event.event_type async for event in app.aevents(CONFIG) if event.event_type == "interrupted"] == []
    store.fails_at_interrupts = False
    again = await app.ainvoke(None, CONFIG)
    assert (again.interrupted, again.interrupts[0].kind) == (True, kind)


async def test_an_answer_that_could_not_be_stored_was_never_given() -> None:
    watching = Watching()
    app = row("a", "b").compile(watching, interrupt_before=["b"])
    before = await app.ainvoke({}, CONFIG)
    watching.fails_at_interrupts = True
    with pytest.raises(StoreUnavailableError):
        await app.aresume(CONFIG, Approve())
    after = await app.aget_state(CONFIG)
    assert (after.status, after.interrupts, after.state.trail) == (before.status, before.interrupts, ["a"])
    watching.fails_at_interrupts = False
    assert (await app.aresume(CONFIG, Approve())).status is Status.COMPLETED


async def test_one_pause_is_told_once(style: str, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["a", "b"])
    await run(app, style, {}, CONFIG)
    await run(app, style, None, CONFIG)
    await run(app, style, None, CONFIG)
    nodes = [event.node_name async for event in app.aevents(CONFIG) if event.event_type == "interrupted"]
    assert nodes == ["a", "b"]
