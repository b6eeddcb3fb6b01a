"""A state that remembers who ran, and nodes that say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from taf.graph import StateGraph
from taf.state import AgentState, append


class Trail(AgentState):
    """``trail`` is joined, ``last`` is replaced."""

    trail: Annotated[list[str], append] = []
    last: str = ""
    number: int = 0


class Slow:
    """Two nodes, of which the second does not end while ``is_slow``. ``runs`` holds who ran."""

    def __init__(self) -> None:
        self.entered, self.is_slow = asyncio.Event(), True
        self.runs: list[str] = []

    def graph(self) -> StateGraph:
        """Return first → second."""
        return StateGraph(Trail).add_sequence([self.first, self.second]).set_entry_point("first")

    async def first(self, state: Trail) -> dict[str, Any]:
        self.runs.append("first")
        return {"trail": "first"}

    async def second(self, state: Trail) -> dict[str, Any]:
        self.runs.append("second")
        self.entered.set()
        if self.is_slow:
            await asyncio.Event().wait()
        return {"trail": "second"}


def visit(name: str) -> Callable[[Trail], Any]:
    """Return an async node that leaves its name."""

    async def node(state: Trail) -> dict[str, Any]:
        return {"trail": name}

    return node


def visit_sync(name: str) -> Callable[[Trail], Any]:
    """Return a sync node that leaves its name."""

    def node(state: Trail) -> dict[str, Any]:
        return {"trail": name}

    return node


def graph_of(*names: str, model: type[AgentState] = Trail) -> StateGraph:
    """Return a graph with nodes that leave their names, without edges."""
    graph = StateGraph(model)
    for name in names:
        graph.add_node(name, visit(name))
    return graph
