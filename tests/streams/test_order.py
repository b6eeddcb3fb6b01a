"""What a stream tells: everything, in order, once, and nothing before it is stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import pytest

from taf import END, START, AgentState, ExecutionStatus, InMemoryCheckpointer, Message, StateGraph, emit, interrupt
from taf.checkpointer.base import BaseCheckpointer, Commit, Signal
from taf.events import Event, EventType
from taf.publisher import CollectingPublisher
from taf.state.reducers import append

CONFIG = {"thread_id": "t"}


class Trail(AgentState):
    done: Annotated[list[str], append] = []


def node(name: str) -> Any:
    async def step(state: Trail) -> dict[str, Any]:
        emit(f"{name}...")
        return {"done": [name], "messages": [Message.text_message(f"I am {name}")]}

    return step


def row(store: BaseCheckpointer | None, *names: str, **options: Any) -> Any:
    graph = StateGraph(Trail)
    for name in names:
        graph.add_node(name, node(name))
    return graph.compile(store, **options)


async def told(app: Any, style: str, given: Any, **options: Any) -> list[Any]:
    """Return the chunks of a stream, sync or async."""
    if style == "sync":
        return await asyncio.to_thread(lambda: list(app.stream(given, CONFIG, **options)))
    return [chunk async for chunk in app.astream(given, CONFIG, **options)]


@pytest.fixture(params=["sync", "async"])
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_every_event_comes_in_order_and_once(store: BaseCheckpointer, side: str) -> None:
    async with asyncio.timeout(10), row(store, "a", "b") as app:
        events = await told(app, side, {})
        assert [(event.event_type, event.node_name) for event in events] == [
            ("started", None),
            ("partial", "a"),
            ("node_completed", "a"),
            ("partial", "b"),
            ("node_completed", "b"),
            ("completed", None),
        ]
        assert all(type(event) is Event for event in events)


async def test_sequences_have_no_holes_and_a_partial_has_that_of_the_last_commit(
    store: BaseCheckpointer, side: str
) -> None:
    graph = StateGraph(Trail)
    for name in ("left", "right"):
        graph.add_node(name, node(name)).add_edge(START, name).add_edge(name, "join")
    graph.add_node("join", node("join")).add_edge("join", END)
    async with asyncio.timeout(10), graph.compile(store) as app:
        last = 0
        for event in [*await told(app, side, {}), *await told(app, side, {})]:
            assert event.sequence == (last + 1 if event.committed else last)
            last = event.sequence
        assert last == 10


async def test_events_name_thread_run_step_and_time(store: BaseCheckpointer, side: str) -> None:
    async with asyncio.timeout(10), row(store, "a", "b") as app:
        events = [chunk async for chunk in app.astream({}, {**CONFIG, "run_id": "r"})]
        assert {(event.thread_id, event.run_id) for event in events} == {("t", "r")}
        assert [event.step for event in events] == [0, 0, 1, 1, 2, 2]
        assert all(isinstance(event.timestamp, datetime) and event.timestamp.tzinfo for event in events)


async def test_an_event_type_is_its_word(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), row(store, "a", interrupt_before=["a"]) as app:
        last = (await told(app, "async", {}))[-1]
        assert last.event_type == "interrupted"
        assert last.event_type is EventType.INTERRUPTED


@pytest.mark.parametrize(("option", "word"), [("interrupt_before", "before"), ("interrupt_after", "after")])
async def test_a_pause_is_told_once_and_names_its_node(
    store: BaseCheckpointer, side: str, option: str, word: str
) -> None:
    async with asyncio.timeout(10), row(store, "a", "b", **{option: ["a", "b"]}) as app:
        for name, given in (("a", {}), ("b", None)):
            pauses = [event for event in await told(app, side, given) if event.event_type == "interrupted"]
            assert [event.node_name for event in pauses] == [name]
            assert pauses[0].data["interrupted"] == word
            assert pauses[0].metadata["status"] == f'Paused {word} node "{name}".'
            assert pauses[0].data["interrupts"] == [(await app.aget_state(CONFIG)).interrupts[0].id]
        assert [event.event_type for event in await told(app, side, None)][-1] == "completed"


async def test_a_question_is_told_as_a_pause_in_its_node(store: BaseCheckpointer, side: str) -> None:
    async def ask(state: Trail) -> None:
        await interrupt("Really?", data={"x": 1})

    async with asyncio.timeout(10), StateGraph(Trail).add_node(ask).compile(store) as app:
        event = (await told(app, side, {}))[-1]
        assert (event.event_type, event.node_name, event.content) == ("interrupted", "ask", "Really?")
        assert (event.data["interrupted"], event.data["data"], event.metadata["status"]) == (
            "node",
            {"x": 1},
            "Really?",
        )


async def test_a_stop_is_an_event_of_its_own(store: BaseCheckpointer) -> None:
    entered = asyncio.Event()

    async def waits(state: Trail) -> None:
        entered.set()
        await asyncio.sleep(60)

    async with asyncio.timeout(10), StateGraph(Trail).add_node(waits).compile(store) as app:
        reading = asyncio.create_task(told(app, "async", {}))
        await entered.wait()
        await app.astop(CONFIG, "enough")
        last = (await reading)[-1]
        assert (last.event_type, last.node_name, last.data["reason"]) == ("stopped", "waits", "enough")


async def test_a_pause_that_is_cancelled_is_told_as_a_stop_to_publishers(store: BaseCheckpointer) -> None:
    heard = CollectingPublisher()
    async with asyncio.timeout(10), row(store, "a", interrupt_before=["a"], publisher=heard) as app:
        await app.ainvoke({}, CONFIG)
        await app.astop(CONFIG)
    assert [event.event_type for event in heard.events] == ["started", "interrupted", "stopped"]


class Noting(InMemoryCheckpointer):
    """Notes how far it has been written."""

    written = 0

    async def append(self, commit: Commit) -> Sequence[Signal]:
        await asyncio.sleep(0.001)
        found = await super().append(commit)
        if commit.records:
            self.written = commit.records[-1].sequence
        return found


async def test_what_is_told_is_stored_already(side: str) -> None:
    store = Noting()
    wrong: list[Event] = []

    def check(event: Event) -> None:
        if event.sequence > store.written:
            wrong.append(event)

    async with asyncio.timeout(10), row(store, "a", "b", interrupt_after=["a"], publisher=check) as app:
        for given in ({}, None):
            if side == "sync":
                await asyncio.to_thread(lambda given=given: [check(e) for e in app.stream(given, CONFIG)])
            else:
                async for event in app.astream(given, CONFIG):
                    check(event)
    assert wrong == []


async def test_emit_works_from_async_and_sync_nodes_and_from_threads_that_they_start(
    store: BaseCheckpointer, side: str
) -> None:
    async def in_loop(state: Trail) -> None:
        emit("loop")
        await asyncio.to_thread(emit, "loop's thread")
        await asyncio.gather(*(asyncio.to_thread(emit, n, key=f"k{n}") for n in range(5)))

    def in_thread(state: Trail) -> None:
        emit("thread")
        from contextvars import copy_context

        helper = threading.Thread(target=copy_context().run, args=(emit, "thread's thread"))
        helper.start()
        helper.join()

    graph = StateGraph(Trail).add_node(in_loop).add_node(in_thread)
    async with asyncio.timeout(10), graph.compile(store) as app:
        partials = [event for event in await told(app, side, {}) if event.event_type == "partial"]
        values = [event.data["value"] for event in partials]
        assert (values[:2], sorted(values[2:7]), values[7:]) == (
            ["loop", "loop's thread"],
            [0, 1, 2, 3, 4],
            ["thread", "thread's thread"],
        )
        assert {event.node_name for event in partials} == {"in_loop", "in_thread"}
        assert not any(event.committed or event.data["committed"] for event in partials)


async def test_what_a_finished_node_left_running_shows_nothing_any_more(store: BaseCheckpointer) -> None:
    left: list[asyncio.Task[None]] = []

    async def late() -> None:
        await asyncio.sleep(0.01)
        emit("late")

    async def leaves(state: Trail) -> None:
        left.append(asyncio.create_task(late()))

    async def waits(state: Trail) -> None:
        await left[0]

    async with asyncio.timeout(10), StateGraph(Trail).add_node(leaves).add_node(waits).compile(store) as app:
        assert "partial" not in [event.event_type for event in await told(app, "async", {})]


async def test_publishers_and_streams_get_the_same_frozen_objects(store: BaseCheckpointer, side: str) -> None:
    one, two = CollectingPublisher(), CollectingPublisher()
    async with asyncio.timeout(10), row(store, "a", "b", publisher=[one, two]) as app:
        events = await told(app, side, {})
    assert [id(event) for event in one.events] == [id(event) for event in two.events] == [id(event) for event in events]
    with pytest.raises(AttributeError):
        events[0].sequence = 7


async def test_the_status_at_the_end_is_what_the_store_holds(store: BaseCheckpointer, side: str) -> None:
    async with asyncio.timeout(10), row(store, "a") as app:
        await told(app, side, {})
        assert (await app.aget_state(CONFIG)).status is ExecutionStatus.COMPLETED


async def test_a_reader_hears_of_each_step_though_the_nodes_never_wait() -> None:
    ran: list[str] = []
    seen: list[tuple[str | None, int]] = []

    def quick(name: str) -> Any:
        async def step(state: Trail) -> None:
            ran.append(name)

        return step

    graph = StateGraph(Trail)
    for name in ("a", "b", "c"):
        graph.add_node(name, quick(name))
    async with asyncio.timeout(10), graph.compile() as app:
        async for event in app.astream({}, CONFIG):
            if event.event_type == "node_completed":
                seen.append((event.node_name, len(ran)))
    assert seen == [("a", 1), ("b", 2), ("c", 3)]
