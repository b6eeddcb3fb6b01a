"""What `count.py` counts: fixed pieces of work, one after another, with a mark in front of each and behind the last.

A mark is a call of ``os.getppid``, which nothing else here makes: callgrind starts a new count at each. Run alone it
prints nothing and measures nothing.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from pydantic import BaseModel

from taf import END, START, AgentState, CompiledGraph, InMemoryCheckpointer, Message, Send, StateGraph, append

Work = Callable[[int], Awaitable[None]]

NODES, BRANCHES, MESSAGES = 100, 200, 500

PARTS = {
    "a step": (NODES, 10),
    "a step behind a router": (NODES, 5),
    "a run of five nodes": (1, 40),
    "a pause and its resume": (1, 40),
    "a fan-out of 200": (1, 3),
    "a turn of a chat": (1, 40),
    "reading a message": (MESSAGES, 3),
}
"""The pieces in their order: how many there are in one call, and how often each is called."""


class Count(BaseModel):
    counter: int = 0
    label: str = ""


class Fan(BaseModel):
    i: int = 0
    results: Annotated[list[int], append] = []


class Chat(AgentState):
    turns: int = 0


async def bump(state: Count) -> dict[str, Any]:
    return {"counter": state.counter + 1}


async def branch(state: Fan) -> dict[str, Any]:
    return {"results": [state.i]}


async def join(state: Fan) -> dict[str, Any]:
    return {"i": sum(state.results)}


async def hear(state: Chat) -> dict[str, Any]:
    return {"turns": state.turns + 1}


async def reply(state: Chat) -> Message:
    return Message.text_message("y" * 200, role="assistant")


def chain(nodes: int) -> StateGraph:
    graph = StateGraph(Count)
    for number in range(nodes):
        graph.add_node(f"n{number}", bump)
    return graph


def invoking(app: CompiledGraph, given: Any) -> Work:
    async def work(number: int) -> None:
        await app.ainvoke(given, {"thread_id": f"t{number}", "recursion_limit": NODES})

    return work


def pausing(app: CompiledGraph) -> Work:
    async def work(number: int) -> None:
        config = {"thread_id": f"t{number}"}
        await app.ainvoke({"label": "a label"}, config)
        await app.ainvoke(None, config)

    return work


def talking(app: CompiledGraph) -> Work:
    async def work(number: int) -> None:
        await app.ainvoke({"messages": [Message.text_message("x" * 200)]}, {"thread_id": "chat"})

    return work


async def reading(store: InMemoryCheckpointer, graph: StateGraph) -> Work:
    app, config = graph.compile(store), {"thread_id": "long"}
    await app.aupdate_state(config, {"messages": [Message.text_message("x" * 200) for _ in range(MESSAGES)]})

    async def work(number: int) -> None:
        found = await graph.compile(store).aget_state(config)  # a new app knows nothing of the thread yet
        assert len(found.state.messages) == MESSAGES

    return work


async def works() -> list[Work]:
    store = InMemoryCheckpointer()
    looped = StateGraph(Count).add_node("tick", bump).set_entry_point("tick")
    looped.add_conditional_edges("tick", lambda s: "tick" if s.counter < NODES else END, ["tick", END])
    fan = StateGraph(Fan).add_node("branch", branch).add_node("join", join)
    fan.add_conditional_edges(START, lambda s: [Send("branch", {"i": i}) for i in range(BRANCHES)])
    fan.add_edge("branch", "join")
    chat = StateGraph(Chat).add_node("hear", hear).add_node("reply", reply)
    return [
        invoking(chain(NODES).compile(), {"label": "a label"}),
        invoking(looped.compile(), {"label": "a label"}),
        invoking(chain(5).compile(), {"label": "a label"}),
        pausing(chain(3).compile(interrupt_before=["n1"])),
        invoking(fan.compile(), {}),
        talking(chat.compile()),
        await reading(store, chat),
    ]


async def main() -> None:
    for work, (_, times) in zip(await works(), PARTS.values(), strict=True):
        await work(-2)
        await work(-1)
        gc.collect()
        gc.disable()
        os.getppid()
        for number in range(times):
            await work(number)
        gc.enable()
        os.getppid()


if __name__ == "__main__":
    asyncio.run(main())
