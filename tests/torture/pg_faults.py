"""Breaks a journey off at points of its statements, each time in a process and tables of its own; another one goes on.

Run as ``python -m tests.torture.pg_faults FOLDER DSN FAULT STRIDE`` for every so many-th point; prints its counts as
JSON, or fails and says at which point what did not hold.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from taf.checkpointer import PgCheckpointer, ledger
from taf.errors import StoreUnavailableError
from tests.crash.faults import check, fresh, in_child, look
from tests.crash.journey import Files, build, compiled, go_on
from tests.crash.journey import journal as written_events
from tests.torture.herd import report
from tests.torture.pg_points import Fault, Points, kill, lose, refuse
from tests.torture.stopping import check_stopping, inherit_stopping, patiently, travel_stopping

NEVER = 10**9
Travel = Callable[["Attempt"], Coroutine[Any, Any, None]]


class Attempt:
    """One journey: its files, its tables, and where it is broken off."""

    def __init__(self, folder: Path, dsn: str, name: str, at: int, fault: str) -> None:
        self.files, self.at = fresh(folder), at
        self._dsn, self._name, self._fault = dsn, name, fault

    def store(self) -> PgCheckpointer:
        return PgCheckpointer(self._dsn, schema=self._name)

    async def rows(self, table: str) -> int:
        connection = await asyncpg.connect(self._dsn)
        found = await connection.fetchval(f"SELECT count(*) FROM {self._name}.{table}")
        await connection.close()
        return int(found)

    async def broken(self, travel: Travel) -> None:
        """Travel until the fault; write down how many points there were, if the process outlives it."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_show)
        points = Points(self.at, self._to_be(loop), is_of_server=self._fault == "refuse")
        points.hook()
        me = asyncio.current_task()
        assert me is not None
        with suppress(StoreUnavailableError, asyncio.CancelledError):
            await travel(self)
        while me.uncancel():
            pass
        self.files.write("seen", points.seen)

    def _to_be(self, loop: asyncio.AbstractEventLoop) -> Fault:
        def cancel(connection: Any) -> None:
            loop.call_soon_threadsafe(lambda: [one.cancel() for one in asyncio.all_tasks(loop)])

        return {"kill": kill, "lose": lose, "refuse": refuse, "cancel": cancel}[self._fault]


def _show(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Show what asyncio has to say, but for the future that asyncpg leaves when it is cancelled as it connects."""
    if str(context.get("exception")) != "unexpected connection_lost() call":
        loop.default_exception_handler(context)


# --- the journey of tests.crash ---


async def travel_far(attempt: Attempt) -> None:
    files = attempt.files
    async with attempt.store() as store:
        app = compiled(build(files), store, files)
        with suppress(StoreUnavailableError, asyncio.CancelledError):
            await go_on(app, files)
        me = asyncio.current_task()
        while me is not None and me.uncancel():
            pass
        await look(app, files)
        await go_on(app, files, calls=1)
        await app.aclose()


async def inherit_far(attempt: Attempt) -> None:
    files = attempt.files
    async with attempt.store() as store, compiled(build(files), store, files) as app:
        await look(app, files)
        state = await patiently(lambda: go_on(app, files))
        files.write("end", {"state": state, "events": await written_events(app), "ran": files.lines("ledger")})
    files.write("snapshots", await attempt.rows("snapshots"))


def check_far(files: Files, plain: Files) -> None:
    (end,) = plain.lines("end")
    questions = len({reason for reason, _ in plain.lines("questions")})
    check(files, {**end, "questions": questions})


JOURNEYS = {
    "far": (travel_far, inherit_far, check_far),
    "stopping": (travel_stopping, inherit_stopping, check_stopping),
}


def try_each(folder: Path, dsn: str, fault: str, stride: int) -> dict[str, Any]:
    """Return how many points there are, how many were tried, and how many of them were reached."""
    counts: dict[str, Any] = {"fault": fault, "points": 0, "tried": 0, "reached": 0, "snapshots": 0}
    for journey, (travel, inherit, hold) in JOURNEYS.items():

        def attempt(at: int, name: str, travel: Travel = travel, inherit: Travel = inherit) -> tuple[Attempt, int]:
            one = Attempt(folder / name, dsn, f"{fault}_{name}", at, fault)
            status = in_child(lambda: one.broken(travel))
            assert in_child(lambda: inherit(one)) == 0, f"{fault} at {at}: it cannot go on"
            return one, status

        plain, _ = attempt(NEVER, f"{journey}_plain")
        (points,) = plain.files.lines("seen")
        counts["points"] += points
        counts["snapshots"] += sum(plain.files.lines("snapshots"))
        for at in range(1 + points % stride, points + 1, stride):
            found, status = attempt(at, f"{journey}_{at}")
            seen = found.files.lines("seen")
            assert os.WIFSIGNALED(status) == (not seen), f"{fault} at {at}: status {status}"
            counts["tried"] += 1
            counts["reached"] += not seen or seen[0] >= at
            try:
                hold(found.files, plain.files)
            except AssertionError as error:
                raise AssertionError(f"{fault} at {at} of {journey}: {error}") from error
    return counts


if __name__ == "__main__":
    ledger.SNAPSHOT_FLOOR = 200  # so that there are some
    report(try_each(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
