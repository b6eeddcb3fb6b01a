"""10,000 paused threads in Postgres: what they cost a process that opens the store, and how long it takes to claim one.

``paused_threads.py [--postgres [DSN]]``: without a DSN on a server that is started for it.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import threading
import time

import asyncpg
from on_postgres import database, wanted

from taf import AgentState, CompiledGraph, Message, PgCheckpointer, StateGraph
from taf.checkpointer.base import Listing, ThreadKey

THREADS, AT_ONCE, CLAIMS = 10_000, 20, 200
CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


async def publish(state: AgentState) -> None:
    """Never gets here, but for those that are claimed."""


def compiled(store: PgCheckpointer) -> CompiledGraph:
    return StateGraph().add_node("publish", publish).compile(store, interrupt_before=["publish"])


async def pause_all(dsn: str) -> None:
    async with PgCheckpointer(dsn) as store, compiled(store) as app:
        numbers = iter(range(THREADS))

        async def work() -> None:
            for number in numbers:
                await app.ainvoke({"messages": [Message.text_message("please publish")]}, {"thread_id": f"{number:05}"})

        await asyncio.gather(*[work() for _ in range(AT_ONCE)])


def rss_kb() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


async def open_afterwards(dsn: str) -> None:
    """Print what a process has to pay that did not pause them. Run in one of its own."""
    admin = await asyncpg.connect(dsn)
    async with PgCheckpointer(dsn) as store, compiled(store) as app:
        await app.ainvoke({}, {"thread_id": "warm"})
        await app.ainvoke(None, {"thread_id": "warm"})
        before = rss_kb()
        begin = time.perf_counter()
        shown = await store.threads(listing=Listing(("interrupted_before",)), limit=100)
        listed = (time.perf_counter() - begin) * 1e3
        assert len(shown) == 100
        claims: list[float] = []
        passes: list[float] = []
        for number in range(CLAIMS):
            key = ThreadKey("", f"{number * (THREADS // CLAIMS):05}")
            begin = time.perf_counter()
            grant = await store.acquire(key, lease_seconds=15, create=False)
            claims.append((time.perf_counter() - begin) * 1e3)
            assert grant is not None
            store.abandon(key, grant.epoch)
        for number in range(CLAIMS):
            begin = time.perf_counter()
            done = await app.ainvoke(None, {"thread_id": f"{number * (THREADS // CLAIMS) + 1:05}"})
            passes.append((time.perf_counter() - begin) * 1e3)
            assert done.status == "completed"
        grown = rss_kb() - before
        begin = time.perf_counter()
        assert len(await store.interrupts(status="open")) == THREADS - CLAIMS
        all_open = (time.perf_counter() - begin) * 1e3
        print(f"{THREADS:,} paused threads, seen by a process that opens the store afterwards:")
        print(f"  connections {await admin.fetchval(CONNECTIONS)}, OS threads {threading.active_count()}", end="")
        print(f", tasks {len(asyncio.all_tasks())}, RSS grown by {grown * 1024 / THREADS:.0f} bytes a thread")
        print(f"  a page of 100: {listed:.1f} ms; all open interrupts: {all_open:.0f} ms")
        print(f"  claim one: p50 {statistics.median(claims):.2f} ms; resume one to its end: p50", end="")
        print(f" {statistics.median(passes):.2f} ms")
    await admin.close()


def main() -> None:
    if "--open" in sys.argv:
        asyncio.run(open_afterwards(sys.argv[-1]))
        return
    import subprocess

    with database(wanted() or "") as dsn:
        begin = time.perf_counter()
        asyncio.run(pause_all(dsn))
        print(f"paused in {time.perf_counter() - begin:.0f} s, {AT_ONCE} at once")
        subprocess.run([sys.executable, __file__, "--open", dsn], check=True)


if __name__ == "__main__":
    main()
