"""Sync callers and sync nodes: ``invoke`` from 16 OS threads at once, and what a node in a worker thread costs."""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any

from pydantic import BaseModel

from taf import CompiledGraph, StateGraph

NODES, CALLERS, CALLS, SAMPLES = 20, 16, 20, 7


class Count(BaseModel):
    counter: int = 0
    hops: int = 0


async def bump(state: Count) -> dict[str, Any]:
    return {"counter": state.counter + 1}


def bump_in_thread(state: Count) -> dict[str, Any]:
    """Count the changes from the loop's thread to a worker's: one for each call of a node."""
    is_main = threading.current_thread() is threading.main_thread()
    return {"counter": state.counter + 1, "hops": state.hops + (not is_main)}


def compiled(node: Any) -> CompiledGraph:
    graph = StateGraph(Count)
    for number in range(NODES):
        graph.add_node(f"n{number}", node)
    return graph.compile()


def calls(app: CompiledGraph, tag: str, count: int) -> int:
    hops = 0
    for number in range(count):
        state = app.invoke({}, {"thread_id": f"{tag}-{number}"}).state
        assert state.counter == NODES
        hops += state.hops
    return hops


def together(app: CompiledGraph, tag: str, callers: int) -> float:
    """Return the seconds that so many threads take for their calls."""
    threads = [threading.Thread(target=calls, args=(app, f"{tag}-{n}", CALLS)) for n in range(callers)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin


def main() -> None:
    with compiled(bump) as on_loop, compiled(bump_in_thread) as in_thread:
        hops = calls(in_thread, "warm", 1)
        print(f"a step of a sync node makes {hops / NODES:g} hop to a worker thread, and one back")
        calls(on_loop, "warm", 1)
        rates: dict[str, list[float]] = {}
        for sample in range(SAMPLES):
            for kind, app in (("async", on_loop), ("sync", in_thread)):
                for callers in (1, CALLERS):
                    took = together(app, f"{sample}-{callers}", callers)
                    rates.setdefault(f"{kind} nodes, {callers} callers", []).append(callers * CALLS / took)
        alone = statistics.median(rates["async nodes, 1 callers"])
        for name, found in rates.items():
            rate = statistics.median(found)
            print(
                f"{name:26} {rate:7,.0f} runs/s, {1e6 / rate / NODES:6.1f} µs a step, {rate / alone:.2f} of one caller"
            )


if __name__ == "__main__":
    main()
