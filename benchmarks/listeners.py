"""What publishers and a stream cost a run: none, one and five of them, and one that is slow, in turns in one run.

An event is a step here, so what a listener adds to a step is its cost for an event. A run is timed up to its last node:
what a slow publisher has not taken by then waits in its buffer, and only the call waits a moment (0.1 s) for it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from taf import BasePublisher, CompiledGraph, Event, StateGraph

NODES, SAMPLES = 100, 25


class Count(BaseModel):
    counter: int = 0


class Counting(BasePublisher):
    """Counts what it gets, after ``pause`` seconds for each."""

    def __init__(self, pause: float = 0) -> None:
        self.count, self.pause = 0, pause

    async def publish(self, event: Event) -> None:
        if self.pause:
            await asyncio.sleep(self.pause)
        self.count += 1


ended = [0.0]
"""When the last node ran."""


async def bump(state: Count) -> dict[str, Any]:
    ended[0] = time.perf_counter()
    return {"counter": state.counter + 1}


def compiled(*publishers: BasePublisher) -> CompiledGraph:
    graph = StateGraph(Count)
    for number in range(NODES):
        graph.add_node(f"n{number}", bump)
    return graph.compile(publisher=publishers or None)


async def invoked(app: CompiledGraph, thread: str) -> None:
    result = await app.ainvoke({}, {"thread_id": thread})
    assert result.state.counter == NODES


async def streamed(app: CompiledGraph, thread: str) -> None:
    chunks = [chunk async for chunk in app.astream({}, {"thread_id": thread})]
    assert len(chunks) > NODES


Listening = tuple[CompiledGraph, Callable[[CompiledGraph, str], Awaitable[None]]]


async def main() -> None:
    slow = Counting(0.001)
    cases: dict[str, Listening] = {
        "nobody": (compiled(), invoked),
        "1 publisher": (compiled(Counting()), invoked),
        "5 publishers": (compiled(*[Counting() for _ in range(5)]), invoked),
        "1 slow publisher": (compiled(slow), invoked),
        "a stream": (compiled(), streamed),
        "a stream and 5 publishers": (compiled(*[Counting() for _ in range(5)]), streamed),
    }
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for sample in range(SAMPLES):
        for name, (app, run) in cases.items():
            begin = time.perf_counter()
            await run(app, f"t{sample}")
            taken[name].append((ended[0] - begin) / NODES * 1e6)
            if app is cases["1 slow publisher"][0]:
                while slow.count < (sample + 1) * NODES:  # nothing is left for the next one's time
                    await asyncio.sleep(0.01)
    alone = statistics.median(taken["nobody"])
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"{name:26} {median:6.1f} µs a step, {median - alone:+6.1f} for its event, ratio {median / alone:.2f}")
    for app, _ in cases.values():
        await app.aclose()


if __name__ == "__main__":
    asyncio.run(main())
