"""Graphs whose state says which nodes ran, in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from taf import END, START, AgentState, InMemoryCheckpointer, StateGraph, interrupt
from taf.checkpointer.base import Commit, Signal
from taf.state import append


class Trail(AgentState):
    """``trail`` takes a name for each node that ran; ``note`` is for what humans change."""

    trail: Annotated[list[str], append] = []
    note: str = ""


class Slow(InMemoryCheckpointer):
    """A store whose commits take a moment, in which they can be torn in two by a cancellation."""

    async def append(self, commit: Commit) -> Sequence[Signal]:
        await asyncio.sleep(0.005)
        return await super().append(commit)


def step(name: str, *, is_async: bool = True) -> Callable[[Trail], Any]:
    """Return a node that leaves its name on the trail."""

    async def walk(state: Trail) -> dict[str, Any]:
        return {"trail": [name]}

    def walk_sync(state: Trail) -> dict[str, Any]:
        return {"trail": [name]}

    return walk if is_async else walk_sync


def row(*names: str, nodes: Mapping[str, Any] = {}, is_async: bool = True) -> StateGraph:
    """Return a graph of nodes one behind the other; ``nodes`` holds those that do more than leave their name."""
    graph = StateGraph(Trail)
    for name in names:
        graph.add_node(name, nodes.get(name) or step(name, is_async=is_async))
    return graph


def fan(*branches: str, nodes: Mapping[str, Any] = {}, is_async: bool = True) -> StateGraph:
    """Return a graph: ``start``, then the branches side by side, then ``end``."""
    graph = StateGraph(Trail)
    for name in ("start", *branches, "end"):
        graph.add_node(name, nodes.get(name) or step(name, is_async=is_async))
    graph.add_edge(START, "start")
    for name in branches:
        graph.add_edge("start", name).add_edge(name, "end")
    return graph.add_edge("end", END)


def loop(name: str, rounds: int, *, node: Any = None) -> StateGraph:
    """Return a graph whose one node runs so many times."""
    graph = StateGraph(Trail).add_node(name, node or step(name)).set_entry_point(name)
    return graph.add_conditional_edges(name, lambda state: name if len(state.trail) < rounds else END)


def asking(name: str, *questions: str, answer: Any = None) -> Callable[[Trail], Any]:
    """Return a node that asks some questions and puts its name and the answers on the trail."""

    async def ask(state: Trail) -> dict[str, Any]:
        answers = [await interrupt(question, answer=answer) for question in questions]
        return {"trail": [":".join([name, *map(str, answers)])]}

    return ask
