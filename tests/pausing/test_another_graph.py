"""A paused thread, and the graph under it has changed."""

from __future__ import annotations

from typing import Any

import pytest

from taf import END, START, Approve, Reject, StateGraph
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import GraphChangedError
from tests.pausing.trails import Trail, asking, row, step
from tests.styles import run

CONFIG = {"thread_id": "t"}
GIVEN = pytest.mark.parametrize("given", [None, {}, {"note": "new"}], ids=["none", "empty", "input"])


@GIVEN
@pytest.mark.parametrize("kind", ["before", "after", "question"])
async def test_a_node_that_is_gone_is_noticed_and_nothing_is_dropped(
    kind: str, given: Any, style: str, store: BaseCheckpointer
) -> None:
    points = {"before": {"interrupt_before": ["send"]}, "after": {"interrupt_after": ["plan"]}, "question": {}}[kind]
    nodes = {"send": asking("send", "sure?")} if kind == "question" else {}
    old = row("plan", "send", nodes=nodes).compile(store, **points)
    await run(old, style, {}, CONFIG)
    before = await old.aget_state(CONFIG)
    new = row("plan", "send_mail").compile(store)
    if kind == "question":
        with pytest.raises(GraphChangedError):
            await new.aresume(CONFIG, "yes")
    else:
        with pytest.raises(GraphChangedError, match=r'at node "send".* Did you mean "send_mail"'):
            await run(new, style, given, CONFIG)
    assert await old.aget_state(CONFIG) == before
    done = await old.aresume(CONFIG, "yes" if kind == "question" else Approve())
    assert done.status is Status.COMPLETED


async def test_a_guard_of_a_node_that_is_gone_can_be_rejected_to_the_new_one(store: BaseCheckpointer) -> None:
    await row("plan", "send").compile(store, interrupt_before=["send"]).ainvoke({}, CONFIG)
    new = row("plan", "send_mail").compile(store, interrupt_before=["send_mail"])
    moved = await new.aresume(CONFIG, Reject("renamed", goto="send_mail"))
    assert (moved.status, moved.current_node) == (Status.INTERRUPTED_BEFORE, "send_mail")
    assert (await new.aresume(CONFIG)).state.trail == ["plan", "send_mail"]


async def test_a_thread_whose_node_is_gone_can_be_stopped_and_begun_anew(store: BaseCheckpointer) -> None:
    await row("plan", "send").compile(store, interrupt_before=["send"]).ainvoke({}, CONFIG)
    new = row("plan", "send_mail").compile(store)
    assert (await new.astop(CONFIG))["status"] is Status.STOPPED
    with pytest.raises(GraphChangedError):
        await new.ainvoke(None, CONFIG)
    assert (await new.ainvoke({"note": "anew"}, CONFIG)).state.trail == ["plan", "plan", "send_mail"]


async def test_a_thread_whose_node_is_gone_can_be_looked_at(store: BaseCheckpointer) -> None:
    await row("plan", "send").compile(store, interrupt_before=["send"]).ainvoke({}, CONFIG)
    new = row("plan", "send_mail").compile(store)
    snapshot = await new.aget_state(CONFIG)
    assert (snapshot.status, snapshot.next, len(snapshot.interrupts)) == (Status.INTERRUPTED_BEFORE, ("send",), 1)


async def test_a_successor_that_waits_behind_a_repeated_node_and_is_gone_is_noticed(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> None:
        state.set_interrupt("one", "look")

    def graph(last: str) -> StateGraph:
        built = row("one", "two", last, nodes={"one": ask})
        return built.add_edge(START, "one").add_edge(START, "two").add_edge("two", last).add_edge(last, END)

    await graph("last").compile(store).ainvoke({}, CONFIG)
    with pytest.raises(GraphChangedError, match='"last"'):
        await graph("final").compile(store).ainvoke(None, CONFIG)
    assert (await graph("last").compile(store).ainvoke(None, CONFIG)).state.trail == ["two", "last"]


async def test_a_join_that_is_gone_is_noticed(store: BaseCheckpointer) -> None:
    """``quick`` has arrived, ``slow`` is paused; without the join nothing would run behind them."""

    def graph(*, joins: bool) -> StateGraph:
        built = row("quick", "first", "slow", "end").add_edge(START, "quick").add_edge(START, "first")
        built.add_edge("first", "slow")
        return built.add_edge(["quick", "slow"], "end") if joins else built.add_edge("slow", END).add_edge("end", END)

    old = graph(joins=True).compile(store, interrupt_before=["slow"])
    await old.ainvoke({}, CONFIG)
    with pytest.raises(GraphChangedError, match="join"):
        await graph(joins=False).compile(store).ainvoke(None, CONFIG)
    assert (await old.ainvoke(None, CONFIG)).state.trail == ["quick", "first", "slow", "end"]


async def test_nodes_that_were_added_and_edges_that_were_moved_are_no_trouble(store: BaseCheckpointer) -> None:
    await row("plan", "send").compile(store, interrupt_before=["send"]).ainvoke({}, CONFIG)
    done = await row("plan", "check", "send", "log").compile(store).ainvoke(None, CONFIG)
    assert done.state.trail == ["plan", "send", "log"]


async def test_an_app_without_the_breakpoint_resumes_the_thread(style: str, store: BaseCheckpointer) -> None:
    graph = row("a", "b", "c")
    await run(graph.compile(store, interrupt_before=["b"]), style, {}, CONFIG)
    assert (await run(graph.compile(store), style, None, CONFIG)).state.trail == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["interrupt_before", "interrupt_after"])
async def test_an_app_with_other_breakpoints_pauses_at_its_own(kind: str, style: str, store: BaseCheckpointer) -> None:
    graph = row("a", "b", "c")
    await run(graph.compile(store, interrupt_before=["b"]), style, {}, CONFIG)
    other = graph.compile(store, **{kind: ["c"]})
    assert (await run(other, style, None, CONFIG)).current_node == "c"
    assert (await run(other, style, None, CONFIG)).state.trail == ["a", "b", "c"]


async def test_what_was_approved_is_not_asked_again_by_an_app_with_more_breakpoints(
    style: str, store: BaseCheckpointer
) -> None:
    graph = row("a", "b", "c")
    await run(graph.compile(store, interrupt_before=["b"]), style, {}, CONFIG)
    other = graph.compile(store, interrupt_before=["a", "b"], interrupt_after=["a"])
    assert (await run(other, style, None, CONFIG)).status is Status.COMPLETED


async def test_a_guard_added_before_a_node_that_asked_guards_it(store: BaseCheckpointer) -> None:
    """The node has asked, and what it does with the answer is now guarded."""
    graph = StateGraph(Trail).add_node("free", step("free")).add_node("ask", asking("ask", "sure?"))
    graph.add_edge(START, "free").add_edge(START, "ask")
    await graph.compile(store).ainvoke({}, CONFIG)
    guarded = graph.compile(store, interrupt_before=["ask"])
    paused = await guarded.aresume(CONFIG, "yes")
    assert (paused.status, paused.interrupts[0].kind) == (Status.INTERRUPTED_BEFORE, "before")
    assert (await guarded.aresume(CONFIG, Reject("no"))).state.trail == ["free"]
