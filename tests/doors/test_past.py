"""A thread's past: its checkpoints, forks of any of them, and changes from outside."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from taf import (
    END,
    START,
    AgentState,
    ConfigError,
    ExecutionStatus,
    InvalidUpdateError,
    StateGraph,
    ThreadBusyError,
    UnknownCheckpointError,
    UnknownThreadError,
    interrupt,
)
from taf.checkpointer.base import BaseCheckpointer
from taf.state.reducers import append
from tests.stopping.slow import Slow, step

CONFIG = {"thread_id": "t"}


class Trail(AgentState):
    done: Annotated[list[str], append] = []
    answer: str = ""


async def ask(state: Trail) -> dict[str, Any]:
    return {"answer": await interrupt("Which?", answer=str), "done": ["ask"]}


def asking(store: BaseCheckpointer, **options: Any) -> Any:
    graph = StateGraph(Trail).add_node("one", step("one")).add_node("ask", ask).add_node("two", step("two"))
    return graph.compile(store, **options)


async def test_history_shows_every_checkpoint_newest_first(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await app.ainvoke({}, CONFIG)
        await app.aresume(CONFIG, "this")
        found = await app.aget_history(CONFIG)
        assert [(s.status.value, s.state.done, s.next) for s in found] == [
            ("completed", ["one", "ask", "two"], ()),
            ("running", ["one", "ask", "two"], ()),
            ("running", ["one", "ask"], ("two",)),
            ("running", ["one"], ("ask",)),
            ("interrupted_before", ["one"], ("ask",)),
            ("running", ["one"], ("ask",)),
            ("running", [], ("one",)),
        ]
        assert await app.aget_history(CONFIG, limit=2) == found[:2]
        assert found[0] == await app.aget_state(CONFIG)
        for snapshot in found:
            assert await app.aget_state(snapshot.config) == snapshot


async def test_what_is_not_there_is_said(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        with pytest.raises(UnknownThreadError):
            await app.aget_state(CONFIG)
        with pytest.raises(UnknownThreadError):
            await app.afork(CONFIG)
        assert await app.aget_history(CONFIG) == []
        await app.ainvoke({}, CONFIG)
        with pytest.raises(UnknownCheckpointError):
            await app.aget_state({**CONFIG, "checkpoint_id": "99"})


async def test_any_checkpoint_can_be_forked_and_goes_on_by_itself(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await app.ainvoke({}, CONFIG)
        await app.aresume(CONFIG, "this")
        before = await app.aget_history(CONFIG)
        for snapshot in before:
            fork = await app.afork(snapshot.config)
            found = await app.aget_state(fork)
            assert (found.state.done, found.next) == (snapshot.state.done, snapshot.next)
            if snapshot.status is ExecutionStatus.COMPLETED:
                result = await app.ainvoke({}, fork)
            else:
                result = await app.ainvoke(None, fork)
            if result.interrupted:
                result = await app.aresume(fork, "that")
            assert result.status is ExecutionStatus.COMPLETED or result.interrupted
        assert await app.aget_history(CONFIG) == before


async def test_a_fork_of_a_pause_has_interrupts_of_its_own(store: BaseCheckpointer, reopen: Any) -> None:
    async with asking(store) as app, asking(reopen()) as other:
        paused = await app.ainvoke({}, CONFIG)
        fork = await app.afork(CONFIG, thread_id="fork")
        assert fork == {"thread_id": "fork"}
        twin = await other.aget_state(fork)
        assert (twin.status, twin.interrupts[0].reason) == (paused.status, "Which?")
        assert twin.interrupts[0].id != paused.interrupts[0].id
        assert twin.interrupts[0].thread_id == "fork"
        assert [(r.id, r.status) for r in await app.ainterrupts(fork)] == [(twin.interrupts[0].id, "open")]

        assert (await other.aresume(fork, "that", interrupt_id=twin.interrupts[0].id)).state.answer == "that"
        assert (await app.aget_state(CONFIG)).interrupts == paused.interrupts
        assert (await app.aresume(CONFIG, "this", interrupt_id=paused.interrupts[0].id)).state.answer == "this"
        assert (await app.aget_state(fork)).state.answer == "that"


async def test_a_fork_of_a_breakpoint_waits_for_its_own_approval(store: BaseCheckpointer) -> None:
    graph = StateGraph(Trail).add_node("act", step("act"))
    async with graph.compile(store, interrupt_before=["act"]) as app:
        await app.ainvoke({}, CONFIG)
        fork = await app.afork(CONFIG)
        assert (await app.ainvoke({}, CONFIG)).state.done == ["act"]
        assert (await app.aget_state(fork)).status is ExecutionStatus.INTERRUPTED_BEFORE
        assert (await app.ainvoke({}, fork)).state.done == ["act"]


async def test_a_fork_goes_into_a_new_thread_only(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await app.ainvoke({}, CONFIG)
        with pytest.raises(ConfigError, match="exists"):
            await app.afork(CONFIG, thread_id="t")


async def test_a_fork_runs_its_subgraph_anew_at_each_visit(store: BaseCheckpointer) -> None:
    inner = StateGraph(Trail).add_node("deep", step("deep")).compile()
    graph = StateGraph(Trail).add_node("inner", inner)
    graph.add_edge(START, "inner").add_conditional_edges("inner", lambda s: "inner" if len(s.done) < 9 else END)
    async with graph.compile(store) as app:
        await app.ainvoke({}, CONFIG)
        for snapshot in (await app.aget_history(CONFIG))[2:]:
            fork = await app.afork(snapshot.config)
            assert (await app.ainvoke(None, fork)).state.done == ["deep"] * 9


async def test_an_update_follows_the_reducers(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await app.ainvoke({}, CONFIG)
        snapshot = await app.aupdate_state(CONFIG, {"done": ["by hand"], "answer": "x"})
        assert (snapshot.state.done, snapshot.state.answer) == (["one", "by hand"], "x")
        assert (snapshot.status, len(snapshot.interrupts)) == (ExecutionStatus.INTERRUPTED_BEFORE, 1)
        assert (await app.aresume(CONFIG, "this")).state.done == ["one", "by hand", "ask", "two"]


async def test_an_update_as_a_node_goes_on_behind_it(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await app.ainvoke({}, CONFIG)
        snapshot = await app.aupdate_state(CONFIG, {"answer": "by hand"}, as_node="ask")
        assert (snapshot.next, snapshot.interrupts) == (("two",), ())
        assert [record.status for record in await app.ainterrupts(CONFIG)] == ["withdrawn"]
        result = await app.ainvoke(None, CONFIG)
        assert (result.status, result.state.done, result.state.answer) == ("completed", ["one", "two"], "by hand")


async def test_an_update_can_begin_a_thread(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await app.aupdate_state(CONFIG, {"done": ["seed"]})
        assert (await app.ainvoke({}, CONFIG)).state.done == ["seed", "one"]


async def test_an_update_that_does_not_fit_changes_nothing(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await app.ainvoke({}, CONFIG)
        before = await app.aget_state(CONFIG)
        for update, as_node, error in (
            ({"done": 5}, None, InvalidUpdateError),
            ({"nothing": 5}, None, InvalidUpdateError),
            ({}, "nobody", ConfigError),
        ):
            with pytest.raises(error):
                await app.aupdate_state(CONFIG, update, as_node=as_node)
        assert await app.aget_state(CONFIG) == before
        assert (await app.aresume(CONFIG, "this")).status is ExecutionStatus.COMPLETED


async def test_a_thread_that_runs_is_neither_changed_nor_deleted(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(10), StateGraph(Trail).add_node("slow", slow.in_loop).compile(store) as app:
        await app.asubmit({}, CONFIG)
        with pytest.raises(ThreadBusyError):
            await app.aupdate_state(CONFIG, {})
        with pytest.raises(ThreadBusyError):
            await app.adelete_thread(CONFIG)
        slow.let_go.set()
        assert (await app.ajoin(CONFIG)).status is ExecutionStatus.COMPLETED


async def test_a_thread_that_was_deleted_is_new(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await app.ainvoke({}, CONFIG)
        assert await app.adelete_thread(CONFIG) is True
        assert await app.adelete_thread(CONFIG) is False
        with pytest.raises(UnknownThreadError):
            await app.aget_state(CONFIG)
        assert await app.ainterrupts(CONFIG) == []
        assert (await app.ainvoke({}, CONFIG)).state.done == ["one"]


def test_the_sync_twins_do_the_same(store: BaseCheckpointer) -> None:
    with asking(store) as app:
        app.invoke({}, CONFIG)
        fork = app.fork(app.get_history(CONFIG)[0].config)
        app.update_state(fork, {"done": ["forked"]})
        assert app.resume(fork, "x").state.done == ["one", "forked", "ask", "two"]
        assert [row.thread_id for row in app.threads(status="interrupted_before")] == ["t"]
        assert app.interrupts(CONFIG)[0].reason == "Which?"
        assert app.delete_thread(CONFIG)
