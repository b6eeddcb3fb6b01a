"""A stop has a defined answer at every moment of a thread's life, and never wedges it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from taf import START, ExecutionStatus, InMemoryCheckpointer, StateGraph, StoreUnavailableError, interrupt
from taf.checkpointer.base import BaseCheckpointer, Commit, Signal
from tests.stopping.slow import CONFIG, Slow, Trail, chain, slow_chain, step
from tests.styles import run


class Gated(InMemoryCheckpointer):
    """Holds the commits of one number of records back."""

    def __init__(self, sequence: int) -> None:
        super().__init__()
        self.sequence = sequence
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()

    async def append(self, commit: Commit) -> Sequence[Signal]:
        if commit.records and commit.records[-1].sequence == self.sequence:
            self.reached.set()
            await self.let_go.wait()
        return await super().append(commit)


async def test_before_the_first_step_nothing_runs_and_the_input_is_kept(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), chain(store, ("first", step("first"))) as app:
        running = asyncio.create_task(app.ainvoke({"done": ["given"]}, CONFIG))
        await asyncio.sleep(0)
        answer = await app.astop(CONFIG)
        result = await running

        assert (answer["ok"], answer["status"], answer["was_running"]) == (True, "stopped", True)
        assert (result.status, result.state.done) == (ExecutionStatus.STOPPED, ["given"])
        assert (await app.ainvoke(None, CONFIG)).state.done == ["given", "first"]


async def test_between_two_steps_the_next_one_does_not_run() -> None:
    store = Gated(2)  # the record of the first step
    async with asyncio.timeout(10), chain(store, ("one", step("one")), ("two", step("two"))) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await store.reached.wait()
        stopping = asyncio.create_task(app.astop(CONFIG))
        await asyncio.sleep(0.01)
        store.let_go.set()
        answer, result = await stopping, await running

        assert (answer["status"], answer["node"]) == ("stopped", "two")
        assert (result.status, result.state.done) == (ExecutionStatus.STOPPED, ["one"])
        assert (await app.ainvoke(None, CONFIG)).state.done == ["one", "two"]


async def test_in_the_last_node(store: BaseCheckpointer, style: str) -> None:
    slow = Slow()
    async with asyncio.timeout(10), chain(store, ("slow", slow.in_loop)) as app:
        running = asyncio.create_task(run(app, style, {}, CONFIG))
        await slow.until_entered()
        assert (await app.astop(CONFIG))["status"] == "stopped"
        assert (await running).state.done == []
        slow.let_go.set()
        assert (await run(app, style, None, CONFIG)).state.done == ["slow"]


async def test_while_the_last_step_is_written_the_run_completes() -> None:
    store = Gated(3)  # the only step and the end are one commit
    async with asyncio.timeout(10), chain(store, ("one", step("one"))) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await store.reached.wait()
        stopping = asyncio.create_task(app.astop(CONFIG))
        await asyncio.sleep(0.01)
        store.let_go.set()
        answer = await stopping

        assert (answer["ok"], answer["status"], answer["was_running"]) == (True, "completed", True)
        assert (await running).status is ExecutionStatus.COMPLETED


async def test_while_paused_it_cancels_the_pause_and_the_guard_asks_again(store: BaseCheckpointer, style: str) -> None:
    async with asyncio.timeout(10), chain(store, ("act", step("act")), interrupt_before=["act"]) as app:
        paused = await run(app, style, {}, CONFIG)
        answer = await app.astop(CONFIG, "never mind")
        assert (answer["ok"], answer["status"], answer["was_running"]) == (True, "stopped", False)
        assert (answer["node"], answer["reason"]) == ("act", "never mind")
        assert [(r.id, r.status) for r in await app.ainterrupts(CONFIG)] == [(paused.interrupts[0].id, "withdrawn")]

        again = await run(app, style, None, CONFIG)
        assert (again.status, again.state.done) == (ExecutionStatus.INTERRUPTED_BEFORE, [])
        assert again.interrupts[0].id != paused.interrupts[0].id
        assert (await run(app, style, None, CONFIG)).state.done == ["act"]


async def test_while_a_question_is_open_it_is_asked_again(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> dict[str, list[str]]:
        return {"done": [await interrupt("Which?", answer=str)]}

    async with asyncio.timeout(10), chain(store, ("ask", ask)) as app:
        await app.ainvoke({}, CONFIG)
        assert (await app.astop(CONFIG))["status"] == "stopped"
        again = await app.ainvoke(None, CONFIG)
        assert [record.reason for record in again.interrupts] == ["Which?"]
        assert (await app.aresume(CONFIG, "this")).state.done == ["this"]


async def test_behind_a_node_it_is_asked_about_again(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), chain(store, ("act", step("act")), interrupt_after=["act"]) as app:
        await app.ainvoke({}, CONFIG)
        await app.astop(CONFIG)
        again = await app.ainvoke(None, CONFIG)
        assert (again.status, again.state.done) == (ExecutionStatus.INTERRUPTED_AFTER, ["act"])
        assert (await app.ainvoke(None, CONFIG)).status is ExecutionStatus.COMPLETED


async def test_on_a_thread_that_is_complete_nothing_changes(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), chain(store, ("one", step("one"))) as app:
        await app.ainvoke({}, CONFIG)
        before = await app.aget_state(CONFIG)
        answer = await app.astop(CONFIG)
        assert (answer["ok"], answer["status"], answer["was_running"]) == (True, "completed", False)
        assert await app.aget_state(CONFIG) == before


async def test_on_an_error_nothing_changes(store: BaseCheckpointer) -> None:
    async def fail(state: Trail) -> None:
        raise ValueError("no")

    async with asyncio.timeout(10), chain(store, ("fail", fail)) as app:
        with pytest.raises(ValueError, match="no"):
            await app.ainvoke({}, CONFIG)
        answer = await app.astop(CONFIG)
        assert (answer["ok"], answer["status"], answer["was_running"]) == (True, "error", False)


async def test_an_unknown_thread_is_no_thread_afterwards(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), chain(store, ("one", step("one"))) as app:
        answer = await app.astop({"thread_id": "nobody"})
        assert (answer["ok"], answer["reason"], answer["run_id"]) == (False, "unknown-thread", None)
        assert await app.athreads() == []


async def test_twice_the_second_finds_it_stopped(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(10), slow_chain(store, slow.in_loop) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        first, second = await app.astop(CONFIG, "one"), await app.astop(CONFIG, "two")
        await running
        assert (first["reason"], second["reason"]) == ("one", "one")
        assert (first["was_running"], second["was_running"]) == (True, False)
        assert (second["ok"], second["status"]) == (True, "stopped")


async def test_a_stop_on_nothing_does_not_hit_the_next_run(store: BaseCheckpointer, style: str) -> None:
    async with asyncio.timeout(10), chain(store, ("one", step("one"))) as app:
        await app.ainvoke({}, CONFIG)
        await app.astop(CONFIG)
        assert (await run(app, style, {}, CONFIG)).status is ExecutionStatus.COMPLETED


async def test_on_a_second_turn_it_stops_that_one(store: BaseCheckpointer) -> None:
    slow = Slow()
    slow.let_go.set()
    async with asyncio.timeout(10), slow_chain(store, slow.in_loop) as app:
        assert (await app.ainvoke({}, CONFIG)).status is ExecutionStatus.COMPLETED
        slow.let_go.clear()
        slow.entered.clear()
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        assert (await app.astop(CONFIG))["status"] == "stopped"
        assert (await running).state.done == ["first", "slow", "last", "first"]


async def test_a_run_that_has_not_written_yet_is_stopped_from_another_app(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    deciding, let_go = asyncio.Event(), asyncio.Event()

    async def router(state: Trail) -> str:
        deciding.set()
        await let_go.wait()
        return "slow"

    slow = Slow()
    graph = StateGraph(Trail).add_node("slow", slow.in_loop).add_conditional_edges(START, router, ["slow"])
    async with asyncio.timeout(10), graph.compile(store) as app, graph.compile(reopen()) as other:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await deciding.wait()
        stopping = asyncio.create_task(other.astop(CONFIG))
        await asyncio.sleep(0.05)
        let_go.set()
        assert (await stopping)["status"] == "stopped"
        assert (await running).status is ExecutionStatus.STOPPED


async def test_a_run_that_waits_for_a_busy_thread_is_not_what_is_stopped(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    slow = Slow()
    async with asyncio.timeout(10), slow_chain(store, slow.in_loop) as app, slow_chain(reopen(), slow.in_loop) as other:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        refused = asyncio.create_task(other.ainvoke({}, CONFIG))
        await asyncio.sleep(0)
        assert (await other.astop(CONFIG))["status"] == "stopped"
        assert (await running).status is ExecutionStatus.STOPPED
        await asyncio.wait([refused])
        assert "is running" in str(refused.exception())


class Failing(InMemoryCheckpointer):
    """Refuses to write so many stops."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def append(self, commit: Commit) -> Sequence[Signal]:
        if commit.status == "stopped" and self.times:
            self.times -= 1
            raise StoreUnavailableError("write", "the disk is full")
        return await super().append(commit)


async def test_a_store_that_fails_at_the_stop_is_told_to_both_and_the_thread_goes_on_later() -> None:
    slow = Slow()
    async with asyncio.timeout(10), slow_chain(Failing(2), slow.in_loop) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        with pytest.raises(StoreUnavailableError):
            await app.astop(CONFIG)
        with pytest.raises(StoreUnavailableError):
            await running
        slow.let_go.set()
        assert (await app.ainvoke(None, CONFIG)).state.done == ["first", "slow", "last"]


async def test_a_stop_that_the_run_failed_to_write_is_written_for_it() -> None:
    slow = Slow()
    async with asyncio.timeout(10), slow_chain(Failing(1), slow.in_loop) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        assert (await app.astop(CONFIG))["status"] == "stopped"
        with pytest.raises(StoreUnavailableError):
            await running
