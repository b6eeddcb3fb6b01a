"""What a node raises is raised by every call style, as it is, after it was told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taf import AgentState, ConfigError, ExecutionStatus, StateGraph, ThreadBusyError
from taf.checkpointer.base import BaseCheckpointer
from tests.styles import run

CONFIG = {"thread_id": "t", "run_id": "r"}


class Mine(Exception):
    pass


MINE = Mine("of the node")


async def fails(state: AgentState) -> None:
    raise MINE


def fails_in_thread(state: AgentState) -> None:
    raise MINE


@pytest.mark.parametrize("node", [fails, fails_in_thread])
async def test_the_same_object_is_raised_with_where_it_was(store: BaseCheckpointer, style: str, node: Any) -> None:
    MINE.__dict__.clear()
    async with asyncio.timeout(10), StateGraph().add_node("bad", node).compile(store) as app:
        with pytest.raises(Mine) as found:
            await run(app, style, {}, CONFIG)
        assert found.value is MINE
        assert (MINE.thread_id, MINE.run_id, MINE.node) == ("t", "r", "bad")
        assert MINE.__notes__ == ['raised in node "bad" of run r, thread "t"']
        assert (await app.aget_state(CONFIG)).status is ExecutionStatus.ERROR


async def collect(app: Any, events: list[Any]) -> None:
    async for event in app.astream({}, CONFIG):
        events.append(event)


def collect_sync(app: Any, events: list[Any]) -> None:
    for event in app.stream({}, CONFIG):
        events.append(event)


async def test_the_error_is_told_before_it_is_raised(store: BaseCheckpointer) -> None:
    events: list[Any] = []
    async with asyncio.timeout(10), StateGraph().add_node("bad", fails).compile(store) as app:
        with pytest.raises(Mine):
            await collect(app, events)
        assert [event.event_type for event in events] == ["started", "error"]
        assert (events[-1].node_name, events[-1].data) == ("bad", {"error": "Mine", "message": "of the node"})
        assert events[-1].content == "Mine: of the node"


def test_the_error_is_told_before_it_is_raised_by_a_sync_stream(store: BaseCheckpointer) -> None:
    events: list[Any] = []
    with StateGraph().add_node("bad", fails).compile(store) as app:
        with pytest.raises(Mine):
            collect_sync(app, events)
        assert [event.event_type for event in events] == ["started", "error"]


async def test_an_error_that_comes_again_keeps_one_note_for_each_run(store: BaseCheckpointer) -> None:
    MINE.__dict__.clear()
    async with asyncio.timeout(10), StateGraph().add_node("bad", fails).compile(store) as app:
        for run_id in ("one", "two"):
            with pytest.raises(Mine):
                await app.ainvoke(None, {"thread_id": "t", "run_id": run_id})
        assert len(MINE.__notes__) == 2
        assert MINE.run_id == "two"


async def test_a_busy_thread_is_refused_in_every_style(store: BaseCheckpointer, style: str) -> None:
    entered, let_go = asyncio.Event(), asyncio.Event()

    async def waits(state: AgentState) -> None:
        entered.set()
        await let_go.wait()

    async with asyncio.timeout(10), StateGraph().add_node(waits).compile(store) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await entered.wait()
        with pytest.raises(ThreadBusyError):
            await run(app, style, {}, CONFIG)
        let_go.set()
        assert (await running).status is ExecutionStatus.COMPLETED


@pytest.mark.parametrize("style", ["stream", "astream"])
async def test_an_unknown_mode_is_refused_with_the_ones_there_are(style: str) -> None:
    async with StateGraph().add_node("bad", fails).compile() as app:
        with pytest.raises(ConfigError, match="events, updates, values, messages"):
            await run(app, style, {}, CONFIG, stream_mode="vlaues")
        assert await app.athreads() == []
