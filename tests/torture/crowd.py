"""Eight processes call this and that on many threads at once.

Run as ``python -m tests.torture.crowd FOLDER PLACE SECONDS THREADS``; prints its counts as JSON.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from taf import CompiledGraph
from taf.errors import AnswerError, NothingToResumeError, ThreadBusyError, UnknownThreadError
from tests.torture.audit import Audit
from tests.torture.herd import fork, report, wait_all
from tests.torture.log import CALL, Log
from tests.torture.tally import call, opened

PROCESSES, CALLERS = 8, 6
KINDS = ("invoke", "submit", "stop", "stopped", "answer", "look")
REFUSED = (ThreadBusyError, NothingToResumeError, UnknownThreadError, AnswerError)
"""What a call may meet that comes at the wrong moment."""


class Crowd:
    """The callers of one process."""

    def __init__(self, app: CompiledGraph, log: Log, threads: int) -> None:
        self.app, self.log, self.threads = app, log, threads
        self.done = Counter[str]()

    async def run(self, seconds: float) -> None:
        async with asyncio.timeout(seconds + 60), asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._call_until(time.monotonic() + seconds, math.ceil(seconds / PROCESSES)))
        self.log.write("done", "", dict(self.done))

    async def _call_until(self, end: float, times: int) -> None:
        """Call until some moment, and on a busy machine for longer: until each kind of call went well so often."""
        calls = [self.invoke, self.invoke, self.submit, self.stop, self.answer, self.look]
        while time.monotonic() < end or min(self.done[name] for name in KINDS) < times:
            chosen, thread = random.choice(calls), str(random.randrange(self.threads))
            CALL.set(time.monotonic())
            try:
                await chosen(thread)
                self.done[chosen.__name__] += 1
            except REFUSED:
                self.done["refused"] += 1
            except Exception as error:
                self.log.write("error", thread, f"{chosen.__name__}: {error!r}")

    async def invoke(self, thread: str) -> None:
        await call(self.app, thread, random.choice([{}, {"is_asking": True}]))

    async def submit(self, thread: str) -> None:
        await self.app.asubmit(random.choice([{}, {"is_asking": True}]), {"thread_id": thread})

    async def stop(self, thread: str) -> None:
        status = await self.app.astop({"thread_id": thread})
        if status["was_running"]:
            self.done["stopped"] += status["status"] == "stopped"

    async def answer(self, thread: str) -> None:
        await self.app.aresume({"thread_id": thread}, random.randrange(10))

    async def look(self, thread: str) -> None:
        found = await self.app.aget_state({"thread_id": thread})
        trail: list[Any] = found.state.trail
        if trail:
            self.log.write("saw", thread, [len(trail) - 1, trail[-1]])


def crowd(place: str, log: Log, seconds: float, threads: int) -> None:
    async def work() -> None:
        random.seed(os.getpid())
        async with opened(place, log, pause=0.004) as app:
            await Crowd(app, log, threads).run(seconds)

    children = [fork(work) for _ in range(PROCESSES)]
    wait_all(children)


async def audit(place: str, log: Log) -> dict[str, Any]:
    found = Audit(log.lines())
    found.owners()
    found.failures()
    done = Counter[str]()
    for line in found.of("done"):
        done.update(line.data)
    async with opened(place, log, pause=1e-6) as app:
        await found.store(app, has_effects=False)
    assert not found.details, "\n".join(found.details)
    calls = done.total() - done["stopped"]
    return {"processes": len(found.of("done")), "calls": calls, **done, **found.counts}


if __name__ == "__main__":
    log = Log(Path(sys.argv[1]))
    crowd(sys.argv[2], log, float(sys.argv[3]), int(sys.argv[4]))
    report(asyncio.run(audit(sys.argv[2], log)))
