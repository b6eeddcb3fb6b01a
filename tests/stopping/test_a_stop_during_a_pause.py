"""A stop that meets a run which is just pausing cancels the pause."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from taf import AgentState, CompiledGraph, ExecutionStatus, InMemoryCheckpointer, StateGraph
from taf.checkpointer.base import BaseCheckpointer, Commit, InterruptRow, Signal
from taf.errors import NothingToResumeError

CONFIG = {"thread_id": "t"}


class Gated(InMemoryCheckpointer):
    """Holds a commit that pauses a run back until ``let_go``."""

    def __init__(self) -> None:
        super().__init__()
        self.is_pausing, self.let_go = asyncio.Event(), asyncio.Event()

    async def append(self, commit: Commit) -> Sequence[Signal]:
        if commit.status.startswith("interrupted"):
            self.is_pausing.set()
            await self.let_go.wait()
        return await super().append(commit)


def guarded(store: BaseCheckpointer, ran: list[str]) -> CompiledGraph:
    async def look(state: AgentState) -> None:
        ran.append("look")

    async def act(state: AgentState) -> None:
        ran.append("act")

    graph = StateGraph().add_node(look).add_node(act)
    return graph.compile(checkpointer=store, interrupt_before=["act"])


async def test_a_stop_from_the_loop_of_a_paused_stream_cancels_the_pause(store: BaseCheckpointer) -> None:
    ran: list[str] = []
    async with asyncio.timeout(10), guarded(store, ran) as app:
        async for event in app.astream({}, CONFIG):
            if event.event_type == "interrupted":
                stopped = await app.astop(CONFIG)

        assert stopped["status"] == ExecutionStatus.STOPPED
        found = await app.aget_state(CONFIG)
        assert (found.status, found.interrupts, ran) == (ExecutionStatus.STOPPED, (), ["look"])


def test_a_stop_from_the_loop_of_a_sync_stream_cancels_the_pause(store: BaseCheckpointer) -> None:
    with guarded(store, []) as app:
        for event in app.stream({}, CONFIG):
            if event.event_type == "interrupted":
                assert app.stop(CONFIG)["status"] == ExecutionStatus.STOPPED

        assert app.get_state(CONFIG).status is ExecutionStatus.STOPPED


async def test_a_stop_that_comes_while_the_pause_is_written_cancels_it() -> None:
    store = Gated()
    async with asyncio.timeout(10), guarded(store, []) as app:
        run = asyncio.create_task(app.ainvoke({}, CONFIG))
        await store.is_pausing.wait()
        stop = asyncio.create_task(app.astop(CONFIG))
        await asyncio.sleep(0)
        store.let_go.set()

        answer = await stop
        assert (answer["status"], answer["was_running"]) == (ExecutionStatus.STOPPED, True)
        assert (await app.aget_state(CONFIG)).status is ExecutionStatus.STOPPED
        await run


async def test_a_stop_from_another_app_while_the_pause_is_written_cancels_it() -> None:
    store = Gated()
    async with asyncio.timeout(10), guarded(store, []) as app, guarded(store, []) as other:
        run = asyncio.create_task(app.ainvoke({}, CONFIG))
        await store.is_pausing.wait()
        stop = asyncio.create_task(other.astop(CONFIG))
        await asyncio.sleep(0.01)
        store.let_go.set()

        assert (await stop)["status"] == ExecutionStatus.STOPPED
        await run


async def test_a_run_resumed_inside_a_stream_can_be_stopped_there(store: BaseCheckpointer) -> None:
    is_acting = asyncio.Event()

    async def act(state: AgentState) -> None:
        is_acting.set()
        await asyncio.Event().wait()

    graph = StateGraph().add_node("look", lambda state: None).add_node("act", act)
    async with asyncio.timeout(10), graph.compile(checkpointer=store, interrupt_before=["act"]) as app:
        async for event in app.astream({}, CONFIG):
            if event.event_type == "interrupted":
                again = asyncio.create_task(app.aresume(CONFIG))
                await is_acting.wait()
                stopped = await app.astop(CONFIG)

        assert (stopped["ok"], stopped["was_running"], stopped["node"]) == (True, True, "act")
        assert (await again).status is ExecutionStatus.STOPPED


class SlowToLookUp(InMemoryCheckpointer):
    """Keeps whoever looks up the interrupts of a thread waiting, once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_slow, self.is_asked = False, asyncio.Event()

    async def interrupts(self, *args: Any, **options: Any) -> Sequence[InterruptRow]:
        if self.is_slow:
            self.is_asked.set()
            await asyncio.Event().wait()
        return await super().interrupts(*args, **options)


async def test_an_answer_that_is_stopped_before_it_is_taken_says_so() -> None:
    store = SlowToLookUp()
    async with asyncio.timeout(10), guarded(store, []) as app:
        (record,) = (await app.ainvoke({}, CONFIG)).interrupts
        await app.astop(CONFIG)  # nobody waits for the answer any more, which it takes a look to find out
        store.is_slow = True
        answering = asyncio.create_task(app.aresume(CONFIG, "approve", interrupt_id=record.id))
        await store.is_asked.wait()
        store.is_slow = False

        await app.astop(CONFIG)

        with pytest.raises(NothingToResumeError):
            await answering
        assert (await app.aget_state(CONFIG)).status is ExecutionStatus.STOPPED
