"""A graph that counts its steps, pays by recorded tasks, and logs what it sees: what was lost or done twice shows."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from taf import AgentState, CompiledGraph, StateGraph, interrupt, task, task_sync
from taf.ids import new_id
from taf.state import append
from tests.places import open_store
from tests.torture.log import CALL, Log, logged


class Tally(AgentState):
    """``trail`` has an entry for each step: its number, and a token that no other step has."""

    trail: Annotated[list[str], append] = []
    is_asking: bool = False


def build(log: Log, pause: float) -> StateGraph:
    """Return nodes of each kind in a row; each takes ``pause`` seconds on average."""

    def enter(state: Tally) -> str:
        if state.trail:
            log.write("saw", _thread(state), [len(state.trail) - 1, state.trail[-1]])
        return f"{_thread(state)}/{len(state.trail)}"

    def paid(key: str) -> str:
        token = new_id()
        log.write("effect", key, [token, CALL.get()])
        return token

    def step(state: Tally, token: str) -> dict[str, Any]:
        return {"trail": [f"{len(state.trail)} {token}"]}

    async def pay(state: Tally) -> dict[str, Any]:
        key = enter(state)
        await asyncio.sleep(random.expovariate(1 / pause))
        token = await task("pay", paid, key)
        log.write("kept", key, token)
        await asyncio.sleep(random.expovariate(1 / pause))
        return step(state, token)

    async def plain(state: Tally) -> dict[str, Any]:
        enter(state)
        await asyncio.sleep(random.expovariate(1 / pause))
        return step(state, new_id())

    async def ask(state: Tally) -> dict[str, Any]:
        enter(state)
        answer = await interrupt("sure?", answer=int) if state.is_asking else 0
        return {**step(state, f"{new_id()} {answer}"), "is_asking": False}

    def book(state: Tally) -> dict[str, Any]:
        key = enter(state)
        token = task_sync("book", paid, key)
        log.write("kept", key, token)
        time.sleep(random.expovariate(1 / pause))
        return step(state, token)

    graph = StateGraph(Tally)
    for name, fn in {"pay": pay, "plain": plain, "ask": ask, "book": book}.items():
        graph.add_node(name, fn)
    return graph


STEPS = 4


def _thread(state: Tally) -> str:
    return str(state.execution_meta.thread_id)


@asynccontextmanager
async def opened(
    place: str, log: Log, *, lease: float = 15.0, pause: float = 0.002, count: Callable[[int], None] = lambda more: None
) -> AsyncIterator[CompiledGraph]:
    """Open the store at a place, which logs and counts, and the graph on it."""
    async with open_store(place) as store:
        logged(store, log, count)
        async with build(log, pause).compile(store, lease_seconds=lease) as app:
            yield app


async def call(app: CompiledGraph, thread: str, given: Any = None) -> Any:
    """Run a thread, by turns in a stream."""
    CALL.set(time.monotonic())
    if random.random() < 0.5:
        return await app.ainvoke(given, {"thread_id": thread})
    async for _ in app.astream(given, {"thread_id": thread}):
        pass
    return None
