"""A node's ``timeout``, in async and in sync nodes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from taf.checkpointer import BaseCheckpointer
from taf.errors import NodeTimeoutError, StaleOwnerError
from taf.graph import START, Context, StateGraph, interrupt, task_sync
from taf.state import ExecutionStatus
from tests.graph.trail import Trail, visit
from tests.styles import run


def app_of(fn: Any, seconds: float = 0.02, **options: Any) -> Any:
    return StateGraph(Trail).add_node("slow", fn, timeout=seconds).compile(**options)


async def forever(state: Trail) -> None:
    await asyncio.Event().wait()


async def test_a_slow_async_node_is_cancelled_and_named(store: BaseCheckpointer, style: str) -> None:
    app = app_of(forever, checkpointer=store)

    async with asyncio.timeout(10):
        with pytest.raises(NodeTimeoutError, match=r'Node "slow" took longer than its timeout of 0\.02 s') as caught:
            await run(app, style, {}, {"thread_id": "t"})

    assert (caught.value.node, caught.value.seconds, caught.value.thread_id) == ("slow", 0.02, "t")
    assert (await app.aget_state({"thread_id": "t"})).status is ExecutionStatus.ERROR


async def test_a_sync_node_is_given_up_and_what_it_returns_too_late_is_refused(
    store: BaseCheckpointer, style: str
) -> None:
    leave, left = threading.Event(), threading.Event()
    stopping: list[bool] = []

    def slow(state: Trail, ctx: Context) -> dict[str, Any]:
        assert leave.wait(10)
        stopping.append(ctx.stopping)
        left.set()
        return {"trail": "too late"}

    app = app_of(slow, 0.25, checkpointer=store)  # its thread has to begin within that time
    async with asyncio.timeout(10):
        with pytest.raises(NodeTimeoutError):
            await run(app, style, {}, {"thread_id": "t"})
        before = await app.aget_state({"thread_id": "t"})
        leave.set()
        assert await asyncio.to_thread(left.wait, 10)
    after = await app.aget_state({"thread_id": "t"})

    assert stopping == [True]
    assert (after.state.trail, after.checkpoint_id) == ([], before.checkpoint_id)


async def test_a_sync_node_that_was_given_up_can_record_no_task(store: BaseCheckpointer) -> None:
    leave = threading.Event()
    outcome: list[BaseException] = []
    left = threading.Event()

    def slow(state: Trail) -> None:
        assert leave.wait(10)
        try:
            task_sync("late", lambda: 1)
        except StaleOwnerError as refused:
            outcome.append(refused)
        left.set()

    app = app_of(slow, 0.25, checkpointer=store)
    async with asyncio.timeout(10):
        with pytest.raises(NodeTimeoutError):
            await app.ainvoke({}, {"thread_id": "t"})
        leave.set()
        assert await asyncio.to_thread(left.wait, 10)

    assert len(outcome) == 1


async def test_a_node_that_is_quick_enough_is_not_disturbed(store: BaseCheckpointer, style: str) -> None:
    for fn in (visit("quick"), lambda state: {"trail": "quick"}):
        result = await run(app_of(fn, 600, checkpointer=store), style, {}, {"thread_id": fn.__name__})

        assert result.state.trail == ["quick"]


async def test_a_timeout_error_of_the_nodes_own_is_raised_as_it_is() -> None:
    async def own(state: Trail) -> None:
        raise TimeoutError("of the database")

    with pytest.raises(TimeoutError, match="of the database") as caught:
        await app_of(own, 600).ainvoke({})

    assert not isinstance(caught.value, NodeTimeoutError)


async def test_a_question_stops_the_clock(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> dict[str, Any]:
        return {"trail": await interrupt("name?", answer=str)}

    app, config = app_of(ask, 600, checkpointer=store), {"thread_id": "t"}
    await app.ainvoke({}, config)

    assert (await app.aresume(config, "ann")).state.trail == ["ann"]


async def test_the_timeout_of_one_branch_keeps_what_the_others_finished(store: BaseCheckpointer) -> None:
    runs: list[str] = []
    is_slow = [True]

    async def quick(state: Trail) -> dict[str, Any]:
        runs.append("quick")
        return {"trail": "quick"}

    async def slow(state: Trail) -> dict[str, Any]:
        if is_slow:
            await asyncio.Event().wait()
        return {"trail": "slow"}

    graph = StateGraph(Trail).add_node("slow", slow, timeout=0.02).add_node(quick)
    app = graph.add_edge(START, "slow").add_edge(START, "quick").compile(checkpointer=store)
    async with asyncio.timeout(10):
        with pytest.raises(NodeTimeoutError):
            await app.ainvoke({}, {"thread_id": "t"})
        is_slow.clear()
        result = await app.ainvoke(None, {"thread_id": "t"})

    assert (result.state.trail, runs) == (["slow", "quick"], ["quick"])


async def test_a_subgraph_that_takes_too_long_goes_on_where_it_was(store: BaseCheckpointer) -> None:
    is_slow = [True]
    runs: list[str] = []

    async def first(state: Trail) -> dict[str, Any]:
        runs.append("first")
        return {"trail": "first"}

    async def second(state: Trail) -> dict[str, Any]:
        if is_slow:
            await asyncio.Event().wait()
        return {"trail": "second"}

    inner = StateGraph(Trail).add_sequence([first, second]).set_entry_point("first").compile()
    app = StateGraph(Trail).add_node("inner", inner, timeout=0.3).compile(checkpointer=store)
    async with asyncio.timeout(10):
        with pytest.raises(NodeTimeoutError):
            await app.ainvoke({}, {"thread_id": "t"})
        is_slow.clear()
        result = await app.ainvoke(None, {"thread_id": "t"})

    assert (result.state.trail, runs) == (["first", "second"], ["first"])
