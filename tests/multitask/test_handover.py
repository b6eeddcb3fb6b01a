"""What a superseded run leaves, and what it cannot do any more."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from taf import END, START, AgentState, Message, StateGraph
from taf.checkpointer import BaseCheckpointer
from taf.graph import Context
from taf.state.messages import ToolCallBlock, ToolResultBlock
from tests.multitask.talk import HANG, Slow, Talk, said, texts, until

CONFIG = {"thread_id": "t"}


def call(name: str) -> Message:
    """Return a message that asks for a tool."""
    return Message(role="assistant", content=[ToolCallBlock(id=name, name="search")])


def result(name: str) -> Message:
    """Return what the tool gave."""
    return Message(role="tool", content=[ToolResultBlock(call_id=name, text="found")])


def blocks(state: Any) -> list[Any]:
    """Return the blocks and texts of a conversation, in order."""
    return [
        (block.type, getattr(block, "call_id", getattr(block, "id", None)), getattr(block, "is_error", None))
        if not isinstance(block, str)
        else block
        for message in state.messages
        for block in ([message.content] if isinstance(message.content, str) else message.content)
    ]


async def test_an_open_tool_call_is_closed_before_the_next_message(store: BaseCheckpointer) -> None:
    is_searching, has_found = asyncio.Event(), asyncio.Event()

    async def ask(state: AgentState) -> list[Message]:
        return [call("a"), call("b"), result("a")] if len(state.messages) == 1 else []

    async def search(state: AgentState) -> None:
        is_searching.set()
        await has_found.wait()

    graph = StateGraph().add_node(ask).add_node(search)
    async with asyncio.timeout(HANG), graph.compile(store, multitask_strategy="interrupt") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), CONFIG))
        await is_searching.wait()
        is_searching.clear()
        second = asyncio.create_task(app.ainvoke(said("two"), CONFIG))
        assert (await first).superseded_by
        await is_searching.wait()
        has_found.set()
        state = (await second).state

        calls = [("tool_call", "a", None), ("tool_call", "b", None), ("tool_result", "a", False)]
        assert blocks(state) == ["one", *calls, ("tool_result", "b", True), "two"]
        assert state.previous_context.open_tool_calls == ("b",)
        assert state.previous_context.completed == ("ask",)


async def test_a_run_that_is_continued_keeps_its_call_open(store: BaseCheckpointer) -> None:
    is_searching, has_found = asyncio.Event(), asyncio.Event()

    async def ask(state: AgentState) -> Message:
        return call("a")

    async def search(state: AgentState) -> Message:
        is_searching.set()
        await has_found.wait()
        return result("a")

    async with asyncio.timeout(HANG), StateGraph().add_node(ask).add_node(search).compile(store) as app:
        first = asyncio.create_task(app.ainvoke(said("one"), CONFIG))
        await is_searching.wait()
        await app.astop(CONFIG)
        await first
        has_found.set()
        state = (await app.ainvoke(None, CONFIG)).state
        assert blocks(state) == ["one", ("tool_call", "a", None), ("tool_result", "a", False)]


async def test_a_steering_message_does_not_come_between_a_call_and_its_result(store: BaseCheckpointer) -> None:
    is_asking, may_ask = asyncio.Event(), asyncio.Event()

    async def ask(state: AgentState) -> Message:
        is_asking.set()
        await may_ask.wait()
        return call("a")

    async def search(state: AgentState) -> Message:
        return result("a")

    async def conclude(state: AgentState) -> Message:
        return Message.text_message(f"{len(state.messages)} messages", "assistant")

    graph = StateGraph().add_node(ask).add_node(search).add_node(conclude)
    async with asyncio.timeout(HANG), graph.compile(store) as app:
        first = asyncio.create_task(app.ainvoke(said("one"), CONFIG))
        await is_asking.wait()
        await app.asubmit(said("two"), CONFIG, multitask_strategy="steer")
        may_ask.set()
        state = (await first).state
        assert blocks(state) == ["one", ("tool_call", "a", None), ("tool_result", "a", False), "two", "4 messages"]


async def test_a_superseded_run_that_writes_late_changes_nothing(store: BaseCheckpointer) -> None:
    is_stubborn, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def stubborn(state: AgentState) -> Message | None:
        if state.messages[-1].text() != "one":
            return Message.text_message("new", "assistant")
        is_stubborn.set()
        may_end.wait(HANG)
        ended.set()
        return Message.text_message("late", "assistant")

    graph = StateGraph().add_node(stubborn)
    async with asyncio.timeout(HANG), graph.compile(store, multitask_strategy="interrupt", stop_grace=0.05) as app:
        first = asyncio.create_task(app.ainvoke(said("one"), {**CONFIG, "run_id": "r1"}))
        await until(is_stubborn.is_set)
        second = await app.ainvoke(said("two"), {**CONFIG, "run_id": "r2"})
        assert (await first).superseded_by == "r2"
        stopped = [event async for event in app.aevents(CONFIG) if event.event_type == "stopped"]
        assert stopped[0].data["unwinding"] == ["stubborn"], "that its code still runs can be seen"
        before = await app.aget_state(CONFIG)
        may_end.set()
        await until(ended.is_set)
        await asyncio.sleep(0.05)
        after = await app.aget_state(CONFIG)

        assert texts(second) == ["one", "two", "new"]
        assert (after.checkpoint_id, after.status, after.values) == (before.checkpoint_id, before.status, before.values)


async def test_an_interrupt_of_an_interrupt_hands_on_what_each_was_told(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with (
        asyncio.timeout(HANG),
        slow.app(store, multitask_strategy="interrupt", keep_superseded=2) as app,
    ):
        runs: list[asyncio.Task[Any]] = []
        for number in range(4):
            runs.append(asyncio.create_task(app.ainvoke(said(f"m{number}"), CONFIG)))
            await until(lambda number=number: len(slow.began) == number + 1)
        slow.gate.set()
        await asyncio.gather(*runs)
        left = (await app.aget_state(CONFIG)).superseded
        assert [one.input["context"][0].text() for one in left] == ["m1", "m2"]
        assert all(len(one.input["context"]) == 1 for one in left)
        assert [one.partial_results for one in left] == [{"think": {"draft": f"half of m{n}"}} for n in (1, 2)]


async def test_a_router_from_the_start_sees_what_was_left_as_nodes_do(store: BaseCheckpointer) -> None:
    seen: list[list[str]] = []

    def route(state: AgentState, ctx: Context) -> str:
        seen.append([left.run_id for left in ctx.superseded])
        return "think"

    slow = Slow()
    graph = StateGraph(Talk).add_node("think", slow.think).add_edge("think", END)
    graph.add_conditional_edges(START, route, ["think"])
    async with asyncio.timeout(HANG), graph.compile(store, multitask_strategy="interrupt") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), {**CONFIG, "run_id": "r1"}))
        await until(lambda: slow.began)
        second = asyncio.create_task(app.ainvoke(said("two"), {**CONFIG, "run_id": "r2"}))
        await until(lambda: len(slow.began) == 2)
        slow.gate.set()
        assert [(await first).superseded_by, (await second).status] == ["r2", "completed"]
    assert seen == [[], ["r1"]]


async def test_a_message_after_a_completed_run_finds_nothing_left(store: BaseCheckpointer) -> None:
    slow = Slow()
    slow.gate.set()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="interrupt") as app:
        await app.ainvoke(said("one"), CONFIG)
        await app.ainvoke(said("two"), CONFIG)
        assert slow.previous == [(None, {}), (None, {})]
