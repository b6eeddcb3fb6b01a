"""The status that ``state.execution_meta`` shows, inside nodes and outside."""

from __future__ import annotations

from typing import Any

import pytest

from taf import END, START, ExecutionMeta, StateGraph
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from tests.pausing.trails import Trail, asking, row
from tests.styles import run

CONFIG = {"thread_id": "t"}


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_node_sees_itself_running(is_async: bool, style: str, store: BaseCheckpointer) -> None:
    seen: list[ExecutionMeta] = []

    async def look(state: Trail) -> None:
        seen.append(state.execution_meta)

    def look_sync(state: Trail) -> None:
        seen.append(state.execution_meta)

    node = look if is_async else look_sync
    result = await run(row("a", "b", nodes={"a": node, "b": node}).compile(store), style, {}, CONFIG)
    assert [(meta.status, meta.current_node, meta.step) for meta in seen] == [
        (Status.RUNNING, "a", 0),
        (Status.RUNNING, "b", 1),
    ]
    assert {(meta.thread_id, meta.run_id) for meta in seen} == {("t", result.run_id)}
    assert not any(meta.is_interrupted() for meta in seen)


async def test_a_resumed_node_sees_no_pause_any_more(style: str, store: BaseCheckpointer) -> None:
    seen: list[ExecutionMeta] = []

    async def look(state: Trail) -> None:
        seen.append(state.execution_meta)

    app = row("a", "b", nodes={"b": look}).compile(store, interrupt_before=["b"])
    await run(app, style, {}, CONFIG)
    await run(app, style, None, CONFIG)
    (meta,) = seen
    assert (meta.status, meta.interrupted_node, meta.interrupt_reason) == (Status.RUNNING, None, None)


PAUSES: dict[str, tuple[dict[str, Any], dict[str, Any], Status, str]] = {
    "before": ({"interrupt_before": ["b"]}, {}, Status.INTERRUPTED_BEFORE, 'Paused before node "b".'),
    "after": ({"interrupt_after": ["b"]}, {}, Status.INTERRUPTED_AFTER, 'Paused after node "b".'),
    "question": ({}, {"b": asking("b", "sure?")}, Status.INTERRUPTED_BEFORE, "sure?"),
}


@pytest.mark.parametrize("kind", PAUSES)
async def test_a_caller_sees_the_pause_in_the_state(kind: str, style: str, store: BaseCheckpointer) -> None:
    points, nodes, status, reason = PAUSES[kind]
    app = row("a", "b", nodes=nodes).compile(store, **points)
    result = await run(app, style, {}, CONFIG)
    for meta in (result.state.execution_meta, (await app.aget_state(CONFIG)).state.execution_meta):
        assert meta.is_interrupted()
        assert (meta.status, meta.interrupted_node, meta.interrupt_reason) == (status, "b", reason)
        assert (meta.thread_id, meta.run_id, meta.step) == ("t", result.run_id, result.step)


async def test_a_caller_sees_the_end_in_the_state(style: str, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store)
    meta = (await run(app, style, {}, CONFIG)).state.execution_meta
    assert (meta.status, meta.current_node, meta.step, meta.is_interrupted()) == (Status.COMPLETED, "b", 2, False)


async def test_a_caller_sees_an_error_in_the_state(store: BaseCheckpointer) -> None:
    async def fail(state: Trail) -> None:
        raise ConnectionError("down")

    app = row("a", "b", nodes={"b": fail}).compile(store)
    with pytest.raises(ConnectionError):
        await app.ainvoke({}, CONFIG)
    meta = (await app.aget_state(CONFIG)).state.execution_meta
    assert (meta.status, meta.current_node, meta.error) == (Status.ERROR, "b", "ConnectionError: down")


async def test_a_node_that_asks_for_a_pause_sees_it_at_once() -> None:
    seen: list[ExecutionMeta] = []

    async def ask(state: Trail) -> None:
        state.set_interrupt("ask", "look")
        seen.append(state.execution_meta)
        state.clear_interrupt()
        seen.append(state.execution_meta)

    await row("ask", nodes={"ask": ask}).compile().ainvoke({})
    assert [meta.is_interrupted() for meta in seen] == [True, False]


async def test_a_router_sees_the_node_that_it_stands_behind() -> None:
    seen: list[Any] = []

    def route(state: Trail) -> str:
        seen.append((state.execution_meta.status, state.execution_meta.current_node))
        return END

    graph = StateGraph(Trail).add_node("a", lambda state: None).set_entry_point("a").add_conditional_edges("a", route)
    await graph.compile().ainvoke({})
    assert seen == [(Status.RUNNING, "a")]


async def test_a_router_behind_the_start_sees_the_pass_that_begins(store: BaseCheckpointer) -> None:
    seen: list[ExecutionMeta] = []

    def route(state: Trail) -> str:
        seen.append(state.execution_meta)
        return "a"

    app = StateGraph(Trail).add_node("a", lambda state: None).add_conditional_edges(START, route).compile(store)
    runs = [(await app.ainvoke({}, CONFIG)).run_id for _ in range(2)]
    assert [(meta.status, meta.current_node, meta.step, meta.run_id) for meta in seen] == [
        (Status.RUNNING, None, 0, run_id) for run_id in runs
    ]


async def test_it_is_no_part_of_the_users_data(store: BaseCheckpointer) -> None:
    app = row("a").compile(store)
    result = await app.ainvoke({}, CONFIG)
    assert set(result.state.model_dump()) == {"context", "trail", "note"}
