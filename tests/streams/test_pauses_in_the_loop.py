"""The thread is free before the pause is told: it can be resumed, stopped or looked at inside the loop."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from taf import AgentState, ExecutionStatus, Message, StateGraph
from taf.checkpointer.base import BaseCheckpointer
from taf.state.reducers import append

CONFIG = {"thread_id": "t"}


class Trail(AgentState):
    done: Annotated[list[str], append] = []


async def look(state: Trail) -> dict[str, Any]:
    return {"done": ["look"]}


async def act(state: Trail) -> dict[str, Any]:
    return {"done": ["act"]}


def guarded(store: BaseCheckpointer, **options: Any) -> Any:
    return StateGraph(Trail).add_node(look).add_node(act).compile(store, interrupt_before=["act"], **options)


YES = {"messages": [Message.text_message("Human approved")]}


async def test_a_nested_stream_resumes_it(store: BaseCheckpointer) -> None:
    outer, inner = [], []
    async with asyncio.timeout(10), guarded(store) as app:
        async for chunk in app.astream({}, CONFIG):
            outer.append(chunk.event_type)
            if chunk.event_type == "interrupted":
                inner += [event.event_type async for event in app.astream(YES, CONFIG)]
        result = await app.aget_state(CONFIG)

    assert outer == ["started", "node_completed", "interrupted"]
    assert inner == ["answered", "resumed", "node_completed", "completed"]
    assert (result.status, result.state.done) == (ExecutionStatus.COMPLETED, ["look", "act"])


def test_a_nested_sync_stream_resumes_it(store: BaseCheckpointer) -> None:
    inner: list[str] = []
    with guarded(store) as app:
        for chunk in app.stream({}, CONFIG):
            if chunk.event_type == "interrupted":
                inner += [event.event_type for event in app.stream(YES, CONFIG)]
        assert inner[-1] == "completed"
        assert app.get_state(CONFIG).state.done == ["look", "act"]


async def test_an_invoke_in_the_loop_resumes_it_and_the_end_of_the_loop_stops_nothing(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), guarded(store) as app:
        async for chunk in app.astream({}, CONFIG):
            if chunk.event_type == "interrupted":
                running = asyncio.create_task(app.ainvoke(YES, CONFIG))
                break
        assert (await running).status is ExecutionStatus.COMPLETED


async def test_a_stop_and_a_break_in_the_loop_cancel_it(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), guarded(store) as app:
        async for chunk in app.astream({}, CONFIG):
            if chunk.event_type == "interrupted":
                answer = await app.astop(CONFIG)
                break
        assert (answer["ok"], answer["status"]) == (True, "stopped")
        found = await app.aget_state(CONFIG)
        assert (found.status, found.state.done, found.interrupts) == (ExecutionStatus.STOPPED, ["look"], ())


async def test_a_break_at_the_pause_leaves_the_thread_paused(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), guarded(store) as app:
        async for chunk in app.astream({}, CONFIG):
            if chunk.event_type == "interrupted":
                break
        await asyncio.sleep(0.01)
        assert (await app.aget_state(CONFIG)).status is ExecutionStatus.INTERRUPTED_BEFORE


async def test_another_app_resumes_it_in_the_loop(store: BaseCheckpointer, reopen: Any) -> None:
    async with asyncio.timeout(10), guarded(store) as app, guarded(reopen()) as other:
        async for chunk in app.astream({}, CONFIG):
            if chunk.event_type == "interrupted":
                assert (await other.ainvoke(YES, CONFIG)).status is ExecutionStatus.COMPLETED


async def test_a_publisher_that_is_stuck_does_not_keep_the_pause_from_being_answered(store: BaseCheckpointer) -> None:
    let_go = asyncio.Event()

    async def stuck(event: Any) -> None:
        await let_go.wait()

    async with asyncio.timeout(10), guarded(store, publisher=stuck) as app:
        async for chunk in app.astream({}, CONFIG):
            if chunk.event_type == "interrupted":
                assert (await app.ainvoke(YES, CONFIG)).status is ExecutionStatus.COMPLETED
        let_go.set()
