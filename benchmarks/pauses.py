"""10,000 paused threads in one process, in memory and in SQLite: what they hold, and how long a pause takes under load.

For Postgres see ``paused_threads.py``.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from taf import BaseCheckpointer, CompiledGraph, InMemoryCheckpointer, SqliteCheckpointer, StateGraph

THREADS, AT_ONCE, PROBES, LOAD = 10_000, 50, 200, 50


class Count(BaseModel):
    counter: int = 0


async def bump(state: Count) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"counter": state.counter + 1}


def compiled(store: BaseCheckpointer, *, pausing: bool) -> CompiledGraph:
    graph = StateGraph(Count)
    for number in range(5):
        graph.add_node(f"n{number}", bump)
    return graph.compile(store, interrupt_before=["n1"] if pausing else ())


def rss_kib() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


async def pause_all(app: CompiledGraph) -> None:
    numbers = iter(range(THREADS))

    async def work() -> None:
        for number in numbers:
            assert (await app.ainvoke({}, {"thread_id": f"{number:05}"})).interrupted

    await asyncio.gather(*[work() for _ in range(AT_ONCE)])


async def latency(app: CompiledGraph, tag: str) -> list[float]:
    """Return the milliseconds from a call to its pause, of one after another."""
    found: list[float] = []
    for number in range(PROBES):
        begin = time.perf_counter()
        assert (await app.ainvoke({}, {"thread_id": f"{tag}-{number}"})).interrupted
        found.append((time.perf_counter() - begin) * 1e3)
    return found


async def under_load(app: CompiledGraph, busy: CompiledGraph) -> list[float]:
    """Do the same while so many other runs are under way all the time."""
    is_over = asyncio.Event()

    async def work(worker: int) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            await busy.ainvoke({}, {"thread_id": f"load-{worker}-{number}"})

    load = [asyncio.create_task(work(worker)) for worker in range(LOAD)]
    found = await latency(app, "loaded")
    is_over.set()
    await asyncio.gather(*load)
    return found


def shown(times: list[float]) -> str:
    return f"p50 {statistics.median(times):.2f} ms, p99 {statistics.quantiles(times, n=100)[-1]:.2f} ms"


async def show(store: BaseCheckpointer) -> None:
    async with store, compiled(store, pausing=True) as app, compiled(store, pausing=False) as busy:
        await app.ainvoke({}, {"thread_id": "warm"})
        gc.collect()
        before, tasks, threads = rss_kib(), len(asyncio.all_tasks()), threading.active_count()
        await pause_all(app)
        gc.collect()
        grown = (rss_kib() - before) * 1024 / THREADS
        print(
            f"{type(store).__name__}: {THREADS:,} paused threads hold {len(asyncio.all_tasks()) - tasks} tasks,", end=""
        )
        print(f" {threading.active_count() - threads} OS threads, {grown:.0f} bytes of memory each")
        print(f"  a pause alone: {shown(await latency(app, 'alone'))}")
        print(f"  beside {LOAD} runs at once: {shown(await under_load(app, busy))}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for store in (InMemoryCheckpointer(), SqliteCheckpointer(Path(folder) / "bench.db")):
            await show(store)


if __name__ == "__main__":
    asyncio.run(main())
