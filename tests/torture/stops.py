"""One process runs threads, another one stops them: how long it takes until the node hears of it, and the caller.

Run as ``python -m tests.torture.stops FOLDER PLACE STOPS VARIANT``; prints its counts as JSON. A variant is ``heard``,
``unlistening`` (Postgres without a session, as behind a pooler) or ``dropped`` (each notification is lost unnoticed).
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from taf import AgentState, CompiledGraph, StateGraph
from taf.checkpointer.base import BaseCheckpointer
from taf.checkpointer.postgres import PgCheckpointer
from taf.checkpointer.postgres_pulse import Pulse
from tests.places import open_store
from tests.torture.form import percentile
from tests.torture.herd import fork, report, wait_all
from tests.torture.log import Log

AT_ONCE = {"heard": 1, "unlistening": 1, "dropped": 1}


class Nothing(AgentState):
    pass


class Runner:
    """Runs the threads; says on a pipe which one has come into its node."""

    def __init__(self, log: Log, said: int) -> None:
        self.log, self.said = log, said

    def compiled(self, store: BaseCheckpointer) -> CompiledGraph:
        async def wait_for_ever(state: Nothing) -> None:
            thread = str(state.execution_meta.thread_id)
            os.write(self.said, f"{thread}\n".encode())
            try:
                await asyncio.sleep(3600)
            finally:
                self.log.write("heard", thread)

        return StateGraph(Nothing).add_node("wait", wait_for_ever).compile(store)

    async def run(self, place: str, variant: str, stops: int) -> None:
        if variant == "dropped":
            Pulse._on_notify = lambda *given: None
        async with opened(place, variant) as store, self.compiled(store) as app:
            numbers = iter(range(stops))

            async def one_after_another() -> None:
                for number in numbers:
                    result = await app.ainvoke({}, {"thread_id": str(number)})
                    self.log.write("ended", str(number), result.status)

            await asyncio.gather(*[one_after_another() for _ in range(AT_ONCE[variant])])

    async def stop(self, place: str, running: int, stops: int) -> None:
        """Stop each thread that is said to run, at a moment that has nothing to do with it."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(running, "rb")
        )
        async with open_store(place) as store, self.compiled(store) as app, asyncio.TaskGroup() as group:
            for _ in range(stops):
                group.create_task(self._stop(app, (await reader.readline()).decode().strip()))

    async def _stop(self, app: CompiledGraph, thread: str) -> None:
        await asyncio.sleep(random.uniform(0, 0.03))
        self.log.write("called", thread)
        status = await app.astop({"thread_id": thread}, "enough")
        self.log.write("answered", thread, [status["ok"], status["was_running"], status["status"]])


def opened(place: str, variant: str) -> BaseCheckpointer:
    return PgCheckpointer(place, statement_cache_size=0) if variant == "unlistening" else open_store(place)


def play(folder: Path, place: str, variant: str, stops: int) -> Log:
    log, (reading, writing) = Log(folder), os.pipe()
    logging.getLogger("taf.checkpointer").setLevel(logging.ERROR)  # that there is no session is meant
    runner = Runner(log, writing)
    children = [fork(lambda: runner.run(place, variant, stops)), fork(lambda: runner.stop(place, reading, stops))]
    wait_all(children)
    return log


def audit(log: Log) -> dict[str, Any]:
    times = {kind: {line.thread: line for line in log.lines() if line.kind == kind} for kind in ("called", "heard")}
    times |= {kind: {line.thread: line for line in log.lines() if line.kind == kind} for kind in ("answered", "ended")}
    called = times["called"]
    good = [thread for thread, line in times["answered"].items() if line.data == [True, True, "stopped"]]
    ended = [thread for thread, line in times["ended"].items() if line.data == "stopped"]
    counts: dict[str, Any] = {"stops": len(called), "seen": len(times["heard"]), "good": len(good), "ended": len(ended)}
    for kind in ("heard", "answered"):
        seconds = [line.at - called[thread].at for thread, line in times[kind].items()]
        counts |= {f"{kind}_p{percent}": percentile(seconds, percent) for percent in (50, 99)}
    return counts


if __name__ == "__main__":
    started = time.monotonic()
    log = play(Path(sys.argv[1]), sys.argv[2], sys.argv[4], int(sys.argv[3]))
    report({"variant": sys.argv[4], **audit(log), "seconds": round(time.monotonic() - started, 1)})
