"""Old records go; what a pause, a resume, a fork or a reader needs of a thread stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from taf.checkpointer import BaseCheckpointer, InMemoryCheckpointer
from taf.checkpointer.base import ThreadKey
from taf.errors import (
    AlreadyAnsweredError,
    ConfigError,
    InvalidAnswerError,
    StoreCorruptError,
    UnknownCheckpointError,
    UnknownInterruptError,
    UnknownThreadError,
)
from taf.graph import END, START, CompiledGraph, StateGraph, interrupt, task
from taf.graph.inner import inner_tenant
from tests.graph.trail import Trail, graph_of, visit
from tests.stopping.slow import Slow

CONFIG = {"thread_id": "t"}
DAY = timedelta(days=1)


async def ask(state: Trail) -> dict[str, Any]:
    return {"trail": await interrupt("name?", answer=str)}


def asking(store: BaseCheckpointer, **options: Any) -> CompiledGraph:
    graph = StateGraph(Trail).add_node("x", visit("x")).add_node("ask", ask).add_node("y", visit("y"))
    return graph.compile(store, **options)


async def passes(app: CompiledGraph, *answers: str, config: dict[str, str] = CONFIG) -> None:
    for answer in answers:
        await app.ainvoke({}, config)
        await app.aresume(config, answer)


class Days:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.day = 100

    def __call__(self) -> float:
        return self.day * DAY.total_seconds()


# -- one thread ------------------------------------------------------------------------------------


async def test_the_kept_history_is_as_it_was(store: BaseCheckpointer, reopen: Callable[[], Any]) -> None:
    async with asking(store) as app, asking(reopen()) as other:
        await passes(app, "a", "b", "c")
        await other.aget_state(CONFIG)
        before = await app.aget_history(CONFIG)

        pruned = await app.aprune(CONFIG, keep_last=5)

        assert (pruned.threads, pruned.records > 0, pruned.skipped) == (1, True, ())
        for one in (app, other):
            assert await one.aget_history(CONFIG) == before[:5]
            assert await one.aget_state(CONFIG) == before[0]
            assert [await one.aget_state(snapshot.config) for snapshot in before[:5]] == before[:5]
            with pytest.raises(UnknownCheckpointError):
                await one.aget_state(before[5].config)
            with pytest.raises(UnknownCheckpointError):
                await one.afork(before[5].config)
        await passes(other, "d")
        assert (await app.aget_state(CONFIG)).state.trail == [
            "x",
            "a",
            "y",
            "x",
            "b",
            "y",
            "x",
            "c",
            "y",
            "x",
            "d",
            "y",
        ]
        assert [s.checkpoint_id for s in (await app.aget_history(CONFIG))[-5:]] == [s.checkpoint_id for s in before[:5]]


async def test_every_kept_checkpoint_can_be_forked(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await passes(app, "a", "b")
        before = await app.aget_history(CONFIG)
        await app.aprune(CONFIG, keep_last=7)
        for snapshot in before[:7]:
            fork = await app.afork(snapshot.config)
            result = await app.ainvoke({} if snapshot.status == "completed" else None, fork)
            if result.interrupted:
                result = await app.aresume(fork, "forked")
            assert result.status == "completed"
            assert result.state.trail[: len(snapshot.state.trail)] == snapshot.state.trail


async def test_events_begin_at_the_oldest_kept_checkpoint(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await passes(app, "a", "b")
        before = [event async for event in app.aevents(CONFIG)]
        await app.aprune(CONFIG, keep_last=3)
        floor = int((await app.aget_history(CONFIG))[-1].checkpoint_id)

        for after in (0, 2, floor - 1, floor, before[-1].sequence):
            found = [event async for event in app.aevents(CONFIG, after=after)]
            assert found == [event for event in before if event.sequence > max(after, floor - 1)]


@pytest.mark.parametrize("keep_last", [1, 2, 3])
async def test_an_open_question_is_answered_after_a_pruning(
    store: BaseCheckpointer, reopen: Callable[[], Any], keep_last: int
) -> None:
    runs: list[str] = []

    async def slow_task() -> str:
        runs.append("task")
        return "recorded"

    async def two(state: Trail) -> dict[str, Any]:
        return {"trail": [await task("slow", slow_task), await interrupt("one?"), await interrupt("two?")]}

    def build(store: BaseCheckpointer) -> CompiledGraph:
        graph = StateGraph(Trail).add_node("x", visit("x")).add_node("two", two).add_node("z", visit("z"))
        graph.add_edge(START, "x").add_edge("x", "two").add_edge("x", "z")
        return graph.compile(store)

    async with build(store) as app, build(reopen()) as other:
        await app.ainvoke({}, CONFIG)
        await app.aprune(CONFIG, keep_last=keep_last)
        assert (await other.aresume(CONFIG, "first")).interrupted
        await other.aprune(CONFIG, keep_last=keep_last)
        (record,) = (await app.aget_state(CONFIG)).interrupts

        result = await app.aresume(CONFIG, "second", interrupt_id=record.id)

        assert result.state.trail == ["x", "recorded", "first", "second", "z"]
        assert runs == ["task"]


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def is_even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("odd")
        return number


async def test_an_answer_that_a_half_done_step_may_take_back_is_kept(store: BaseCheckpointer) -> None:
    async def two(state: Trail) -> dict[str, Any]:
        first = await interrupt("one?", answer=Even)
        return {"trail": [f"{first.number}", await interrupt("two?", answer=str)]}

    async with StateGraph(Trail).add_node(two).compile(store) as app:
        await app.ainvoke({}, CONFIG)
        with pytest.raises(InvalidAnswerError):
            await app.aresume(CONFIG, {"number": 1})
        await app.aprune(CONFIG, keep_last=1)
        await app.aresume(CONFIG, {"number": 2})
        await app.aprune(CONFIG, keep_last=1)
        assert (await app.aresume(CONFIG, "end")).state.trail == ["2", "end"]


async def test_closed_interrupts_go_with_the_history_that_tells_of_them(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await passes(app, "a", "b", "c")
        await passes(app, "other", config={"thread_id": "other"})
        await app.ainvoke({}, CONFIG)
        opened, *closed = await app.ainterrupts(CONFIG)

        await app.aprune(CONFIG, keep_last=8)

        assert await app.ainterrupts(CONFIG) == [opened, closed[0]]
        with pytest.raises(AlreadyAnsweredError):
            await app.aresume(CONFIG, "late", interrupt_id=closed[0].id)
        with pytest.raises(UnknownInterruptError):
            await app.aresume(CONFIG, "late", interrupt_id=closed[-1].id)
        assert len(await app.ainterrupts({"thread_id": "other"})) == 1


async def test_a_thread_that_runs_is_left_alone(store: BaseCheckpointer) -> None:
    slow = Slow()
    graph = StateGraph(Trail).add_node("x", visit("x")).add_node("slow", slow.in_loop)
    async with asyncio.timeout(10), graph.compile(store) as app:
        await app.asubmit({}, CONFIG)
        await slow.until_entered()
        before = [event async for event in app.aevents(CONFIG)]
        assert (await app.aprune(CONFIG, keep_last=1)).skipped == ("t",)
        assert (await app.aprune(keep_last=1, older_than=timedelta(), delete=True)).skipped == ("t",)
        assert [event async for event in app.aevents(CONFIG)] == before
        slow.let_go.set()
        await app.ajoin(CONFIG)
        assert (await app.aprune(CONFIG, keep_last=1)).records > 0


async def test_what_makes_no_sense_is_refused(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        await passes(app, "a")
        wrong: list[dict[str, Any]] = [{}, {"keep_last": 0}, {"keep_last": True}, {"older_than": 5}]
        wrong += [{"keep_last": 1, "delete": True}, {"older_than": -DAY}]
        for options in wrong:
            with pytest.raises(ConfigError):
                await app.aprune(**options)
        with pytest.raises(ConfigError, match="delete_thread"):
            await app.aprune(CONFIG, older_than=DAY, delete=True)
        with pytest.raises(UnknownThreadError):
            await app.aprune({"thread_id": "nobody"}, keep_last=1)


# -- subgraphs -------------------------------------------------------------------------------------


async def test_the_threads_of_subgraphs_go_with_their_visits(store: BaseCheckpointer) -> None:
    inner = StateGraph(Trail).add_node("deep", graph_of("x").compile()).add_node("ask", ask).compile()
    graph = StateGraph(Trail).add_node("in#1@2.3", inner).add_edge(START, "in#1@2.3")
    graph.add_conditional_edges("in#1@2.3", lambda state: "in#1@2.3" if len(state.trail) < 6 else END)
    async with graph.compile(store) as app:
        await passes(app, "a", config={"thread_id": "t2"})
        await app.ainvoke({}, CONFIG)
        for answer in "bcd":
            assert len(await store.threads(inner_tenant(""), after="t\x1f", limit=9)) >= 2
            before = await app.aget_state(CONFIG)
            await app.aprune(CONFIG, keep_last=1)
            names = [row.thread_id for row in await store.threads(inner_tenant(""))]
            assert sum(name.startswith("t\x1f") for name in names) == 2
            assert sum(name.startswith("t2\x1f") for name in names) == 4
            assert await app.aget_state(CONFIG) == before
            result = await app.aresume(CONFIG, answer)
        assert result.state.trail == ["x", "b", "x", "c", "x", "d"]


# -- many threads ----------------------------------------------------------------------------------


async def test_many_threads_are_pruned_page_by_page(store: BaseCheckpointer) -> None:
    async with asking(store, name="mine") as app, asking(store, name="theirs") as other:
        for number in range(5):
            await passes(app, "a", config={"thread_id": f"m{number}"})
        await passes(other, "a", config={"thread_id": "m2b"})
        pages = [await app.aprune(keep_last=1, limit=2)]
        while cursor := pages[-1].cursor:
            pages.append(await app.aprune(keep_last=1, limit=2, after=cursor))

        assert [page.threads for page in pages] == [2, 2, 1]
        assert all(page.records for page in pages)
        assert {len(await app.aget_history({"thread_id": f"m{number}"})) for number in range(5)} == {1}
        assert len(await other.aget_history({"thread_id": "m2b"})) > 1
        assert (await app.aprune(keep_last=1)).records == 0


async def test_threads_that_nobody_came_back_to_are_deleted(store: BaseCheckpointer) -> None:
    days = Days()
    nested = StateGraph(Trail).add_node("in", graph_of("x").compile()).add_node("ask", ask)
    async with nested.compile(store, clock=days) as app:
        await passes(app, "a", config={"thread_id": "done"})
        await app.ainvoke({}, {"thread_id": "asks"})
        await app.ainvoke({}, {"thread_id": "stopped"})
        await app.astop({"thread_id": "stopped"})
        days.day += 10
        await passes(app, "a", config={"thread_id": "young"})

        first = await app.aprune(older_than=30 * DAY, delete=True)
        pruned = await app.aprune(older_than=5 * DAY, delete=True)

        assert (first.deleted, pruned.deleted) == ((), ("done", "stopped"))
        assert [row.thread_id for row in await app.athreads()] == ["asks", "young"]
        left = await store.threads(inner_tenant(""))
        assert [row.thread_id.partition("\x1f")[0] for row in left] == ["young"]  # that of "asks" was done
        assert [row.status for row in await store.interrupts()] == ["answered", "open"]
        assert (await app.aresume({"thread_id": "asks"}, "late")).state.trail == ["x", "late"]


async def test_what_is_younger_than_the_age_is_kept(store: BaseCheckpointer) -> None:
    days = Days()
    async with asking(store, clock=days) as app:
        for _ in range(4):
            await passes(app, "a")
            days.day += 1
        before = await app.aget_history(CONFIG)

        await app.aprune(CONFIG, older_than=2 * DAY)
        assert await app.aget_history(CONFIG) == before[:14]

        days.day += 9
        await app.aprune(CONFIG, older_than=2 * DAY, keep_last=3)
        assert await app.aget_history(CONFIG) == before[:3]
        await app.aprune(CONFIG, older_than=2 * DAY)
        assert await app.aget_history(CONFIG) == before[:1]


async def test_one_thread_that_cannot_be_read_keeps_no_other() -> None:
    store = InMemoryCheckpointer()
    async with asking(store) as app:
        for name in "abc":
            await passes(app, "a", config={"thread_id": name})
        thread = store._threads[ThreadKey("", "b")]
        thread.records[3] = (*thread.records[3][:4], b"\xff", *thread.records[3][5:])

        pruned = await app.aprune(keep_last=1)

        assert [(name, type(error)) for name, error in pruned.failed.items()] == [("b", StoreCorruptError)]
        assert (pruned.threads, len(thread.records) > 1) == (3, True)
        assert [len(await app.aget_history({"thread_id": name})) for name in "ac"] == [1, 1]
        with pytest.raises(StoreCorruptError):
            await app.aprune({"thread_id": "b"}, keep_last=1)


def test_the_sync_twin_does_the_same(store: BaseCheckpointer) -> None:
    with asking(store) as app:
        app.invoke({}, CONFIG)
        app.resume(CONFIG, "a")
        assert app.prune(CONFIG, keep_last=2).records > 0
        assert len(app.get_history(CONFIG)) == 2
        assert app.prune(keep_last=1, limit=1).threads == 1
