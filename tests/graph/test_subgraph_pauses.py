"""Pauses inside a subgraph: seen, answered and resumed through its parent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from taf.checkpointer import BaseCheckpointer
from taf.errors import AlreadyAnsweredError, AmbiguousResumeError, InterruptExpiredError, InvalidAnswerError
from taf.graph import (
    END,
    START,
    Approve,
    CompiledGraph,
    Edit,
    Reject,
    RunResult,
    Send,
    StateGraph,
    interrupt,
    interrupt_sync,
    task,
)
from taf.state import ExecutionStatus, InterruptKind
from tests.graph.trail import Trail, graph_of, visit
from tests.pg.stores import place, shared_database  # noqa: F401  # on Postgres, too
from tests.styles import run

CONFIG = {"thread_id": "t"}


def nested(inner: Any, **options: Any) -> CompiledGraph:
    """before → inner → after."""
    graph = StateGraph(Trail).add_node("before", visit("before")).add_node("inner", inner)
    return graph.add_node("after", visit("after")).compile(**options)


def deep(inner: Any, depth: int, **options: Any) -> CompiledGraph:
    """Nest a graph ``depth`` times."""
    for _ in range(depth - 1):
        inner = nested(inner)
    return nested(inner, **options)


async def ask(state: Trail) -> dict[str, Any]:
    return {"trail": await interrupt("name?", answer=str)}


def ask_sync(state: Trail) -> dict[str, Any]:
    return {"trail": interrupt_sync("name?", answer=str)}


def asking(fn: Any = ask) -> CompiledGraph:
    return StateGraph(Trail).add_node("x", visit("x")).add_node("ask", fn).add_node("y", visit("y")).compile()


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_a_breakpoint_before_a_node_inside_pauses_the_parent_once(
    store: BaseCheckpointer, style: str, depth: int
) -> None:
    app = deep(graph_of("x", "y").compile(interrupt_before=["y"]), depth, checkpointer=store)

    paused = await run(app, style, {}, CONFIG)
    (record,) = paused.interrupts
    assert (paused.status, paused.current_node) == (ExecutionStatus.INTERRUPTED_BEFORE, "inner")
    assert (record.kind, record.path, record.thread_id) == (InterruptKind.BEFORE, (*["inner"] * depth, "y"), "t")

    result = await run(app, style, None, CONFIG)
    assert result.state.trail == ["before"] * depth + ["x", "y"] + ["after"] * depth


async def test_a_breakpoint_after_the_last_node_inside_pauses_the_parent_once(
    store: BaseCheckpointer, style: str
) -> None:
    app = nested(graph_of("x", "y").compile(interrupt_after=["x", "y"]), checkpointer=store)
    results = [await run(app, style, given, CONFIG) for given in ({}, None, None)]

    assert [result.interrupted for result in results] == [True, True, False]
    assert [result.interrupts[0].path for result in results[:2]] == [("inner", "x"), ("inner", "y")]
    assert results[-1].state.trail == ["before", "x", "y", "after"]


@pytest.mark.parametrize("fn", [ask, ask_sync])
@pytest.mark.parametrize("depth", [1, 2])
async def test_a_question_inside_is_answered_through_the_parent(
    store: BaseCheckpointer, style: str, depth: int, fn: Any
) -> None:
    app = deep(asking(fn), depth, checkpointer=store)
    paused = await run(app, style, {}, CONFIG)
    (record,) = paused.interrupts
    assert (record.kind, record.reason, record.answer_schema) == (InterruptKind.NODE, "name?", {"type": "string"})

    result = await app.aresume(CONFIG, "ann", by="bob")

    assert result.state.trail == ["before"] * depth + ["x", "ann", "y"] + ["after"] * depth
    (closed,) = await app.ainterrupts(CONFIG)
    assert (closed.id, closed.answer, closed.answered_by) == (record.id, "ann", "bob")


async def test_a_set_interrupt_inside_pauses_the_parent(store: BaseCheckpointer, style: str) -> None:
    async def worry(state: Trail) -> Trail:
        if not state.last:
            state.set_interrupt("worry", "is this right?", ExecutionStatus.INTERRUPTED_BEFORE, data={"n": 1})
        state.trail.append("worry")
        return state

    app = nested(StateGraph(Trail).add_node(worry).compile(), checkpointer=store)
    paused = await run(app, style, {}, CONFIG)
    (record,) = paused.interrupts
    assert (record.reason, record.data, record.path) == ("is this right?", {"n": 1}, ("inner", "worry"))

    result = await app.aresume(CONFIG, Edit({"last": "yes"}))

    assert result.state.trail == ["before", "worry", "worry", "after"]


async def test_an_answer_finds_the_question_in_another_app_object_on_the_same_store(
    store: BaseCheckpointer, reopen: Any
) -> None:
    paused = await deep(asking(), 2, checkpointer=store).ainvoke({}, CONFIG)
    other = deep(asking(), 2, checkpointer=reopen())
    assert (await other.aget_state(CONFIG)).interrupts == paused.interrupts

    assert (await other.aresume(CONFIG, "ann")).state.trail == ["before"] * 2 + ["x", "ann", "y"] + ["after"] * 2


async def test_nodes_before_the_question_inside_do_not_run_again(store: BaseCheckpointer) -> None:
    runs: list[str] = []

    async def count(state: Trail) -> None:
        runs.append("count")

    async def once(state: Trail) -> dict[str, Any]:
        paid = await task("pay", lambda: runs.append("pay") or "paid")
        return {"trail": [paid, await interrupt("name?", answer=str)]}

    inner = StateGraph(Trail).add_node(count).add_node(once).compile()
    app = nested(inner, checkpointer=store)
    await app.ainvoke({}, CONFIG)
    result = await app.aresume(CONFIG, "ann")

    assert (result.state.trail, runs) == (["before", "paid", "ann", "after"], ["count", "pay"])


async def test_several_questions_of_one_node_inside_come_one_after_the_other(store: BaseCheckpointer) -> None:
    async def both(state: Trail) -> dict[str, Any]:
        return {"trail": [await interrupt("first?", answer=str), await interrupt("second?", answer=str)]}

    app = nested(StateGraph(Trail).add_node(both).compile(), checkpointer=store)
    await app.ainvoke({}, CONFIG)
    paused = await app.aresume(CONFIG, "1")
    assert [record.reason for record in paused.interrupts] == ["second?"]

    assert (await app.aresume(CONFIG, "2")).state.trail == ["before", "1", "2", "after"]


# -- several at once -------------------------------------------------------------------------------


def three_questions(runs: list[str]) -> CompiledGraph:
    def asker(name: str) -> Any:
        async def node(state: Trail) -> dict[str, Any]:
            runs.append(name)
            return {"trail": f"{name}={await interrupt(f'{name}?', answer=str)}"}

        return node

    graph = StateGraph(Trail)
    for name in "abc":
        graph.add_node(name, asker(name)).add_edge(START, name)
    return graph.compile()


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("order", ["abc", "cab"])
async def test_questions_open_in_parallel_inside_are_answered_by_id_in_any_order(
    store: BaseCheckpointer, reopen: Any, depth: int, order: str
) -> None:
    runs: list[str] = []
    paused = await deep(three_questions(runs), depth, checkpointer=store).ainvoke({}, CONFIG)
    ids = {record.reason[0]: record.id for record in paused.interrupts}
    assert list(ids) == ["a", "b", "c"]
    app = deep(three_questions(runs), depth, checkpointer=reopen())
    with pytest.raises(AmbiguousResumeError):
        await app.aresume(CONFIG, "x")

    results: list[RunResult] = [await app.aresume(CONFIG, name.upper(), interrupt_id=ids[name]) for name in order]

    assert [len(result.interrupts) for result in results] == [2, 1, 0]
    assert results[-1].state.trail == ["before"] * depth + ["a=A", "b=B", "c=C"] + ["after"] * depth
    assert sorted(runs) == ["a", "a", "b", "b", "c", "c"]


async def test_a_question_inside_answered_twice_is_refused_the_second_time(store: BaseCheckpointer) -> None:
    app = nested(three_questions([]), checkpointer=store)
    paused = await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG, "A", interrupt_id=paused.interrupts[0].id)

    with pytest.raises(AlreadyAnsweredError):
        await app.aresume(CONFIG, "B", interrupt_id=paused.interrupts[0].id)

    assert len((await app.aget_state(CONFIG)).interrupts) == 2


async def test_a_question_of_the_parent_and_one_inside_are_open_side_by_side(store: BaseCheckpointer) -> None:
    graph = StateGraph(Trail).add_node("inner", asking()).add_node("own", ask)
    app = graph.add_edge(START, "inner").add_edge(START, "own").compile(checkpointer=store)
    paused = await app.ainvoke({}, CONFIG)
    assert [record.path for record in paused.interrupts] == [("inner", "ask"), ("own",)]

    await app.aresume(CONFIG, "two", interrupt_id=paused.interrupts[1].id)
    result = await app.aresume(CONFIG, "one", interrupt_id=paused.interrupts[0].id)

    assert result.state.trail == ["x", "one", "y", "two"]


async def test_branches_of_a_send_pause_inside_each_for_itself(store: BaseCheckpointer, reopen: Any) -> None:
    async def tell(state: Trail) -> dict[str, Any]:
        answer = await interrupt(f"{state.number}?", answer=str)
        return {"trail": f"{state.number}={answer}"}

    def build(on: BaseCheckpointer) -> CompiledGraph:
        graph = StateGraph(Trail).add_node("inner", StateGraph(Trail).add_node(tell).compile())
        graph.add_conditional_edges(START, lambda state: [Send("inner", {"number": n}) for n in range(3)])
        return graph.compile(checkpointer=on)

    paused = await build(store).ainvoke({"number": 77}, CONFIG)
    app = build(reopen())
    for record in reversed(paused.interrupts):
        result = await app.aresume(CONFIG, record.reason[0], interrupt_id=record.id)

    assert (result.state.trail, result.state.number) == (["0=0", "1=1", "2=2"], 77)


# -- answers that say no, or do not fit ------------------------------------------------------------


async def test_an_answer_of_the_wrong_type_is_refused_at_the_door(store: BaseCheckpointer) -> None:
    app = deep(asking(), 2, checkpointer=store)
    await app.ainvoke({}, CONFIG)
    before = await app.aget_state(CONFIG)

    with pytest.raises(InvalidAnswerError):
        await app.aresume(CONFIG, 3)

    assert (await app.aget_state(CONFIG)).checkpoint_id == before.checkpoint_id
    assert (await app.aresume(CONFIG, "ann")).status is ExecutionStatus.COMPLETED


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def check(cls, value: int) -> int:
        if value % 2:
            raise ValueError("has to be even")
        return value


@pytest.mark.parametrize("depth", [1, 2])
async def test_an_answer_that_only_the_node_can_refuse_opens_the_question_again(
    store: BaseCheckpointer, depth: int
) -> None:
    async def even(state: Trail) -> dict[str, Any]:
        return {"number": (await interrupt("number?", answer=Even)).number}

    app = deep(StateGraph(Trail).add_node(even).compile(), depth, checkpointer=store)
    paused = await app.ainvoke({}, CONFIG)
    with pytest.raises(InvalidAnswerError, match="has to be even"):
        await app.aresume(CONFIG, {"number": 3})
    again = await app.aget_state(CONFIG)
    assert [record.id for record in again.interrupts] == [record.id for record in paused.interrupts]

    assert (await app.aresume(CONFIG, {"number": 4})).state.number == 4


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_denied_breakpoint_inside_ends_the_subgraph_and_the_parent_goes_on(
    store: BaseCheckpointer, depth: int
) -> None:
    app = deep(graph_of("x", "y").compile(interrupt_before=["y"]), depth, checkpointer=store)
    await app.ainvoke({}, CONFIG)

    result = await app.aresume(CONFIG, Reject("no"))

    assert result.state.trail == ["before"] * depth + ["x"] + ["after"] * depth


async def test_a_denied_breakpoint_inside_can_lead_elsewhere_inside(store: BaseCheckpointer) -> None:
    inner = graph_of("x", "y", "z").set_entry_point("x").add_edge("x", "y").compile(interrupt_before=["y"])
    app = nested(inner, checkpointer=store)
    await app.ainvoke({}, CONFIG)

    assert (await app.aresume(CONFIG, Reject("no", goto="z"))).state.trail == ["before", "x", "z", "after"]


async def test_a_rejected_question_inside_ends_the_subgraph_and_the_parent_goes_on(store: BaseCheckpointer) -> None:
    app = nested(asking(), checkpointer=store)
    await app.ainvoke({}, CONFIG)

    result = await app.aresume(CONFIG, Reject("no"))

    assert (result.state.trail, result.status) == (["before", "x", "after"], ExecutionStatus.COMPLETED)


async def test_an_edit_at_a_breakpoint_inside_changes_the_state_inside(store: BaseCheckpointer) -> None:
    app = nested(graph_of("x", "y").compile(interrupt_before=["y"]), checkpointer=store)
    await app.ainvoke({}, CONFIG)

    result = await app.aresume(CONFIG, Edit({"trail": "edited", "number": 3}))

    assert (result.state.trail, result.state.number) == (["before", "x", "edited", "y", "after"], 3)


async def test_a_breakpoint_before_the_subgraph_and_one_inside_are_two_pauses(
    store: BaseCheckpointer, style: str
) -> None:
    inner = graph_of("x").compile(interrupt_before=["x"])
    app = nested(inner, checkpointer=store, interrupt_before=["inner"], interrupt_after=["inner"])
    results = [await run(app, style, given, CONFIG) for given in ({}, None, None, None)]

    assert [result.interrupts[0].path for result in results[:3]] == [("inner",), ("inner", "x"), ("inner",)]
    assert results[-1].state.trail == ["before", "x", "after"]


async def test_a_breakpoint_inside_a_loop_pauses_once_in_every_round(store: BaseCheckpointer, style: str) -> None:
    graph = StateGraph(Trail).add_node("inner", graph_of("x").compile(interrupt_before=["x"])).set_entry_point("inner")
    graph.add_conditional_edges("inner", lambda state: "inner" if len(state.trail) < 3 else END)
    app = graph.compile(checkpointer=store)

    results = [await run(app, style, given, CONFIG) for given in ({}, None, None, None)]

    assert [result.interrupted for result in results] == [True, True, True, False]
    assert results[-1].state.trail == ["x", "x", "x"]


async def test_a_stop_cancels_the_pause_inside_and_the_guard_asks_again(store: BaseCheckpointer) -> None:
    app = nested(graph_of("x").compile(interrupt_before=["x"]), checkpointer=store)
    first = await app.ainvoke({}, CONFIG)
    stopped = await app.astop(CONFIG)
    assert (stopped["status"], (await app.aget_state(CONFIG)).interrupts) == ("stopped", ())

    second = await app.ainvoke(None, CONFIG)
    assert second.interrupts[0].path == ("inner", "x")
    assert second.interrupts[0].id != first.interrupts[0].id

    assert (await app.ainvoke(None, CONFIG)).state.trail == ["before", "x", "after"]


async def test_a_new_input_that_supersedes_the_pause_begins_the_subgraph_anew(store: BaseCheckpointer) -> None:
    app = nested(graph_of("x").compile(interrupt_before=["x"]), checkpointer=store)
    await app.ainvoke({"trail": "old"}, CONFIG)
    paused = await app.ainvoke({"trail": "new"}, CONFIG, while_paused="supersede")
    assert len(paused.interrupts) == 1

    assert (await app.aresume(CONFIG, Approve())).state.trail == ["old", "before", "new", "before", "x", "after"]


# -- time ------------------------------------------------------------------------------------------


async def test_an_answer_given_in_time_is_not_too_late_inside(store: BaseCheckpointer) -> None:
    now = [1_000_000.0]
    due = datetime.fromtimestamp(now[0], UTC) + timedelta(seconds=60)

    def asker(name: str) -> Any:
        async def node(state: Trail) -> dict[str, Any]:
            return {"trail": await interrupt(name, answer=str, due_at=due if name == "soon" else None)}

        return node

    inner = StateGraph(Trail).add_node("soon", asker("soon")).add_node("later", asker("later"))
    inner.add_edge(START, "soon").add_edge(START, "later")
    app = nested(inner.compile(), checkpointer=store, clock=lambda: now[0])
    paused = await app.ainvoke({}, CONFIG)
    soon, later = (record.id for record in paused.interrupts)
    await app.aresume(CONFIG, "1", interrupt_id=soon)
    now[0] += 3600

    assert (await app.aresume(CONFIG, "2", interrupt_id=later)).state.trail == ["before", "1", "2", "after"]


async def test_an_answer_that_comes_too_late_is_refused_by_the_parents_clock(store: BaseCheckpointer) -> None:
    now = [1_000_000.0]

    async def soon(state: Trail) -> None:
        await interrupt("soon", due_at=datetime.fromtimestamp(1_000_060, UTC))

    app = nested(StateGraph(Trail).add_node(soon).compile(), checkpointer=store, clock=lambda: now[0])
    await app.ainvoke({}, CONFIG)
    now[0] += 3600

    with pytest.raises(InterruptExpiredError):
        await app.aresume(CONFIG, "late")
