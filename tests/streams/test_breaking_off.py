"""A reader that breaks off stops the run and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from taf import AgentState, Context, ExecutionStatus, StateGraph
from taf.checkpointer.base import BaseCheckpointer

CONFIG = {"thread_id": "t"}


async def quick(state: AgentState) -> None:
    return None


async def waits(state: AgentState) -> None:
    await asyncio.sleep(60)


def waits_in_thread(state: AgentState, ctx: Context) -> None:
    while not ctx.stopping:
        threading.Event().wait(0.002)


@pytest.fixture(params=["async", "sync"])
def graph(request: pytest.FixtureRequest) -> StateGraph:
    slow = waits if request.param == "async" else waits_in_thread
    return StateGraph().add_node(quick).add_node("slow", slow)


@pytest.fixture
def leaks() -> Iterator[None]:
    """Compare the OS threads before and after."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith(("taf-sqlite", "asyncio_")):
            thread.join(5)
            assert not thread.is_alive(), thread


async def fails_reading(app: Any) -> None:
    async for _ in app.astream({}, CONFIG):
        raise ValueError("mine")


def fails_reading_sync(app: Any) -> None:
    for _ in app.stream({}, CONFIG):
        raise ValueError("mine")


async def until_alone() -> None:
    """Wait until no task but this one is left."""
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)


async def stopped(app: Any) -> bool:
    async with asyncio.timeout(5):
        while (await app.aget_state(CONFIG)).status is ExecutionStatus.RUNNING:
            await asyncio.sleep(0.001)
    return (await app.aget_state(CONFIG)).status is ExecutionStatus.STOPPED


@pytest.mark.usefixtures("leaks")
async def test_a_break_stops_the_run(store: BaseCheckpointer, graph: StateGraph) -> None:
    async with asyncio.timeout(10), graph.compile(store) as app:
        async for event in app.astream({}, CONFIG):
            if event.event_type == "node_completed":
                break
        assert await stopped(app)
        await until_alone()


@pytest.mark.usefixtures("leaks")
async def test_an_error_of_the_reader_stops_the_run(store: BaseCheckpointer, graph: StateGraph) -> None:
    async with asyncio.timeout(10), graph.compile(store) as app:
        with pytest.raises(ValueError, match="mine"):
            await fails_reading(app)
        assert await stopped(app)
        await until_alone()


@pytest.mark.usefixtures("leaks")
async def test_closing_the_stream_stops_the_run_before_it_returns(store: BaseCheckpointer, graph: StateGraph) -> None:
    async with asyncio.timeout(10), graph.compile(store) as app:
        stream: AsyncIterator[Any] = app.astream({}, CONFIG)
        await anext(stream)
        await stream.aclose()
        assert (await app.aget_state(CONFIG)).status is ExecutionStatus.STOPPED
        await until_alone()


@pytest.mark.usefixtures("leaks")
async def test_a_reader_that_is_cancelled_stops_the_run(store: BaseCheckpointer, graph: StateGraph) -> None:
    async def read() -> None:
        async for event in app.astream({}, CONFIG):
            if event.event_type == "node_completed":
                begun.set()

    begun = asyncio.Event()
    async with asyncio.timeout(10), graph.compile(store) as app:
        reading = asyncio.create_task(read())
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert (await app.aget_state(CONFIG)).status is ExecutionStatus.STOPPED
        await until_alone()


@pytest.mark.usefixtures("leaks")
async def test_a_stream_that_is_forgotten_stops_the_run(store: BaseCheckpointer, graph: StateGraph) -> None:
    async with asyncio.timeout(10), graph.compile(store) as app:
        stream = app.astream({}, CONFIG)
        await anext(stream)
        del stream
        gc.collect()
        assert await stopped(app)
        await until_alone()


async def test_a_stream_that_was_never_begun_runs_nothing(store: BaseCheckpointer, graph: StateGraph) -> None:
    async with asyncio.timeout(10), graph.compile(store) as app:
        stream = app.astream({}, CONFIG)
        await stream.aclose()
        assert await app.athreads() == []


@pytest.mark.usefixtures("leaks")
def test_a_break_out_of_a_sync_stream_stops_the_run(store: BaseCheckpointer, graph: StateGraph) -> None:
    with graph.compile(store) as app:
        for event in app.stream({}, CONFIG):
            if event.event_type == "node_completed":
                break
        assert app.get_state(CONFIG).status is ExecutionStatus.STOPPED


@pytest.mark.usefixtures("leaks")
def test_an_error_of_the_reader_of_a_sync_stream_stops_the_run(store: BaseCheckpointer, graph: StateGraph) -> None:
    with graph.compile(store) as app:
        with pytest.raises(ValueError, match="mine"):
            fails_reading_sync(app)
        assert app.get_state(CONFIG).status is ExecutionStatus.STOPPED


@pytest.mark.usefixtures("leaks")
def test_a_sync_stream_that_is_forgotten_stops_the_run(store: BaseCheckpointer, graph: StateGraph) -> None:
    with graph.compile(store) as app:
        stream = app.stream({}, CONFIG)
        next(stream)
        del stream
        gc.collect()
        assert app.get_state(CONFIG).status is ExecutionStatus.STOPPED


@pytest.mark.usefixtures("leaks")
def test_a_sync_stream_that_the_collector_ends_on_its_own_loop_does_not_wait_for_itself(
    store: BaseCheckpointer,
) -> None:
    kept: list[Any] = []

    async def collects(state: AgentState) -> None:
        kept.clear()
        gc.collect()

    with StateGraph().add_node("slow", waits).compile(store) as app:
        inner = StateGraph().add_node(collects)
        kept.append(app.stream({}, CONFIG))
        next(kept[0])
        app.runtime.spec.nodes["slow"]  # the stream's run is under way on the door's loop
        other = inner.compile(store)
        other._door = app._door
        assert other.invoke({}, {"thread_id": "other"}).status is ExecutionStatus.COMPLETED
        other._door = None
        other.close()
        app.stop(CONFIG)
        assert app.get_state(CONFIG).status is ExecutionStatus.STOPPED


async def test_a_run_that_was_broken_off_goes_on(store: BaseCheckpointer) -> None:
    ran: list[str] = []

    async def one(state: AgentState) -> None:
        ran.append("one")

    async def two(state: AgentState) -> None:
        ran.append("two")

    async with asyncio.timeout(10), StateGraph().add_node(one).add_node(two).compile(store) as app:
        async with contextlib.aclosing(app.astream({}, CONFIG)) as events:
            assert (await anext(events)).event_type == "started"
        assert ran == []
        assert (await app.ainvoke(None, CONFIG)).status is ExecutionStatus.COMPLETED
        assert ran == ["one", "two"]
