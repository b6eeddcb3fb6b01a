"""What a node does after the stop changes nothing, and the answer says what is still at it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from taf import Context, ExecutionStatus, Message, StateGraph, emit, task, task_sync
from taf.checkpointer.base import BaseCheckpointer
from taf.publisher import CollectingPublisher
from tests.stopping.slow import CONFIG, Slow, Trail, chain, slow_chain, step, until


class Stubborn:
    """A node that swallows its cancellation and goes on until let go."""

    def __init__(self) -> None:
        self.entered, self.let_go, self.is_over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.runs = 0

    async def __call__(self, state: Trail) -> dict[str, Any]:
        self.runs += 1
        emit("early")
        self.entered.set()
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue
        emit("late")
        self.is_over.set()
        return {"done": ["late"], "messages": [Message.text_message("late")]}


async def test_a_late_result_of_a_node_that_swallows_its_cancellation_is_refused(store: BaseCheckpointer) -> None:
    node, heard = Stubborn(), CollectingPublisher()
    async with asyncio.timeout(10), slow_chain(store, node, stop_grace=0.05, publisher=heard) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await node.entered.wait()
        answer = await app.astop(CONFIG)
        result = await running
        before = await app.aget_state(CONFIG)
        node.let_go.set()
        await node.is_over.wait()
        await asyncio.sleep(0.01)

        assert (answer["ok"], answer["status"], answer["unwinding"]) == (True, "stopped", ["slow"])
        assert "slow is still running" in answer["reason"]
        after = await app.aget_state(CONFIG)
        assert after == before
        assert (after.status, after.state.done, after.state.messages) == (ExecutionStatus.STOPPED, ["first"], [])
        assert [partial.value for partial in after.partials] == ["early"]
        assert result.state == after.state
    assert [event.data["value"] for event in heard.of("partial")] == ["early"]


async def test_one_that_leaves_late_but_in_time_is_refused_as_well(store: BaseCheckpointer) -> None:
    node = Stubborn()
    async with asyncio.timeout(10), slow_chain(store, node) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await node.entered.wait()
        stopping = asyncio.create_task(app.astop(CONFIG))
        await asyncio.sleep(0.01)
        node.let_go.set()
        assert (await stopping)["unwinding"] == []
        assert (await running).state.done == ["first"]

        again = await app.ainvoke(None, CONFIG)
        assert (again.state.done, node.runs) == (["first", "late", "last"], 2)


async def test_the_next_run_is_free_of_the_node_that_would_not_leave(store: BaseCheckpointer) -> None:
    node = Stubborn()
    async with asyncio.timeout(10), chain(store, ("node", node), stop_grace=0.05) as app:
        first = asyncio.create_task(app.ainvoke({}, CONFIG))
        await node.entered.wait()
        await app.astop(CONFIG)
        await first
        node.entered.clear()
        second = asyncio.create_task(app.ainvoke(None, CONFIG))
        await node.entered.wait()
        node.let_go.set()

        assert (await second).state.done == ["late"]
        assert (await app.aget_state(CONFIG)).state.done == ["late"]
        assert node.runs == 2


async def test_a_sync_node_sees_that_it_is_stopped_and_its_result_is_refused(store: BaseCheckpointer) -> None:
    slow, let_go = Slow(), threading.Event()

    def node(state: Trail, ctx: Context) -> dict[str, Any]:
        slow.in_thread(state, ctx)
        let_go.wait(10)
        emit("late")
        return {"done": ["late"]}

    async with asyncio.timeout(10), slow_chain(store, node) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        answer = await app.astop(CONFIG)
        await until(slow.left.is_set)
        result = await running

        assert (answer["ok"], answer["status"], answer["unwinding"]) == (True, "stopped", ["slow"])
        assert answer["reason"] == "stopped; slow is still running, what it returns is refused"
        let_go.set()
        await asyncio.sleep(0.01)
        assert (await app.aget_state(CONFIG)).state.done == result.state.done == ["first"]
        assert (await app.aget_state(CONFIG)).partials == ()


async def test_a_task_that_ends_after_the_stop_is_not_recorded(store: BaseCheckpointer) -> None:
    entered, let_go, refused = threading.Event(), threading.Event(), threading.Event()

    def work() -> str:
        entered.set()
        let_go.wait(10)
        return "late"

    def node(state: Trail) -> dict[str, Any]:
        try:
            return {"done": [task_sync("work", work)]}
        except Exception:
            refused.set()
            raise

    async with asyncio.timeout(10), chain(store, ("node", node)) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await until(entered.is_set)
        await app.astop(CONFIG)
        await running
        let_go.set()
        await until(refused.is_set)
        kinds = [event.event_type async for event in app.aevents(CONFIG)]
        assert kinds == ["started", "stopped"]


async def test_a_task_whose_result_is_being_written_is_kept(store: BaseCheckpointer) -> None:
    calls: list[str] = []
    slow = Slow()

    async def node(state: Trail) -> dict[str, Any]:
        found = await task("work", calls.append, "once")
        await slow.in_loop(state)
        return {"done": [str(found)]}

    async with asyncio.timeout(10), chain(store, ("node", node)) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await until(lambda: bool(calls))
        await app.astop(CONFIG)
        assert (await running).status is ExecutionStatus.STOPPED
        slow.let_go.set()
        recorded = [event async for event in app.aevents(CONFIG) if event.event_type == "task_recorded"]
        assert (await app.ainvoke(None, CONFIG)).state.done == ["None"]
        assert len(calls) == 2 - len(recorded)


async def test_a_sync_node_that_waits_for_a_thread_never_begins(store: BaseCheckpointer) -> None:
    slow, ran = Slow(), threading.Event()
    graph = StateGraph(Trail).add_node("busy", slow.in_thread).add_node("waits", lambda state: ran.set())
    for name in ("busy", "waits"):
        graph.add_edge("__start__", name)
    async with asyncio.timeout(10), graph.compile(store, max_threads=1) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        answer = await app.astop(CONFIG)
        await running
        await until(slow.left.is_set)
        assert answer["unwinding"] in (["busy"], [])
        assert not ran.is_set()


async def test_a_late_node_does_not_carry_its_subgraph_on(store: BaseCheckpointer) -> None:
    node = Stubborn()
    ran: list[str] = []

    async def behind(state: Trail) -> None:
        ran.append("behind")

    inner = StateGraph(Trail).add_node("stubborn", node).add_node(behind).compile()
    async with asyncio.timeout(10), chain(store, ("inner", inner), ("last", step("last")), stop_grace=0.05) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await node.entered.wait()
        assert (await app.astop(CONFIG))["unwinding"] == ["inner"]
        await running
        old = node.entered
        node.entered = asyncio.Event()
        second = asyncio.create_task(app.ainvoke(None, CONFIG))
        await node.entered.wait()
        node.let_go.set()
        result = await second

        assert (old.is_set(), node.runs, ran) == (True, 2, ["behind"])
        assert (result.status, result.state.done) == (ExecutionStatus.COMPLETED, ["late", "last"])
