"""The four shapes in which a stream can be read, sync and async."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from taf import AgentState, Message, StateGraph, emit
from taf.checkpointer.base import BaseCheckpointer
from taf.state.reducers import append

CONFIG = {"thread_id": "t"}


class Trail(AgentState):
    done: Annotated[list[str], append] = []
    last: str = ""


async def one(state: Trail) -> dict[str, Any]:
    emit(Message(id="half", role="assistant", content="hal"))
    emit("no message")
    return {"done": ["one"], "last": "one", "messages": [Message(id="m1", role="assistant", content="half done")]}


def two(state: Trail) -> dict[str, Any]:
    return {"done": ["two"], "last": "two"}


@pytest.fixture(params=["sync", "async"])
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def read(store: BaseCheckpointer, side: str, mode: Any, **options: Any) -> list[Any]:
    async with asyncio.timeout(10), StateGraph(Trail).add_node(one).add_node(two).compile(store, **options) as app:
        given = {"messages": [Message(id="m0", content="go")]}
        if side == "sync":
            return await asyncio.to_thread(lambda: list(app.stream(given, CONFIG, stream_mode=mode)))
        return [chunk async for chunk in app.astream(given, CONFIG, stream_mode=mode)]


async def test_updates_are_what_each_node_brought(store: BaseCheckpointer, side: str) -> None:
    said = Message(id="m1", role="assistant", content="half done")
    assert await read(store, side, "updates") == [
        {"one": {"done": ["one"], "last": "one", "context": [said]}},
        {"two": {"done": ["two"], "last": "two"}},
    ]


async def test_values_are_the_state_at_the_beginning_and_after_each_step(store: BaseCheckpointer, side: str) -> None:
    states = await read(store, side, "values")
    assert [(type(state).__name__, state.done, state.last) for state in states] == [
        ("Trail", [], ""),
        ("Trail", ["one"], "one"),
        ("Trail", ["one", "two"], "two"),
    ]
    assert [len(state.messages) for state in states] == [1, 2, 2]
    assert states[-1].execution_meta.step == 2


async def test_messages_are_the_new_ones_and_those_that_were_shown(store: BaseCheckpointer, side: str) -> None:
    assert [message.id for message in await read(store, side, "messages")] == ["half", "m1"]


async def test_events_are_the_default(store: BaseCheckpointer, side: str) -> None:
    assert [event.event_type for event in await read(store, side, "events")][-1] == "completed"


@pytest.mark.parametrize("mode", ["updates", "values", "messages"])
async def test_a_pause_ends_every_mode(store: BaseCheckpointer, side: str, mode: str) -> None:
    found = await read(store, side, mode, interrupt_before=["one"])
    assert len(found) == (1 if mode == "values" else 0)


async def test_a_state_that_was_streamed_is_the_readers_own(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), StateGraph(Trail).add_node(one).add_node(two).compile(store) as app:
        async for state in app.astream({}, CONFIG, stream_mode="values"):
            state.done.append("mine")
        assert (await app.aget_state(CONFIG)).state.done == ["one", "two"]


async def test_an_update_that_was_streamed_is_the_readers_own(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), StateGraph(Trail).add_node(one).add_node(two).compile(store) as app:
        async for update in app.astream({}, CONFIG, stream_mode="updates"):
            for values in update.values():
                values["done"].append("mine")
        assert (await app.aget_state(CONFIG)).state.done == ["one", "two"]
