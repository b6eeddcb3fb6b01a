"""What goes wrong at a pause in other tools, line by line of what was reproduced there, and does not here."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from taf import AgentState, Message, Reject, StateGraph, interrupt, task
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import AlreadyAnsweredError, InvalidAnswerError, InvalidUpdateError, UnknownInterruptError
from taf.state import append
from tests.pausing.trails import Trail, asking, fan, loop, row

CONFIG = {"thread_id": "t"}


async def test_the_first_lines_of_a_node_with_two_questions_run_once_when_they_are_a_task(
    store: BaseCheckpointer,
) -> None:
    ran: list[str] = []

    async def node(state: Trail) -> dict[str, Any]:
        await task("first lines", lambda: ran.append("first lines"))
        return {"trail": [await interrupt("one?"), await interrupt("two?")]}

    app = row("node", nodes={"node": node}).compile(store)
    await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG, "a")
    assert (await app.aresume(CONFIG, "b")).state.trail == ["a", "b"]
    assert ran == ["first lines"]


async def test_answering_one_of_two_parallel_questions_does_not_run_the_other_node(store: BaseCheckpointer) -> None:
    ran: list[str] = []

    def counting(name: str) -> Any:
        async def node(state: Trail) -> dict[str, Any]:
            ran.append(name)
            return {"trail": [await interrupt(f"{name}?")]}

        return node

    app = fan("one", "two", nodes={name: counting(name) for name in ("one", "two")}).compile(store)
    one, _ = (await app.ainvoke({}, CONFIG)).interrupts
    await app.aresume(CONFIG, "yes", interrupt_id=one.id)
    assert (ran.count("one"), ran.count("two")) == (2, 1)


async def test_a_pause_without_a_checkpointer_can_be_resumed() -> None:
    app = row("ask", nodes={"ask": asking("ask", "sure?")}).compile()
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, "yes")).state.trail == ["ask:yes"]


async def test_a_resume_delivered_twice_does_not_answer_the_next_question(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "one?", "two?")}).compile(store)
    (record,) = (await app.ainvoke({}, CONFIG)).interrupts
    await app.aresume(CONFIG, "a", interrupt_id=record.id)
    with pytest.raises(AlreadyAnsweredError):
        await app.aresume(CONFIG, "a", interrupt_id=record.id)
    assert (await app.aresume(CONFIG, "b")).state.trail == ["ask:a:b"]


async def test_an_empty_answer_and_an_unknown_id_are_not_ignored(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "how many?", answer=int)}).compile(store)
    await app.ainvoke({}, CONFIG)
    for nothing in ({}, None):
        with pytest.raises(InvalidAnswerError):
            await app.aresume(CONFIG, nothing)
    with pytest.raises(UnknownInterruptError):
        await app.aresume(CONFIG, 1, interrupt_id="unknown")


async def test_new_input_does_not_discard_a_pending_question(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "sure?")}).compile(store)
    (record,) = (await app.ainvoke({}, CONFIG)).interrupts
    assert (await app.ainvoke({"messages": [Message.text_message("hello?")]}, CONFIG)).interrupts == (record,)
    done = await app.aresume(CONFIG, "yes")
    assert (done.state.trail, [m.text() for m in done.messages]) == (["ask:yes"], ["hello?"])


async def test_a_static_breakpoint_is_seen_as_a_question_and_can_be_denied(store: BaseCheckpointer) -> None:
    app = row("plan", "delete").compile(store, interrupt_before=["delete"])
    assert [record.node for record in (await app.ainvoke({}, CONFIG)).interrupts] == ["delete"]
    assert (await app.aresume(CONFIG, Reject("DENY"))).state.trail == ["plan"]


async def test_a_breakpoint_after_a_node_in_a_loop_does_not_skip_every_second_pause(store: BaseCheckpointer) -> None:
    app = loop("again", 4).compile(store, interrupt_after=["again"])
    result, seen = await app.ainvoke({}, CONFIG), 0
    while result.interrupted:
        seen += 1
        result = await app.ainvoke({}, CONFIG)
    assert (seen, len(result.state.trail)) == (4, 4)


async def test_a_breakpoint_after_the_last_node_does_not_restart_the_graph(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_after=["b"])
    await app.ainvoke({}, CONFIG)
    done = await app.ainvoke({}, CONFIG)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["a", "b"])


async def test_set_interrupt_is_not_ignored(store: BaseCheckpointer) -> None:
    async def node(state: Trail) -> Trail:
        state.set_interrupt("node", "look at this", Status.INTERRUPTED_BEFORE, {"amount": 10_000})
        return state

    paused = await row("node", nodes={"node": node}).compile(store).ainvoke({}, CONFIG)
    assert (paused.interrupt_reason, paused.interrupts[0].data) == ("look at this", {"amount": 10_000})


class Typed(AgentState):
    pair: tuple[int, str] = (0, "")
    anything: Any = None
    numbers: Annotated[list[int], append] = []


async def test_tuples_come_back_as_tuples_after_a_pause(store: BaseCheckpointer) -> None:
    seen: list[Any] = []

    async def make(state: Typed) -> dict[str, Any]:
        return {"pair": (1, "a"), "anything": {"nested": (1, (2, 3)), "ids": {4}}}

    async def look(state: Typed) -> None:
        seen.append((state.pair, state.anything))

    graph = StateGraph(Typed).add_node("make", make).add_node("look", look)
    await graph.compile(store, interrupt_before=["look"]).ainvoke({}, CONFIG)
    await graph.compile(store).ainvoke(None, CONFIG)
    assert seen == [((1, "a"), {"nested": (1, (2, 3)), "ids": {4}})]


async def test_an_invalid_update_does_not_brick_the_thread(store: BaseCheckpointer) -> None:
    updates: list[Any] = [{"numbers": "many"}, {"numbers": [1]}]

    async def make(state: Typed) -> dict[str, Any]:
        return dict(updates.pop(0))

    app = StateGraph(Typed).add_node("make", make).compile(store, interrupt_before=["make"])
    await app.ainvoke({}, CONFIG)
    with pytest.raises(InvalidUpdateError, match="numbers"):
        await app.ainvoke(None, CONFIG)
    snapshot = await app.aget_state(CONFIG)
    assert (snapshot.status, snapshot.state.numbers) == (Status.ERROR, [])
    assert (await app.ainvoke(None, CONFIG)).state.numbers == [1]


async def test_gather_with_exceptions_and_except_exception_do_not_swallow_a_pause(store: BaseCheckpointer) -> None:
    async def node(state: Trail) -> dict[str, Any]:
        try:
            answers = await asyncio.gather(interrupt("sure?"), return_exceptions=True)
        except Exception:
            answers = ["swallowed"]
        return {"trail": [str(answers[0])]}

    app = row("node", nodes={"node": node}).compile(store)
    assert (await app.ainvoke({}, CONFIG)).interrupt_reason == "sure?"
    assert (await app.aresume(CONFIG, "yes")).state.trail == ["yes"]
