"""A graph that answers slowly, and what is said to it."""

from __future__ import annotations

import asyncio
from typing import Any

from taf import AgentState, CompiledGraph, Message, StateGraph, emit
from taf.checkpointer import BaseCheckpointer
from taf.graph import Context

HANG = 20.0
"""Bounds what would otherwise hang, in seconds."""


class Talk(AgentState):
    """A conversation."""


def said(text: str) -> dict[str, Any]:
    """Return input that says something."""
    return {"messages": [Message.text_message(text)]}


def texts(result: Any) -> list[str]:
    """Return all that was said, by anybody."""
    return [message.text() for message in result.messages]


class Slow:
    """Two nodes that answer what was said last; the first one waits until it is let go."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.left: list[str] = []
        self.active = 0
        self.most_active = 0
        self.previous: list[Any] = []
        self.gate = asyncio.Event()

    async def think(self, state: Talk, ctx: Context) -> dict[str, Any]:
        """Show a partial, wait, and answer."""
        text = state.messages[-1].text()
        self.began.append(text)
        self.previous.append((state.previous_context, state.partial_results))
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            emit(f"half of {text}", key="draft")
            await self.gate.wait()
            return {"messages": [Message.text_message(f"answer to {text}", "assistant")]}
        finally:
            self.active -= 1
            self.left.append(text)

    async def close(self, state: Talk) -> None:
        """Be the second step."""

    def app(self, store: BaseCheckpointer | None = None, **options: Any) -> CompiledGraph:
        """Compile it."""
        return StateGraph(Talk).add_node("think", self.think).add_node("close", self.close).compile(store, **options)


async def until(condition: Any) -> None:
    """Wait until something has come true."""
    async with asyncio.timeout(HANG):
        while not condition():
            await asyncio.sleep(0.001)
