"""A graph with one of everything, whose effects have keys: wherever it is cut, it ends as if it had not been."""

from __future__ import annotations

from typing import Annotated, Any

from taf import END, START, AgentState, CompiledGraph, ExecutionStatus, Message, StateGraph, interrupt, task, task_sync
from taf.checkpointer import BaseCheckpointer
from taf.state import append

ANSWERS = {"how many?": 3, "inside?": "yes"}


class Walk(AgentState):
    trail: Annotated[list[str], append] = []
    rounds: int = 0


class World:
    """What the nodes did outside, by key: doing it again changes nothing."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}

    def do(self, key: str, value: int = 1) -> int:
        self.done[key] = value
        return value


def build(world: World) -> StateGraph:
    def first(state: Walk) -> dict[str, Any]:
        return {"trail": ["first"], "messages": [Message.text_message("hello")]}

    async def left(state: Walk) -> dict[str, Any]:
        return {"trail": [f"left {await task('left', world.do, 'left')}"]}

    def right(state: Walk) -> dict[str, Any]:
        return {"trail": [f"right {task_sync('right', world.do, 'right')}"]}

    async def ask(state: Walk) -> dict[str, Any]:
        await task("prepare", world.do, "prepare")
        count = await interrupt("how many?", answer=int)
        return {"trail": [f"ask {count}, {await task('order', world.do, 'order', count)}"]}

    def again(state: Walk) -> Walk:
        state.rounds += 1
        state.trail.append("again")
        if state.rounds == 1:
            state.set_interrupt("again", "look", ExecutionStatus.INTERRUPTED_AFTER)
        return state

    async def inner_ask(state: Walk) -> dict[str, Any]:
        await task("inner", world.do, "inner")
        return {"trail": [await interrupt("inside?", answer=str)]}

    inner = StateGraph(Walk).add_node("inner first", first).add_node("inner ask", inner_ask)
    graph = StateGraph(Walk)
    for name, node in {"first": first, "left": left, "right": right, "ask": ask, "again": again}.items():
        graph.add_node(name, node)
    graph.add_node("inner", inner.compile()).add_node("last", lambda state: {"trail": ["last"]})
    graph.add_edge(START, "first").add_edge("first", "left").add_edge("first", "right").add_edge(
        ["left", "right"], "ask"
    )
    graph.add_edge("ask", "again").add_edge("inner", "last").add_edge("last", END)
    return graph.add_conditional_edges("again", lambda state: "again" if state.rounds < 2 else "inner")


def compiled(world: World, store: BaseCheckpointer) -> CompiledGraph:
    return build(world).compile(store, interrupt_before=["last"])
