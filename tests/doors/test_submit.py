"""A run that is submitted goes on by itself, and can be waited for from anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from taf import (
    AgentState,
    ExecutionStatus,
    InMemoryCheckpointer,
    InvalidInputError,
    StateGraph,
    ThreadBusyError,
    UnknownThreadError,
)
from taf.checkpointer.base import BaseCheckpointer, Known, Stored, ThreadKey
from taf.events import Event, EventType
from taf.graph.ending import followed
from taf.state.reducers import append
from tests.stopping.slow import Slow

CONFIG = {"thread_id": "t"}


class Trail(AgentState):
    done: Annotated[list[str], append] = []


def compiled(store: BaseCheckpointer | None, slow: Slow, **options: Any) -> Any:
    return StateGraph(Trail).add_node("slow", slow.in_loop).compile(store, **options)


async def test_a_receipt_comes_at_once_and_the_run_goes_on(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(10), compiled(store, slow) as app:
        receipt = await app.asubmit({}, {**CONFIG, "run_id": "r"})
        assert (receipt.thread_id, receipt.run_id) == ("t", "r")
        assert (await app.aget_state(CONFIG)).status is ExecutionStatus.RUNNING
        slow.let_go.set()
        assert (await app.ajoin(CONFIG, "r")).state.done == ["slow"]


def test_the_sync_twin_goes_on_in_the_background(store: BaseCheckpointer) -> None:
    slow = Slow()
    with compiled(store, slow) as app:
        receipt = app.submit({})
        slow.let_go.set()
        result = app.join({"thread_id": receipt.thread_id}, receipt.run_id)
        assert (result.status, result.run_id) == (ExecutionStatus.COMPLETED, receipt.run_id)


async def test_what_keeps_a_run_from_beginning_is_raised(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(10), compiled(store, slow) as app:
        with pytest.raises(InvalidInputError):
            await app.asubmit({"unknown": 1}, CONFIG)
        await app.asubmit({}, CONFIG)
        with pytest.raises(ThreadBusyError):
            await app.asubmit({}, CONFIG)
        slow.let_go.set()
        await app.ajoin(CONFIG)


async def test_another_app_can_wait_for_it(store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]) -> None:
    slow = Slow()
    async with asyncio.timeout(10), compiled(store, slow) as app, compiled(reopen(), slow) as other:
        receipt = await app.asubmit({}, CONFIG)
        joining = asyncio.create_task(other.ajoin(CONFIG, receipt.run_id))
        await asyncio.sleep(0.05)
        assert not joining.done()
        slow.let_go.set()
        assert (await joining).state.done == ["slow"]


async def test_a_wait_that_is_cancelled_does_not_stop_the_run(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(10), compiled(store, slow) as app:
        await app.asubmit({}, CONFIG)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(app.ajoin(CONFIG), 0.02)
        slow.let_go.set()
        assert (await app.ajoin(CONFIG)).status is ExecutionStatus.COMPLETED


async def test_waiting_ends_at_a_pause_and_at_an_error(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), compiled(store, Slow(), interrupt_before=["slow"]) as app:
        await app.asubmit({}, CONFIG)
        assert (await app.ajoin(CONFIG)).status is ExecutionStatus.INTERRUPTED_BEFORE

    async def bad(state: Trail) -> None:
        raise ValueError("no")

    async with asyncio.timeout(10), StateGraph(Trail).add_node(bad).compile(store) as app:
        await app.asubmit({}, {"thread_id": "bad"})
        assert (await app.ajoin({"thread_id": "bad"})).status is ExecutionStatus.ERROR


async def test_nobody_can_wait_for_an_unknown_thread(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), compiled(store, Slow()) as app:
        with pytest.raises(UnknownThreadError):
            await app.ajoin({"thread_id": "nobody"})


async def test_two_thousand_paused_threads_hold_no_task_and_no_place_in_the_app() -> None:
    async with asyncio.timeout(60), compiled(None, Slow(), interrupt_before=["slow"]) as app:
        for start in range(0, 2000, 100):
            await asyncio.gather(*(app.ainvoke({}, {"thread_id": str(n)}) for n in range(start, start + 100)))
        assert len(asyncio.all_tasks()) == 1
        assert (app._flights._having, app._flights._all) == ({}, set())
        assert app.checkpointer._watchers == {}
        assert len(await app.athreads(status="interrupted_before", limit=5000)) == 2000


class LateLook(InMemoryCheckpointer):
    """A store whose reader looks who owns a thread a moment after it has read the thread."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        super().__init__()
        self._go_on, self.is_late = go_on, False

    async def load(self, key: ThreadKey, known: Known | None = None) -> Stored | None:
        stored = await super().load(key, known)
        if stored is not None and stored.is_owned and self.is_late:
            self.is_late = False
            self._go_on()
            while (now := await super().load(key)) is not None and now.is_owned:
                await asyncio.sleep(0.001)
            return stored._replace(is_owned=False)
        return stored


async def test_a_run_that_ends_while_it_is_looked_at_has_not_lost_its_owner() -> None:
    go_on = asyncio.Event()

    async def wait(state: Trail) -> dict[str, Any]:
        await go_on.wait()
        return {"done": ["waited"]}

    store = LateLook(go_on.set)
    graph = StateGraph(Trail).add_node("wait", wait)
    async with asyncio.timeout(10), graph.compile(store) as app, graph.compile(store) as other:
        await app.asubmit({}, {**CONFIG, "run_id": "r"})
        store.is_late = True
        seen = await other.ajoin(CONFIG, "r")
        assert not store.is_late
        assert (seen.status, seen.state.done) == (ExecutionStatus.COMPLETED, ["waited"])


class EarlyLook(InMemoryCheckpointer):
    """A store whose reader looks who owns a thread, at first, a moment before its owner comes."""

    looks = 0

    async def load(self, key: ThreadKey, known: Known | None = None) -> Stored | None:
        stored = await super().load(key, known)
        self.looks += 1
        return stored and (stored._replace(is_owned=False) if self.looks == 1 else stored)


async def test_who_follows_a_run_is_told_of_all_of_it_though_its_owner_was_looked_for_too_early() -> None:
    slow, store, told = Slow(), EarlyLook(), list[Event]()
    async with asyncio.timeout(10), compiled(store, slow) as app:
        await app.asubmit({}, {**CONFIG, "run_id": "r"})
        following = asyncio.create_task(
            followed(app.runtime.journal, "t", "r", 0, lambda events, _: told.extend(events))
        )
        while store.looks < 2:
            await asyncio.sleep(0.001)
        slow.let_go.set()
        assert (await following).status is ExecutionStatus.COMPLETED
    assert told[-1].event_type is EventType.COMPLETED
