"""A state that remembers who ran, and nodes that say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from taf.graph import StateGraph
from taf.state import AgentState, append


class Trail(AgentState):
    """``trail`` is joined, ``last`` is replaced."""

    trail: Annotated[list[str], append] = []
    last: str = ""
    number: int = 0


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
