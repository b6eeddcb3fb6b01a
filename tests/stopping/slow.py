"""Nodes that take their time, and what is needed to meet a run in the middle of one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any

from taf import AgentState, CompiledGraph, Context, StateGraph
from taf.checkpointer.base import BaseCheckpointer
from taf.state.reducers import append

CONFIG = {"thread_id": "t"}
LEGAL = {"idle", "running", "interrupted_before", "interrupted_after", "stopped", "completed", "error"}


class Trail(AgentState):
    """A state that keeps the names of the nodes that were committed."""

    done: Annotated[list[str], append] = []


class Slow:
    """A node that says when it was entered, and then waits to be stopped."""

    def __init__(self) -> None:
        self.entered, self.left, self.let_go = threading.Event(), threading.Event(), threading.Event()
        self.runs = 0

    async def in_loop(self, state: Trail) -> dict[str, Any]:
        """Wait on the loop, until cancelled or let go."""
        self.runs += 1
        self.entered.set()
        try:
            while not self.let_go.is_set():
                await asyncio.sleep(0.002)
        finally:
            self.left.set()
        return {"done": ["slow"]}

    def in_thread(self, state: Trail, ctx: Context) -> dict[str, Any]:
        """Wait in a thread, until let go or told to stop."""
        self.runs += 1
        self.entered.set()
        while not (self.let_go.is_set() or ctx.stopping):
            time.sleep(0.002)
        self.left.set()
        return {"done": ["slow"]}

    async def until_entered(self) -> None:
        """Wait until the node runs."""
        await until(self.entered.is_set)


def step(name: str) -> Callable[[Trail], dict[str, Any]]:
    """A quick node that leaves its name."""

    async def quick(state: Trail) -> dict[str, Any]:
        return {"done": [name]}

    return quick


def chain(store: BaseCheckpointer | None, *nodes: tuple[str, Any], **options: Any) -> CompiledGraph:
    """Compile nodes in a row."""
    graph = StateGraph(Trail)
    for name, fn in nodes:
        graph.add_node(name, fn)
    return graph.compile(checkpointer=store, **options)


def slow_chain(store: BaseCheckpointer | None, fn: Any, **options: Any) -> CompiledGraph:
    """``first`` → ``slow`` → ``last``."""
    return chain(store, ("first", step("first")), ("slow", fn), ("last", step("last")), **options)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another task or thread does."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
