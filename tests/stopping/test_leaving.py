"""Whoever waits for a run and goes away stops it; a loop that ends leaves a thread that goes on later."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from taf import ExecutionStatus, StateGraph
from taf.checkpointer.base import BaseCheckpointer
from tests.stopping.slow import CONFIG, Slow, Trail, chain, slow_chain, step


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Have said here what asyncio says of tasks that somebody left: elsewhere it comes at any moment."""
    yield
    gc.collect()


async def test_a_caller_that_is_cancelled_stops_the_run(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(10), slow_chain(store, slow.in_loop) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        found = await app.aget_state(CONFIG)
        assert (found.status, found.state.done) == (ExecutionStatus.STOPPED, ["first"])
        assert slow.left.is_set()
        slow.let_go.set()
        assert (await app.ainvoke(None, CONFIG)).state.done == ["first", "slow", "last"]


async def test_a_stopped_run_is_kept_by_no_timer(store: BaseCheckpointer) -> None:
    """Its nodes have a minute to leave, but they did at once."""
    slow = Slow()
    async with asyncio.timeout(10), chain(store, ("node", slow.in_loop), stop_grace=60) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        engine = weakref.ref(app._flights._having["t"].engine)
        await app.astop(CONFIG)
        assert (await running).status is ExecutionStatus.STOPPED
        del running
        gc.collect()
        assert engine() is None


async def test_a_run_whose_caller_was_cancelled_is_found_until_it_is_over(store: BaseCheckpointer) -> None:
    entered, let_go = asyncio.Event(), asyncio.Event()

    async def cleans_up(state: Trail) -> None:
        entered.set()
        try:
            await asyncio.sleep(60)
        finally:
            await let_go.wait()

    async with asyncio.timeout(10), chain(store, ("node", cleans_up)) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await entered.wait()
        running.cancel()
        await asyncio.sleep(0.01)
        stopping = asyncio.create_task(app.astop(CONFIG))
        await asyncio.sleep(0.01)
        assert not stopping.done()
        let_go.set()
        answer = await stopping
        assert (answer["status"], answer["reason"]) == ("stopped", "the caller was cancelled")
        with pytest.raises(asyncio.CancelledError):
            await running


def test_a_loop_that_ends_leaves_a_thread_that_goes_on_later(store: BaseCheckpointer) -> None:
    slow = Slow()
    app = slow_chain(store, slow.in_loop)

    async def begin() -> None:
        await app.asubmit({}, CONFIG)
        await slow.until_entered()

    asyncio.run(begin())
    found = app.get_state(CONFIG)
    assert (found.status, found.state.done) == (ExecutionStatus.STOPPED, ["first"])
    slow.let_go.set()
    assert asyncio.run(app.ainvoke(None, CONFIG)).state.done == ["first", "slow", "last"]
    app.close()


def test_a_loop_that_ends_within_a_subgraph_leaves_a_stop_and_no_error(store: BaseCheckpointer) -> None:
    slow = Slow()
    inner = StateGraph(Trail).add_node("one", step("one")).add_node("slow", slow.in_loop).compile()
    app = chain(store, ("inner", inner), ("last", step("last")))

    async def begin() -> None:
        await app.asubmit({}, CONFIG)
        await slow.until_entered()

    asyncio.run(begin())
    assert app.get_state(CONFIG).status is ExecutionStatus.STOPPED
    slow.let_go.set()
    assert app.invoke(None, CONFIG).state.done == ["one", "slow", "last"]
    app.close()


async def test_a_timeout_of_a_subgraph_is_that_timeout(store: BaseCheckpointer) -> None:
    slow = Slow()
    inner = StateGraph(Trail).add_node("slow", slow.in_loop).compile()
    app = StateGraph(Trail).add_node("inner", inner, timeout=0.05).compile(store)
    async with asyncio.timeout(10), app:
        with pytest.raises(Exception, match='Node "inner" took longer than its timeout'):
            await app.ainvoke({}, CONFIG)
        assert (await app.aget_state(CONFIG)).status is ExecutionStatus.ERROR


def test_a_loop_that_is_closed_under_a_run_does_not_wedge_the_thread(store: BaseCheckpointer) -> None:
    slow = Slow()
    app = slow_chain(store, slow.in_loop)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(app.asubmit({}, CONFIG))
    loop.run_until_complete(slow.until_entered())
    tasks: Any = asyncio.all_tasks(loop)
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False  # that the loop was left with tasks is what is tested

    answer = app.stop(CONFIG)
    assert (answer["ok"], answer["status"]) == (True, "stopped")
    slow.let_go.set()
    assert app.invoke(None, CONFIG).state.done == ["first", "slow", "last"]
    app.close()
    del tasks, task
    gc.collect()


def test_a_loop_that_was_closed_under_a_run_does_not_keep_the_next_run_out(store: BaseCheckpointer) -> None:
    slow = Slow()
    app = slow_chain(store, slow.in_loop)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(app.asubmit({}, CONFIG))
    loop.run_until_complete(slow.until_entered())
    tasks: Any = asyncio.all_tasks(loop)
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False

    slow.let_go.set()
    assert app.invoke(None, CONFIG).state.done == ["first", "slow", "last"]
    app.close()
    del tasks, task
    gc.collect()


async def test_closing_the_app_stops_what_runs(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(10):
        async with slow_chain(store, slow.in_loop) as app:
            running = asyncio.create_task(app.ainvoke({}, CONFIG))
            await slow.until_entered()
        result = await running
        assert (result.status, result.interrupt_reason) == (ExecutionStatus.STOPPED, "the app was closed")


@pytest.mark.parametrize("leaving", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("width", [1, 2])
def test_a_node_that_ends_the_process_leaves_a_stopped_thread(
    store: BaseCheckpointer, leaving: type[BaseException], width: int
) -> None:
    def node(state: Trail) -> None:
        raise leaving

    graph = StateGraph(Trail).add_node("node", node).add_edge("__start__", "node")
    if width == 2:
        graph.add_node("other", Slow().in_loop).add_edge("__start__", "other")
    with graph.compile(store) as app:
        with pytest.raises(leaving):
            app.invoke({}, CONFIG)
        assert app.get_state(CONFIG).status is ExecutionStatus.STOPPED
