"""A thread at a node goes on at it under its new name, with all that it had."""

from __future__ import annotations

from typing import Any

import pytest

from taf import END, START, Approve, Command, ExecutionStatus, Reject, Send, StateGraph, interrupt, task
from taf.checkpointer import BaseCheckpointer
from taf.errors import ConfigError, GraphChangedError, InvalidAnswerError
from taf.graph import CompiledGraph
from tests.pausing.trails import Trail, asking, row

CONFIG = {"thread_id": "t"}
RENAMED = {"rename_nodes": {"old": "new"}}


@pytest.mark.parametrize("kind", ["interrupt_before", "interrupt_after"])
async def test_a_breakpoint_is_answered_once_under_the_new_name(kind: str, store: BaseCheckpointer) -> None:
    await row("a", "old", "c").compile(store, **{kind: ["old"]}).ainvoke({}, CONFIG)
    app = row("a", "new", "c").compile(store, **{kind: ["new"]}, **RENAMED)
    done = await app.aresume(CONFIG, Approve())
    assert done.status is ExecutionStatus.COMPLETED
    assert done.state.trail == ["a", "old" if kind == "interrupt_after" else "new", "c"]


async def test_a_refused_breakpoint_keeps_the_renamed_node_from_running(store: BaseCheckpointer) -> None:
    await row("a", "old", "c").compile(store, interrupt_before=["old"]).ainvoke({}, CONFIG)
    app = row("a", "new", "c").compile(store, **RENAMED)
    assert (await app.aresume(CONFIG, Reject("no", goto="c"))).state.trail == ["a", "c"]


async def test_history_and_events_keep_the_names_of_their_time(store: BaseCheckpointer) -> None:
    await row("a", "old", "c").compile(store, interrupt_before=["old"]).ainvoke({}, CONFIG)
    app = row("a", "new", "c").compile(store, interrupt_before=["c"], **RENAMED)
    assert (await app.aget_state(CONFIG)).next == ("old",)
    await app.ainvoke(None, CONFIG)
    names = [snapshot.next for snapshot in await app.aget_history(CONFIG)]
    assert ("old",) in names
    assert ("new",) in names
    records = await app.ainterrupts(CONFIG)
    assert [(record.node, record.status.value) for record in records] == [("c", "open"), ("new", "answered")]


def questions(name: str, calls: list[str]) -> StateGraph:
    """Return a graph with a node that does a task, and asks twice."""

    async def work(state: Trail) -> dict[str, Any]:
        async def count() -> str:
            calls.append(name)
            return "did"

        did = await task("count", count)
        return {"trail": [did, await interrupt("one?"), str(await interrupt("two?", answer=int))]}

    return row("a", name, nodes={name: work})


async def test_tasks_and_answers_are_recalled_under_the_new_name(store: BaseCheckpointer) -> None:
    calls: list[str] = []
    old = questions("old", calls).compile(store)
    await old.ainvoke({}, CONFIG)
    await old.aresume(CONFIG, "first")
    done = await questions("new", calls).compile(store, **RENAMED).aresume(CONFIG, 2)
    assert (done.state.trail, calls) == (["a", "did", "first", "2"], ["old"])


async def test_an_answer_that_the_renamed_node_refuses_is_asked_for_again(store: BaseCheckpointer) -> None:
    def graph(name: str, kind: Any) -> StateGraph:
        async def work(state: Trail) -> dict[str, Any]:
            return {"trail": [await interrupt("one?", answer=kind), await interrupt("two?")]}

        return row(name, nodes={name: work})

    old = graph("old", str).compile(store)
    await old.ainvoke({}, CONFIG)
    await old.aresume(CONFIG, "no number")
    new = graph("new", int).compile(store, **RENAMED)
    with pytest.raises(InvalidAnswerError):
        await new.aresume(CONFIG, "x")
    found = await new.aget_state(CONFIG)
    assert [(record.node, record.reason) for record in found.interrupts] == [("new", "one?")]


async def test_branches_of_send_a_finished_sibling_and_its_goto_are_renamed(store: BaseCheckpointer) -> None:
    def graph(old: str, lead: str, far: str) -> StateGraph:
        async def ask(state: Trail) -> dict[str, Any]:
            return {"trail": [f"{state.note}:{await interrupt('sure?')}"]}

        async def jump(state: Trail) -> Command:
            return Command(update={"trail": [lead]}, goto=far)

        built = row("a", old, lead, far, nodes={old: ask, lead: jump}).add_edge(START, "a").add_edge(old, END)
        sends = [Send(old, {"note": "x"}), Send(old, {"note": "y"}), lead]
        return built.add_edge(far, END).add_conditional_edges("a", lambda state: sends)

    paused = await graph("old", "lead", "far").compile(store).ainvoke({}, CONFIG)
    names = {"old": "new", "lead": "leader", "far": "away"}
    app = graph("new", "leader", "away").compile(store, rename_nodes=names)
    for record in paused.interrupts:
        done = await app.aresume(CONFIG, "ok", interrupt_id=record.id)
    assert done.state.trail == ["a", "x:ok", "y:ok", "lead", "away"]


