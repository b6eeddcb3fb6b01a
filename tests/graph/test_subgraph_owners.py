"""A subgraph while others write: to its parent's state, and on its own thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel

from taf import AgentState, CompiledGraph, Edit, Message, StateGraph, interrupt
from taf.checkpointer import BaseCheckpointer
from taf.checkpointer.base import Commit, ThreadKey
from taf.state import ExecutionStatus, append

CONFIG = {"thread_id": "t"}
HANG = 10.0


class Work(BaseModel):
    done: Annotated[list[str], append] = []
    note: str = ""


async def ask(state: Any) -> dict[str, Any]:
    return {"done": [f"ask {await interrupt('go on?', answer=str)}"]}


def nested(store: BaseCheckpointer, node: Callable[..., Any], model: Any = Work, **options: Any) -> CompiledGraph:
    inner = StateGraph(model).add_node("node", node).compile(**options)
    return StateGraph(model).add_node("inner", inner).compile(store)


async def test_what_is_merged_while_a_subgraph_waits_is_kept(store: BaseCheckpointer) -> None:
    app = nested(store, ask)
    await app.ainvoke({"done": ["first"]}, CONFIG)
    await app.ainvoke({"done": ["meanwhile"], "note": "new"}, CONFIG)

    result = await app.aresume(CONFIG, "yes")

    assert result.state.done == ["first", "meanwhile", "ask yes"]
    assert result.state.note == "new"


async def test_a_message_that_comes_while_a_subgraph_waits_is_kept(store: BaseCheckpointer) -> None:
    async def speak(state: AgentState) -> Message:
        return Message.text_message(await interrupt("what?", answer=str), role="assistant")

    app = nested(store, speak, AgentState)
    await app.ainvoke({"messages": [Message.text_message("one")]}, CONFIG)
    await app.ainvoke({"messages": [Message.text_message("two")]}, CONFIG)

    result = await app.aresume(CONFIG, "three")

    assert [message.content for message in result.messages] == ["one", "two", "three"]


async def test_what_a_human_edits_inside_a_subgraph_is_returned(store: BaseCheckpointer) -> None:
    async def work(state: Work) -> dict[str, Any]:
        return {"done": ["work"]}

    app = nested(store, work, interrupt_before=["node"])
    await app.ainvoke({"done": ["first"], "note": "old"}, CONFIG)

    result = await app.aresume(CONFIG, Edit({"note": "edited"}))

    assert (result.state.done, result.state.note) == (["first", "work"], "edited")


async def test_a_subgraph_waits_for_an_owner_that_lost_its_parent(store: BaseCheckpointer) -> None:
    app = nested(store, ask)
    await app.ainvoke({}, CONFIG)
    (inner,) = await store.threads("\x1f")
    key = ThreadKey("\x1f", inner.thread_id)
    grant = await store.acquire(key, lease_seconds=60)
    assert grant is not None

    async with asyncio.timeout(HANG):
        resuming = asyncio.create_task(app.aresume(CONFIG, "yes"))
        while (await app.aget_state(CONFIG)).status is not ExecutionStatus.RUNNING:
            await asyncio.sleep(0.001)
        done, _ = await asyncio.wait([resuming], timeout=0.05)
        assert not done
        stored = grant.stored
        await store.append(Commit(key, grant.epoch, stored.head, (), stored.status, stored.run_id, is_release=True))
        result = await resuming

    assert (result.status, result.state.done) == (ExecutionStatus.COMPLETED, ["ask yes"])


async def test_a_stop_ends_the_wait_for_a_subgraph(store: BaseCheckpointer) -> None:
    app = nested(store, ask)
    await app.ainvoke({}, CONFIG)
    (inner,) = await store.threads("\x1f")
    grant = await store.acquire(ThreadKey("\x1f", inner.thread_id), lease_seconds=60)
    assert grant is not None

    async with asyncio.timeout(HANG):
        resuming = asyncio.create_task(app.aresume(CONFIG, "yes"))
        while (await app.aget_state(CONFIG)).status is not ExecutionStatus.RUNNING:
            await asyncio.sleep(0.001)
        status = await app.astop(CONFIG)
        result = await resuming

    assert status["ok"]
    assert result.status is ExecutionStatus.STOPPED
