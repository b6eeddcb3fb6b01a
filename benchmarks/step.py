"""CPU microseconds a step of a chain of 100 async no-op nodes, with the default store and with a given one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pydantic import BaseModel

from taf import BaseCheckpointer, InMemoryCheckpointer, StateGraph

NODES = 100


class Count(BaseModel):
    counter: int = 0
    label: str = ""


async def bump(state: Count) -> dict[str, Any]:
    return {"counter": state.counter + 1}


async def measure(store: BaseCheckpointer | None) -> float:
    graph = StateGraph(Count)
    for number in range(NODES):
        graph.add_node(f"n{number}", bump)
    best = float("inf")
    async with graph.compile(checkpointer=store) as app:
        for sample in range(30):
            begin = time.process_time()
            for run in range(10):
                result = await app.ainvoke({"label": "a label"}, {"thread_id": f"{sample}-{run}"})
                assert result.state.counter == NODES
            best = min(best, (time.process_time() - begin) / (10 * NODES))
    return best * 1e6


async def main() -> None:
    own, given = await measure(None), await measure(InMemoryCheckpointer())
    print(f"a step: default store {own:.1f} µs, InMemoryCheckpointer {given:.1f} µs")


if __name__ == "__main__":
    asyncio.run(main())
