"""Graphs run on a store whose every write is recorded; then the power is cut at hundreds of moments of that record.

Run as ``python -m tests.disk.outages FOLDER IMAGES SYNCHRONOUS``; prints its counts as JSON. Each image is opened by a
new store: what was acknowledged before the cut has to be there, and every thread has to go on.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, closing
from pathlib import Path
from random import Random
from typing import Any, Literal

from taf import CompiledGraph, SqliteCheckpointer
from tests.crash.disk import Hasty, connect_with
from tests.disk.ledger import Books, build, noted, turn
from tests.disk.trace import Trace, image
from tests.disk.vfs import layered
from tests.torture.herd import report

LIVES, TURNS, THREADS = 3, 3, 6
"""The store is closed and opened so many times; each time each thread makes so many passes."""

LEASE = 0.2
"""In seconds: so that the heartbeat, whose own commits are not synced, has much to renew."""

SEED = 20


async def live(path: Path, synchronous: Literal["FULL", "NORMAL"], trace: Trace) -> None:
    """Run threads on two stores at once, each with its own connections, and let some be pruned and deleted."""
    for life in range(LIVES):
        async with AsyncExitStack() as stack:
            apps = list[CompiledGraph]()
            for _ in range(2):
                store = noted(SqliteCheckpointer(path, synchronous=synchronous), trace.note)
                apps.append(build().compile(await stack.enter_async_context(store), lease_seconds=LEASE))
            work = [run(apps[number % 2], f"{life}-{number}", number) for number in range(THREADS)]
            await asyncio.gather(*work)
            kept, gone = f"{life}-0", f"{life}-1"
            await apps[1].aprune({"thread_id": kept}, keep_last=1)
            trace.note(["deleting", gone, None])
            await apps[0].adelete_thread({"thread_id": gone})
            trace.note(["deleted", gone, None])
            await turn(apps[0], kept, Random(life))


async def run(app: CompiledGraph, thread: str, number: int) -> None:
    chance = Random(number)
    for _ in range(TURNS):
        await turn(app, thread, chance)
        await asyncio.sleep(chance.uniform(0, LEASE / 2))


async def inspect(path: Path, books: Books) -> tuple[int, list[str]]:
    """Return how many acknowledged records are lost in an image, and what else is wrong with it."""
    async with SqliteCheckpointer(path) as store, build().compile(store) as app:
        lost, wrong = await books.compare(app)
        if not lost:
            wrong += await books.go_on(app)
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
    if found != [("ok",)]:
        wrong.append(str(found))
    return lost, wrong


def cut(trace: Trace, folder: Path, images: int) -> dict[str, Any]:
    counts, chance = Counter[str](images=0), Random(SEED)
    notes = [number for number, op in enumerate(trace.ops, 1) if op.kind == "note"]
    details = list[str]()
    for number in range(images):
        # One half behind an acknowledgement, where the latest commit has had no time to get to the disk by itself.
        end = chance.choice(notes) if number % 2 else chance.randrange(len(trace.ops))
        found, place = image(trace, end, Random(number)), folder / f"image{number}"
        found.save(place)
        books = Books([op.note for op in trace.ops[:end] if op.kind == "note"])
        lost, wrong = asyncio.run(inspect(place / "t.db", books))
        counts.update(
            images=1,
            commits=books.commits,
            kept=found.kept,
            dropped=found.dropped,
            with_drops=found.dropped > 0,
            with_loss=lost > 0,
            lost=lost,
            wrong=len(wrong),
        )
        if wrong or (lost and len(details) < 3):
            details.append(f"image {number}, cut before {end}: {lost} lost, {wrong[:3]}")
        shutil.rmtree(place)
    return {**counts, "details": details[-6:]}


def main(folder: Path, images: int, synchronous: Literal["FULL", "NORMAL"]) -> None:
    began, trace = time.monotonic(), Trace()
    (folder / "disk").mkdir()
    with layered(trace):
        asyncio.run(live(folder / "disk" / "t.db", synchronous, trace))
    connect_with(Hasty)  # what is left of a power cut can be looked at without waiting for a disk
    counts = cut(trace, folder, images)
    kinds = Counter(op.kind for op in trace.ops)
    report({**kinds, "syncs": len(trace.syncs), **counts, "seconds": round(time.monotonic() - began, 1)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "NORMAL" if sys.argv[3] == "NORMAL" else "FULL")
