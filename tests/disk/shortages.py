"""A disk that is full, again and again, under a store on which graphs run: they are told, and go on when there is room.

Run as ``python -m tests.disk.shortages FOLDER KIND ROUNDS``; prints its counts as JSON. With the kind "layer" SQLite is
refused the first byte that does not fit, wherever it was to go: into the database, the log, the journal or the shared
memory. With "file system" the folder is one that can be filled.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from taf import CompiledGraph, SqliteCheckpointer
from taf.checkpointer.base import BaseCheckpointer, ThreadKey
from taf.errors import StoreUnavailableError
from tests.disk.ledger import Books, all_records, build, noted, turn
from tests.disk.small import Fillable, RealDisk, SmallDisk
from tests.disk.vfs import layered
from tests.torture.herd import report

THREADS = 4
MOST_ROOM = 60_000
"""How many bytes are left at most when a round begins: a few dozen commits."""


class Shortage:
    """``is_exact``: what was refused is not there. A server that ends may have made it before it could say so."""

    def __init__(self, disk: Fillable, open_store: Callable[[], BaseCheckpointer], *, is_exact: bool = True) -> None:
        self.disk, self._open, self._is_exact = disk, open_store, is_exact
        self.notes = list[Any]()
        self.counts = Counter[str](rounds=0, refused=0, wrong=0, lost=0)
        self.details = list[str]()
        self._threads = [f"t{number}" for number in range(THREADS)]

    def fault(self, what: object) -> None:
        self.counts["wrong"] += 1
        self.details.append(str(what))

    async def run(self, rounds: int, *, most_room: int = MOST_ROOM) -> None:
        chance = Random(3)
        async with self._open() as bare, build().compile(noted(bare, self.notes.append)) as app:
            for thread in self._threads:
                await turn(app, thread, chance)
            for _ in range(rounds):
                self.disk.fill(chance.randrange(most_room))
                await asyncio.gather(*[self._until_full(app, thread, chance) for thread in self._threads])
                await self._look_in()
                self.counts["rounds"] += 1
                self.disk.free()
                await self._settle(app)

    async def _until_full(self, app: CompiledGraph, thread: str, chance: Random) -> None:
        while True:
            try:
                await turn(app, thread, chance)
            except StoreUnavailableError as error:
                self.counts.update(refused=1, **{f"by_{type(error.__cause__).__name__}": 1})
                return None
            except Exception as error:
                return self.fault(f"{thread}: {error!r}")

    async def _look_in(self) -> None:
        """Be another who comes to a full disk: what can be had is right, and else there is an error of ours."""
        async with self._open() as store, build().compile(store) as app:
            for thread in self._threads:
                with suppress(StoreUnavailableError):
                    found = await app.aget_state({"thread_id": thread})
                    self.counts["read"] += 1
                    if found.status == "error":
                        self.fault(f"{thread} has failed")

    async def _settle(self, app: CompiledGraph) -> None:
        """Compare what is stored with what was acknowledged, to the record, and let all go on."""
        books = Books(self.notes)
        lost, wrong = await books.compare(app)
        for thread in self._threads:
            rows = await all_records(app.checkpointer, ThreadKey("", thread))
            if self._is_exact and len(rows) != len(books.acknowledged[thread]):
                wrong.append(f"{thread}: {len(rows)} records, {len(books.acknowledged[thread])} acknowledged")
        wrong += await books.go_on(app)
        self.counts["lost"] += lost
        self.counts["commits"] = books.commits
        for what in wrong:
            self.fault(what)

    def report(self, began: float) -> None:
        seconds = round(time.monotonic() - began, 1)
        report({**self.counts, "refusals": self.disk.refusals, "details": self.details[:5], "seconds": seconds})


async def begin(shortage: Shortage, folder: Path, stride: int) -> None:
    """Make a new database with ever more room: it is made, or it is not, and then it is when there is room."""
    for number in range(1000):
        shortage.disk.fill(stride * number)
        path = folder / f"new{number}.db"
        async with SqliteCheckpointer(path) as store, build().compile(store) as app:
            try:
                await turn(app, "t", Random(number))
            except StoreUnavailableError:
                shortage.counts["begun_too_small"] += 1
                shortage.disk.free()
                await turn(app, "t", Random(number))
            else:
                return
        path.unlink()


def main(folder: Path, kind: str, rounds: int) -> None:
    began = time.monotonic()

    async def play(disk: Fillable) -> None:
        shortage = Shortage(disk, lambda: SqliteCheckpointer(folder / "t.db"))
        await shortage.run(rounds)
        await begin(shortage, folder, 4096 if rounds > 50 else 5 * 4096)
        shortage.report(began)

    if kind == "layer":
        disk = SmallDisk()
        with layered(disk):
            asyncio.run(play(disk))
    else:
        asyncio.run(play(RealDisk(folder)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
