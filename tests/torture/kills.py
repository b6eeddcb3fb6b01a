"""Kills and freezes workers at random moments, while others go on with what they left.

Run as ``python -m tests.torture.kills FOLDER PLACE KILLS STOPS``; prints its counts as JSON. Half of the workers have a
lease of 15 s, and are killed; the others have a short one, and are killed, or frozen until it is over and thawed.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from taf.errors import StaleOwnerError, ThreadBusyError
from tests.freezing import freeze, thaw
from tests.torture.audit import Audit
from tests.torture.form import percentile
from tests.torture.herd import end_all, fork, kill, report, wait
from tests.torture.log import Line, Log
from tests.torture.tally import call, opened

LONG, SHORT = 15.0, 0.4
EFFECTS = 6
"""So many for each kill that is asked for: some of them are had again, where one was not recorded."""

WORKERS = 4
THREADS = 12
ERA = 50
"""After so many kills, new workers begin new threads: how long one gets stays bounded."""


class Worker(NamedTuple):
    pid: int
    slot: int
    lease: float


class Torture:
    def __init__(self, folder: Path, place: str) -> None:
        self.most_stops = 0
        self.place, self.log = place, Log(folder)
        self.held = mmap.mmap(-1, WORKERS)  # shared with the workers: how many threads each has
        self.workers: list[Worker] = []
        self.frozen: dict[Worker, float] = {}
        self.kills = self.stops = self.late_kills = 0

    # -- the workers -------------------------------------------------------------------------------

    def spawn(self, slot: int) -> None:
        lease = LONG if slot % 2 else SHORT
        self.held[slot] = 0
        seed, era = random.getrandbits(32), self.kills // ERA
        self.workers.append(Worker(fork(lambda: self.work(slot, lease, era, seed)), slot, lease))

    async def work(self, slot: int, lease: float, era: int, seed: int) -> None:
        random.seed(seed)

        def count(more: int) -> None:
            self.held[slot] = max(self.held[slot] + more, 0)

        async with opened(self.place, self.log, lease=lease, count=count) as app:

            async def go() -> None:
                while True:
                    if await self._try(app, f"{era}-{random.randrange(THREADS)}", {}) is None:
                        count(-1)
                    await asyncio.sleep(random.uniform(0, 0.004))

            await asyncio.gather(go(), go())

    async def _try(self, app: Any, thread: str, given: Any) -> bool | None:
        """Run a thread; return False when somebody else does, and None when it was lost to somebody."""
        try:
            await call(app, thread, given)
        except ThreadBusyError:
            return False
        except StaleOwnerError:
            self.log.write("stale", thread)
            return None
        except Exception as error:
            self.log.write("error", thread, repr(error))
        return True

    # -- whoever inherits --------------------------------------------------------------------------

    async def inherit(self, deaths: int, theirs: int) -> None:
        """Ask for the threads of everyone who dies or is frozen, until somebody has them."""
        os.close(theirs)  # else the pipe would never end
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(deaths, "rb")
        )
        owners, lines = dict[str, int](), self.log.following()
        async with opened(self.place, self.log, lease=LONG) as app, asyncio.TaskGroup() as group:
            while dead := int(await reader.readline() or 0):
                for line in lines:
                    if line is None:
                        break
                    note_owner(owners, line)
                for thread in [thread for thread, owner in owners.items() if owner == dead]:
                    del owners[thread]
                    group.create_task(self._take(app, thread))

    async def _take(self, app: Any, thread: str) -> None:
        async with asyncio.timeout(30):
            while await self._try(app, thread, {}) is False:
                await asyncio.sleep(0.002)

    # -- the torture -------------------------------------------------------------------------------

    def run(self, kills: int, stops: int) -> None:
        """Stop and kill; then only kill, so that take-overs are measured which nobody frozen is in the way of.

        On a slow machine it goes on until enough was done between the kills.
        """
        self.most_stops, effects = stops, self.effects()
        reading, writing = os.pipe()
        heir = fork(lambda: self.inherit(reading, writing))
        os.close(reading)
        try:
            for slot in range(WORKERS):
                self.spawn(slot)
            while self.kills < kills or self.late_kills < kills // 2 or next(effects) <= EFFECTS * kills:
                time.sleep(random.uniform(0, 0.05))
                self.thaw(time.monotonic())
                ready = [one for one in self.workers if self.held[one.slot] and one not in self.frozen]
                if ready:
                    self.torment(random.choice(ready), writing)
            self.thaw(float("inf"))
            time.sleep(2 * SHORT)
        finally:
            end_all([one.pid for one in self.workers])
            os.close(writing)
        assert wait(heir) == 0, "the heir failed"

    def effects(self) -> Iterator[int]:
        """Say again and again how many effects there were."""
        found = 0
        for line in self.log.following():
            if line is None:
                yield found
            else:
                found += line.kind == "effect"

    def torment(self, one: Worker, deaths: int) -> None:
        if one.lease == SHORT and self.stops < self.most_stops and random.random() < 0.8:
            freeze(one.pid)
            self.log.write("stop", "", one.pid)
            self.frozen[one] = time.monotonic() + random.uniform(1.2, 2.0) * SHORT
            self.stops += 1
        elif self.stops < self.most_stops and random.random() < 0.6:
            return  # so that both go on for as long
        else:
            self.end(one)
        os.write(deaths, b"%d\n" % one.pid)

    def end(self, one: Worker) -> None:
        self.log.write("kill", "", [one.pid, one.lease])
        kill(one.pid)
        self.kills += 1
        self.late_kills += self.stops >= self.most_stops and not self.frozen
        self.workers.remove(one)
        self.spawn(one.slot)

    def thaw(self, now: float) -> None:
        """Let those go on whose time has come; some are killed instead."""
        for one in [one for one, until in self.frozen.items() if until < now]:
            del self.frozen[one]
            if random.random() < 0.1:
                self.end(one)
            else:
                self.held[one.slot] = 0  # until it has another thread, so that it comes to write what it had
                thaw(one.pid)
            self.log.write("thaw", "", one.pid)


def note_owner(owners: dict[str, int], line: Line) -> None:
    """Follow who has which thread."""
    if line.kind == "grant":
        owners[line.thread] = line.pid
    elif line.kind == "wrote" and line.data[2] and owners.get(line.thread) == line.pid:
        del owners[line.thread]


def take_overs(lines: list[Line]) -> list[float]:
    """Return for each thread of a killed owner with a long lease after how many seconds somebody had it.

    Those that fall into a time when somebody is frozen do not count: on SQLite he may hold the only write lock.
    """
    owners, orphans, found, frozen = dict[str, int](), dict[str, float](), list[float](), 0
    for line in sorted(lines, key=lambda line: line.at):
        if line.kind == "grant" and line.thread in orphans:
            found.append(line.at - orphans.pop(line.thread))
        note_owner(owners, line)
        frozen += {"stop": 1, "thaw": -1}.get(line.kind, 0)
        if frozen:
            orphans.clear()
        elif line.kind == "kill" and line.data[1] == LONG:
            dead = [thread for thread, owner in owners.items() if owner == line.data[0]]
            orphans |= dict.fromkeys(dead, line.at)
    return found


async def audit(torture: Torture) -> dict[str, Any]:
    lines = list(torture.log.lines())
    found = Audit(lines)
    found.owners()
    found.effects()
    found.failures()
    async with opened(torture.place, torture.log, pause=1e-6) as app:
        await found.store(app)
    seconds = take_overs(lines)
    assert not found.details, "\n".join(found.details)
    return {
        **{"kills": len(found.of("kill")), "stops": len(found.of("stop")), "stale": len(found.of("stale"))},
        **found.counts,
        **{"take_overs": len(seconds), "p50": percentile(seconds, 50), "p99": percentile(seconds, 99)},
    }


if __name__ == "__main__":
    folder, place, kills, stops = sys.argv[1:]
    torture = Torture(Path(folder), place)
    torture.run(int(kills), int(stops))
    report(asyncio.run(audit(torture)))