async def test_a_join_where_a_renamed_node_arrived_is_the_same_join(store: BaseCheckpointer) -> None:
    def graph(quick: str, end: str) -> StateGraph:
        built = row(quick, "first", "slow", end).add_edge(START, quick).add_edge(START, "first")
        return built.add_edge("first", "slow").add_edge([quick, "slow"], end)

    await graph("quick", "end").compile(store, interrupt_before=["slow"]).ainvoke({}, CONFIG)
    app = graph("fast", "last").compile(store, rename_nodes={"quick": "fast", "end": "last"})
    assert (await app.ainvoke(None, CONFIG)).state.trail == ["quick", "first", "slow", "last"]


async def test_what_waits_behind_a_node_that_runs_again_is_renamed(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> None:
        state.set_interrupt("one", "look")

    def graph(one: str, last: str) -> StateGraph:
        built = row(one, "two", last, nodes={one: ask})
        return built.add_edge(START, one).add_edge(START, "two").add_edge("two", last).add_edge(one, END)

    await graph("one", "last").compile(store).ainvoke({}, CONFIG)
    app = graph("uno", "final").compile(store, rename_nodes={"one": "uno", "last": "final"})
    assert (await app.ainvoke(None, CONFIG)).state.trail == ["two", "final"]


def inside(outer: str, inner: str, **options: Any) -> StateGraph:
    child = row("before", inner, nodes={inner: asking(inner, "one?", "two?")}).compile(**options)
    return row(outer, "end", nodes={outer: child})


async def test_a_subgraph_that_was_renamed_goes_on_where_it_was(store: BaseCheckpointer) -> None:
    old = inside("old", "ask").compile(store)
    await old.ainvoke({}, CONFIG)
    await old.aresume(CONFIG, 1)
    app = inside("new", "ask").compile(store, **RENAMED)
    assert (await app.aresume(CONFIG, 2)).state.trail == ["before", "ask:1:2", "end"]


async def test_a_node_that_was_renamed_inside_a_subgraph_goes_on(store: BaseCheckpointer) -> None:
    old = inside("sub", "ask").compile(store)
    await old.ainvoke({}, CONFIG)
    await old.aresume(CONFIG, 1)
    app = inside("sub", "demand", rename_nodes={"ask": "demand"}).compile(store)
    assert (await app.aresume(CONFIG, 2)).state.trail == ["before", "demand:1:2", "end"]


# -- chains, swaps and mistakes --------------------------------------------------------------------


@pytest.mark.parametrize("begun", ["first", "second"])
async def test_a_node_that_was_renamed_twice_is_found_from_either_name(begun: str, store: BaseCheckpointer) -> None:
    await row("a", begun).compile(store, interrupt_before=[begun]).ainvoke({}, CONFIG)
    app = row("a", "third").compile(store, rename_nodes={"first": "second", "second": "third"})
    assert (await app.ainvoke(None, CONFIG)).state.trail == ["a", "third"]


@pytest.mark.parametrize(
    ("renames", "match"),
    [
        ({"a": "b", "b": "a"}, 'renames "a", which is a node of this graph'),
        ({"a": "b"}, 'renames "a", which is a node'),
        ({"x": "y", "y": "x"}, "in a circle"),
        ({"x": "x"}, "in a circle"),
        ({"x": "aa"}, 'to "aa", which is no node. Did you mean "a"'),
        ({"x": END}, "which is no node"),
    ],
    ids=str,
)
def test_a_renaming_that_could_mean_two_things_is_refused(renames: dict[str, str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        row("a", "b").compile(rename_nodes=renames)


async def test_two_nodes_of_a_step_under_one_new_name_are_refused(store: BaseCheckpointer) -> None:
    def graph(*names: str) -> StateGraph:
        built = row(*names)
        for name in names:
            built.add_edge(START, name)
        return built

    await graph("x", "y").compile(store, interrupt_before=["x"]).ainvoke({}, CONFIG)
    app = graph("z").compile(store, rename_nodes={"x": "z", "y": "z"})
    with pytest.raises(GraphChangedError, match='two nodes of its step are called "z" now'):
        await app.ainvoke(None, CONFIG)


async def test_the_same_renaming_may_stay_for_ever(store: BaseCheckpointer) -> None:
    await row("a", "old", "c").compile(store, interrupt_before=["old", "c"]).ainvoke({}, CONFIG)
    app: CompiledGraph = row("a", "new", "c").compile(store, interrupt_before=["c"], **RENAMED)
    await app.ainvoke(None, CONFIG)
    later = row("a", "new", "x", "c").compile(store, **RENAMED)
    assert (await later.ainvoke(None, CONFIG)).state.trail == ["a", "new", "c"]
