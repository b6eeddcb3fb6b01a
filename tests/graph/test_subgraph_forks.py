"""Forks of threads with a subgraph in the middle: it goes on in the fork where it was, and again in the source."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from taf.checkpointer import BaseCheckpointer
from taf.checkpointer.base import ThreadKey
from taf.errors import NodeTimeoutError
from taf.graph import START, CompiledGraph, RunResult, Send, StateGraph, interrupt, task
from taf.graph.inner import inner_tenant
from taf.state import ExecutionStatus
from tests.graph.trail import Slow, Trail, visit
from tests.pg.stores import place, shared_database  # noqa: F401  # on Postgres, too

CONFIG = {"thread_id": "t"}


class House:
    """A graph with a subgraph that asks, ``depth`` deep; ``ran`` holds the calls of the node before the question."""

    def __init__(self, store: BaseCheckpointer, depth: int = 1, **options: Any) -> None:
        self.ran: list[str] = []
        inner: Any = StateGraph(Trail).add_node("x", self.x).add_node("ask", self.ask).compile(**options)
        for _ in range(depth - 1):
            inner = self.around(inner).compile()
        self.app: CompiledGraph = self.around(inner).compile(checkpointer=store)

    @staticmethod
    def around(inner: Any) -> StateGraph:
        return StateGraph(Trail).add_node("inner", inner).add_node("after", visit("after"))

    async def x(self, state: Trail) -> dict[str, Any]:
        self.ran.append("x")
        return {"trail": "x", "number": 1}

    async def ask(self, state: Trail) -> dict[str, Any]:
        async def work() -> str:
            self.ran.append("work")
            return "work"

        return {"trail": [await task("work", work), await interrupt("name?", answer=str)]}


async def ask_last(state: Trail) -> dict[str, Any]:
    return {"trail": f"{state.last}: {await interrupt(state.last, answer=str)}"}


def sending(node: str, names: str) -> Callable[[Trail], list[Send]]:
    """Return a router to a branch for each letter."""

    def router(state: Trail) -> list[Send]:
        return [Send(node, {"last": name}) for name in names]

    return router


def trail_of(result: RunResult) -> list[str]:
    assert result.status is ExecutionStatus.COMPLETED
    found: list[str] = result.state.trail
    return found


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_an_answer_is_taken_in_the_fork_and_the_source_waits_on(
    store: BaseCheckpointer, reopen: Any, depth: int
) -> None:
    house = House(store, depth)
    paused = await house.app.ainvoke({}, CONFIG)
    fork = await house.app.afork(CONFIG)
    (record,) = (await house.app.aget_state(fork)).interrupts
    assert (record.path, record.id == paused.interrupts[0].id) == (paused.interrupts[0].path, False)

    other = House(reopen(), depth)
    answered = await other.app.aresume(fork, "Ann", interrupt_id=record.id)
    assert trail_of(answered) == ["x", "work", "Ann"] + ["after"] * depth
    assert other.ran == []

    assert (await house.app.aget_state(CONFIG)).interrupts == paused.interrupts
    assert trail_of(await house.app.aresume(CONFIG, "Bob")) == ["x", "work", "Bob"] + ["after"] * depth
    assert house.ran == ["x", "work"]

    assert (await house.app.ainvoke({}, fork)).interrupted  # a later pass visits it anew
    assert house.ran == ["x", "work"] * 2


async def test_a_pause_of_the_past_can_be_forked_though_the_subgraph_went_on(store: BaseCheckpointer) -> None:
    house = House(store)
    await house.app.ainvoke({}, CONFIG)
    paused = await house.app.aget_state(CONFIG)
    await house.app.aresume(CONFIG, "Ann")

    forks = [await house.app.afork(paused.config) for _ in range(2)]
    forks.append(await house.app.afork(forks[0]))  # a fork of a fork
    for fork, name in zip(forks, ("Bob", "Cid", "Dan"), strict=True):
        assert trail_of(await house.app.aresume(fork, name)) == ["x", "work", name, "after"]
    assert house.ran == ["x", "work"]


async def test_a_breakpoint_inside_is_passed_once_in_the_fork(store: BaseCheckpointer) -> None:
    house = House(store, interrupt_before=["ask"])
    await house.app.ainvoke({}, CONFIG)
    fork = await house.app.afork(CONFIG)

    for config in (fork, CONFIG):
        asked = await house.app.ainvoke(None, config)
        assert [record.reason for record in asked.interrupts] == ["name?"]
        assert trail_of(await house.app.aresume(config, "Ann")) == ["x", "work", "Ann", "after"]
    assert house.ran == ["x", "work", "work"]


async def test_each_branch_waits_for_its_own_answer_and_keeps_one_that_it_got(store: BaseCheckpointer) -> None:
    inner = StateGraph(Trail).add_node("ask", ask_last).compile()
    graph = StateGraph(Trail).add_node("plan", visit("plan")).add_node("inner", inner).add_edge(START, "plan")
    graph.add_conditional_edges("plan", sending("inner", "abc"), ["inner"])
    app = graph.compile(checkpointer=store)
    paused = await app.ainvoke({}, CONFIG)
    assert [record.reason for record in paused.interrupts] == ["a", "b", "c"]
    await app.aresume(CONFIG, "1", interrupt_id=paused.interrupts[1].id)

    fork = await app.afork(CONFIG)
    for config, first, last in ((fork, "2", "3"), (CONFIG, "4", "5")):
        waiting = (await app.aget_state(config)).interrupts
        await app.aresume(config, first, interrupt_id=waiting[0].id)
        result = await app.aresume(config, last, interrupt_id=waiting[1].id)
        assert sorted(trail_of(result)) == [f"a: {first}", "b: 1", f"c: {last}", "plan"]


async def test_two_questions_inside_one_subgraph_are_both_the_forks_own(store: BaseCheckpointer) -> None:
    inner = StateGraph(Trail).add_node("plan", visit("plan")).add_node("ask", ask_last).add_edge(START, "plan")
    inner.add_conditional_edges("plan", sending("ask", "ab"), ["ask"])
    app = StateGraph(Trail).add_node("inner", inner.compile()).compile(checkpointer=store)
    paused = await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG, "1", interrupt_id=paused.interrupts[0].id)  # it waits with the parent for the other one

    fork = await app.afork(CONFIG)
    for config, name in ((fork, "2"), (CONFIG, "3")):
        assert trail_of(await app.aresume(config, name)) == ["plan", "a: 1", f"b: {name}"]


async def test_what_is_merged_into_a_fork_is_kept_though_its_source_is_gone(store: BaseCheckpointer) -> None:
    house = House(store)
    await house.app.ainvoke({"last": "old"}, CONFIG)
    await house.app.aupdate_state(CONFIG, {"last": "older"})
    fork = await house.app.afork(CONFIG)
    await house.app.aupdate_state(fork, {"trail": "merged", "last": "new"})
    assert await house.app.adelete_thread(CONFIG)

    result = await house.app.aresume(fork, "Ann")
    assert trail_of(result) == ["merged", "x", "work", "Ann", "after"]
    assert (result.state.last, result.state.number) == ("new", 1)


async def test_a_fork_of_a_stopped_thread_goes_on_within_its_subgraph(store: BaseCheckpointer) -> None:
    slow = Slow()
    app = StateGraph(Trail).add_node("inner", slow.graph().compile()).compile(checkpointer=store)
    async with asyncio.timeout(10):
        await app.asubmit({}, CONFIG)
        await slow.entered.wait()
        assert (await app.astop(CONFIG))["ok"]
        fork = await app.afork(CONFIG)
        slow.is_slow = False
        assert trail_of(await app.ainvoke(None, fork)) == ["first", "second"]
        assert trail_of(await app.ainvoke(None, CONFIG)) == ["first", "second"]
    assert slow.runs == ["first", "second", "second", "second"]


async def test_a_fork_of_a_failed_thread_goes_on_where_its_subgraph_failed(store: BaseCheckpointer) -> None:
    runs: list[str] = []

    async def first(state: Trail) -> None:
        runs.append("first")

    async def second(state: Trail) -> dict[str, Any]:
        runs.append("second")
        if len(runs) < 3:
            raise NodeTimeoutError("second", 1)
        return {"trail": "second"}

    inner = StateGraph(Trail).add_sequence([first, second]).set_entry_point("first").compile()
    app = StateGraph(Trail).add_node("inner", inner).compile(checkpointer=store)
    with pytest.raises(NodeTimeoutError):
        await app.ainvoke({}, CONFIG)
    fork = await app.afork(CONFIG)
    assert trail_of(await app.ainvoke(None, fork)) == ["second"]
    assert runs == ["first", "second", "second"]


async def test_a_fork_from_before_the_subgraph_begins_it_anew(store: BaseCheckpointer) -> None:
    house = House(store)
    await house.app.ainvoke({}, CONFIG)
    began = (await house.app.aget_history(CONFIG))[-1]
    assert began.status is ExecutionStatus.RUNNING

    fork = await house.app.afork(began.config)
    assert (await house.app.ainvoke(None, fork)).interrupted
    assert trail_of(await house.app.aresume(fork, "Ann")) == ["x", "work", "Ann", "after"]
    assert house.ran == ["x", "work"] * 2


async def test_a_subgraph_that_is_not_there_any_more_is_begun_anew_and_asks_for_itself(store: BaseCheckpointer) -> None:
    house = House(store)
    await house.app.ainvoke({}, CONFIG)
    (row,) = await store.threads(inner_tenant(""))
    await store.delete(ThreadKey(inner_tenant(""), row.thread_id))

    fork = await house.app.afork(CONFIG)
    found = await house.app.aget_state(fork)
    assert (found.status, found.interrupts) == (ExecutionStatus.STOPPED, ())  # nobody is asked what leads nowhere
    assert (await house.app.ainvoke(None, fork)).interrupted
    assert trail_of(await house.app.aresume(fork, "Ann")) == ["x", "work", "Ann", "after"]


async def test_what_a_fork_that_broke_off_left_is_in_nobodys_way(
    store: BaseCheckpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(store)
    await house.app.ainvoke({}, CONFIG)
    append = store.append

    async def fails_for_the_parent(commit: Any) -> Any:
        if commit.key.thread == "fork" and commit.records:
            raise ConnectionError
        return await append(commit)

    with monkeypatch.context() as patch:
        patch.setattr(store, "append", fails_for_the_parent)
        with pytest.raises(ConnectionError):
            await house.app.afork(CONFIG, thread_id="fork")
    assert [row.thread_id for row in await store.threads()] == ["t"]

    fork = await house.app.afork(CONFIG, thread_id="fork")
    assert trail_of(await house.app.aresume(fork, "Ann")) == ["x", "work", "Ann", "after"]
    assert house.ran == ["x", "work"]
    assert await house.app.adelete_thread(fork)
    assert len(await store.threads(inner_tenant(""))) == 1
