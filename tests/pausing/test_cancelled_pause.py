"""A stop on a paused thread takes the question back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taf import ExecutionStatus as Status
from taf import interrupt, task
from taf.checkpointer import BaseCheckpointer
from taf.errors import AlreadyAnsweredError
from tests.pausing.trails import Trail, asking, fan, loop, row
from tests.styles import run

CONFIG = {"thread_id": "t"}
POINTS: dict[str, dict[str, Any]] = {
    "before": {"interrupt_before": ["b"]},
    "after": {"interrupt_after": ["a"]},
}


@pytest.mark.parametrize("kind", POINTS)
@pytest.mark.parametrize("way", ["astop", "stop"])
async def test_the_thread_is_stopped_and_the_guarded_node_does_not_run(
    way: str, kind: str, style: str, store: BaseCheckpointer
) -> None:
    app = row("a", "b").compile(store, **POINTS[kind])
    await run(app, style, {}, CONFIG)
    answer = await app.astop(CONFIG) if way == "astop" else await asyncio.to_thread(app.stop, CONFIG)
    assert (answer["ok"], answer["status"], answer["was_running"]) == (True, Status.STOPPED, False)
    stopped = await app.aget_state(CONFIG)
    assert (stopped.status, stopped.interrupts, stopped.state.trail) == (Status.STOPPED, (), ["a"])
    assert stopped.next == ("b",)
    assert not stopped.state.execution_meta.is_interrupted()


@pytest.mark.parametrize("kind", POINTS)
@pytest.mark.parametrize("nothing", [None, {}])
async def test_continued_later_the_guard_asks_again(
    nothing: Any, kind: str, style: str, store: BaseCheckpointer
) -> None:
    app = row("a", "b").compile(store, **POINTS[kind])
    (old,) = (await run(app, style, {}, CONFIG)).interrupts
    await app.astop(CONFIG)
    again = await run(app, style, nothing, CONFIG)
    assert (again.interrupted, again.state.trail) == (True, ["a"])
    assert again.interrupts[0].id != old.id
    assert [record.status for record in await app.ainterrupts(CONFIG)] == ["open", "withdrawn"]
    assert (await run(app, style, None, CONFIG)).state.trail == ["a", "b"]


async def test_the_withdrawn_record_cannot_be_answered(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    (old,) = (await app.ainvoke({}, CONFIG)).interrupts
    await app.astop(CONFIG)
    await app.ainvoke(None, CONFIG)
    with pytest.raises(AlreadyAnsweredError, match="withdrawn"):
        await app.aresume(CONFIG, True, interrupt_id=old.id)


async def test_a_question_inside_a_node_is_asked_again_and_its_tasks_are_not_repeated(store: BaseCheckpointer) -> None:
    calls: list[int] = []

    async def ask(state: Trail) -> dict[str, Any]:
        await task("charge", lambda: calls.append(1))
        return {"note": f"{await interrupt('one?')} {await interrupt('two?')}"}

    app = row("ask", nodes={"ask": ask}).compile(store)
    await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG, "first")
    await app.astop(CONFIG)
    again = await app.ainvoke(None, CONFIG)
    assert again.interrupt_reason == "two?"
    assert (await app.aresume(CONFIG, "second")).state.note == "first second"
    assert calls == [1]


@pytest.mark.parametrize("status", [Status.INTERRUPTED_BEFORE, Status.INTERRUPTED_AFTER])
async def test_what_a_node_asked_for_is_asked_again(status: Status, style: str, store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> dict[str, Any]:
        state.set_interrupt("ask", "look", status)
        return {"trail": ["ask"]}

    app = row("ask", "b", nodes={"ask": ask}).compile(store)
    await run(app, style, {}, CONFIG)
    await app.astop(CONFIG)
    again = await run(app, style, None, CONFIG)
    assert (again.status, again.interrupt_reason, again.state.trail) == (status, "look", ["ask"])
    expected = ["ask", "ask", "b"] if status is Status.INTERRUPTED_BEFORE else ["ask", "b"]
    assert (await run(app, style, None, CONFIG)).state.trail == expected


async def test_all_open_interrupts_are_withdrawn(store: BaseCheckpointer) -> None:
    app = fan("one", "two", nodes={"two": asking("two", "two?")}).compile(store, interrupt_before=["one"])
    await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG)
    await app.astop(CONFIG)
    assert [record.status for record in await app.ainterrupts(CONFIG)] == ["withdrawn", "answered"]


async def test_what_was_approved_before_the_stop_is_not_asked_again(store: BaseCheckpointer) -> None:
    app = fan("one", "two").compile(store, interrupt_before=["one", "two"])
    one, _ = (await app.ainvoke({}, CONFIG)).interrupts
    await app.aresume(CONFIG, True, interrupt_id=one.id)
    await app.astop(CONFIG)
    again = await app.ainvoke(None, CONFIG)
    assert [record.node for record in again.interrupts] == ["two"]


async def test_new_input_after_it_begins_a_new_pass(style: str, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    await run(app, style, {}, CONFIG)
    await app.astop(CONFIG)
    assert (await run(app, style, {"note": "anew"}, CONFIG)).state.trail == ["a", "a"]


async def test_in_a_loop_the_visit_that_was_stopped_asks_again(style: str, store: BaseCheckpointer) -> None:
    app = loop("again", 3).compile(store, interrupt_after=["again"])
    await run(app, style, {}, CONFIG)
    await run(app, style, None, CONFIG)
    await app.astop(CONFIG)
    again = await run(app, style, None, CONFIG)
    assert (again.status, again.state.trail) == (Status.INTERRUPTED_AFTER, ["again"] * 2)


async def test_a_second_stop_changes_nothing(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    await app.astop(CONFIG)
    before = await app.aget_state(CONFIG)
    assert (await app.astop(CONFIG))["ok"]
    assert await app.aget_state(CONFIG) == before
