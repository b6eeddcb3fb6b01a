from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taf import (
    END,
    START,
    AgentState,
    CompiledGraph,
    ExecutionStatus,
    Message,
    RunResult,
    StateGraph,
)
from taf.checkpointer import BaseCheckpointer

HANG = 10


def sequence(*nodes: tuple[str, Callable[..., Any]]) -> StateGraph:
    graph = StateGraph()
    for name, node in nodes:
        graph.add_node(name, node)
    return graph


def texts(result: RunResult) -> list[str]:
    return [message.text() for message in result.messages]


async def last_result(store: BaseCheckpointer, thread_id: str) -> RunResult:
    """How a thread of the approval workflow stands: the app that ran it is out of reach."""
    app = sequence(*[(name, lambda state: None) for name in ("ANALYZE_REQUEST", "EXECUTE_ACTION", "FINALIZE")])
    async with app.compile(checkpointer=store) as reader:
        return await reader.ajoin({"thread_id": thread_id})


async def forever() -> None:
    await asyncio.Event().wait()


def approval_names(nodes: Nodes) -> dict[str, Any]:
    return {
        "analyze_user_request": nodes("ANALYZE_REQUEST"),
        "execute_user_action": nodes("EXECUTE_ACTION"),
        "finalize_action": nodes("FINALIZE"),
    }


@pytest.fixture
def names(store: BaseCheckpointer) -> dict[str, Any]:
    """What a block imports elsewhere in the document. The checkpointer that it asks for is the store under test."""
    return {
        "StateGraph": StateGraph,
        "START": START,
        "END": END,
        "AgentState": AgentState,
        "Message": Message,
        "ExecutionStatus": ExecutionStatus,
        "InMemoryCheckpointer": lambda: store,
    }


class Nodes:
    """Makes nodes that say their name, and remembers which of them ran."""

    def __init__(self, is_async: bool) -> None:
        self.ran: list[str] = []
        self._is_async = is_async

    def __call__(self, name: str) -> Callable[[AgentState], Any]:
        def node(state: AgentState) -> Message:
            self.ran.append(name)
            return Message.text_message(f"{name} done", role="assistant")

        async def async_node(state: AgentState) -> Message:
            return node(state)

        return async_node if self._is_async else node


@pytest.fixture(params=["sync", "async"])
def nodes(request: pytest.FixtureRequest) -> Nodes:
    return Nodes(request.param == "async")


class Human:
    """Stands in for ``input()``: gives the answers in order, and keeps the questions."""

    def __init__(self, *answers: str) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    def __call__(self, question: str = "") -> str:
        self.asked.append(question)
        return self._answers.pop(0)


@pytest.fixture
def transaction(store: BaseCheckpointer, nodes: Nodes) -> Iterator[CompiledGraph]:
    graph = sequence(("CHECK", nodes("CHECK")), ("TRANSFER", nodes("TRANSFER")))
    with graph.compile(checkpointer=store, interrupt_before=["TRANSFER"]) as app:
        yield app
