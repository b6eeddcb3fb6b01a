"""Breaks a journey off at every point of every commit, each time in a process of its own; another one goes on.

Run as ``python -m tests.crash.faults FOLDER FAULT``. It prints how many points were tried as JSON, or fails and says at
which point what did not hold. The processes are forked from one that has no threads.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from taf import CompiledGraph, StateGraph
from taf.checkpointer import SqliteCheckpointer, sqlite_worker
from taf.errors import StoreUnavailableError
from tests.crash.disk import Hasty, connect_with
from tests.crash.journey import INNER_STEPS, STEPS, TWICE, Files, build, committed, compiled, go_on, journal
from tests.rounds import SHARE, SHARES

Fault = Callable[[], None]


class Points:
    """Counts the points of the writer's commits: before each transaction, at its end, and behind its COMMIT."""

    def __init__(self, at: int) -> None:
        self.seen, self.at = 0, at
        self.fault: Fault = lambda: None

    def hook(self) -> None:
        points = self

        class Hooked(Hasty):
            writes = False

            def execute(self, statement: str, *given: Any) -> sqlite3.Cursor:
                if statement.startswith("BEGIN"):
                    self.writes = statement == "BEGIN IMMEDIATE"
                points.reach(self.writes and statement in ("BEGIN IMMEDIATE", "COMMIT"))
                cursor = super().execute(statement, *given)
                points.reach(self.writes and statement == "COMMIT")
                return cursor

        connect_with(Hooked)

    def reach(self, is_point: bool) -> None:
        if is_point and threading.current_thread().name != "taf-sqlite-pulse":
            self.seen += 1
            if self.seen == self.at:
                self.fault()


# --- the journey that is broken off ---


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise sqlite3.OperationalError("disk I/O error")


async def travel(graph: StateGraph, files: Files, points: Points, kind: str) -> None:
    """Go until the fault. Where the process survives it, go on for one more call."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None

    def cancel() -> None:
        # By turns the caller alone, and all tasks, as at the end of a loop.
        for one in asyncio.all_tasks() if points.at % 2 else [me]:
            one.cancel()

    points.fault = {"kill": kill, "raise": fail, "cancel": lambda: _post(loop, cancel)}[kind]
    points.hook()
    if points.at // 2 % 2:
        sqlite_worker.PROMPT_SECONDS = -1.0  # each commit in the writer's thread, as with a slow disk
    async with SqliteCheckpointer(files.db) as store:
        app = compiled(graph, store, files)
        with suppress(StoreUnavailableError, asyncio.CancelledError):
            await go_on(app, files)
        while me.uncancel():
            pass
        await look(app, files)
        await go_on(app, files, calls=1)
        await app.aclose()


def _post(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(callback)


async def look(app: CompiledGraph, files: Files) -> None:
    """Write down what is on record, and how much had run until then."""
    files.write("known", [await committed(app, files), len(files.lines("ledger"))])


async def inherit(graph: StateGraph, files: Files) -> None:
    """Go on to the end, and write down how that looks."""
    connect_with(Hasty)
    async with SqliteCheckpointer(files.db) as store, compiled(graph, store, files) as app:
        await look(app, files)
        state = await go_on(app, files)
        files.write("end", {"state": state, "events": await journal(app), "ran": files.lines("ledger")})


# --- what has to hold ---


def check(files: Files, plain: dict[str, Any]) -> None:
    """Compare a journey that was broken off with an undisturbed one."""
    (found,) = files.lines("end")
    assert found["state"] == plain["state"], found["state"]
    for known, ran in files.lines("known"):
        repeated = set(known) & set(found["ran"][ran:]) - TWICE
        assert not repeated, f"{repeated} ran again, and was committed"
    excess = Counter(found["ran"])
    excess.subtract(plain["ran"])
    assert set(excess.values()) <= {0, 1}, excess
    more = {name for name, times in excess.items() if times and not name.startswith("task ")}
    assert any(more <= step for step in [*STEPS, *INNER_STEPS]), f"{more} ran once more than they should"
    assert sum(name.startswith("task ") and times for name, times in excess.items()) <= 1, excess
    questions = {tuple(question) for question in files.lines("questions")}
    assert len(questions) == len({reason for reason, _ in questions}) == plain["questions"], questions
    for events in files.lines("events"):
        assert events == found["events"][: len(events)], "what was read is not how it began"
    told = files.lines("told")
    assert set(told) <= set(found["events"]), "something was told that is not on record"
    assert len(told) == len(set(told)), "something was told twice"


# --- processes ---


def in_child(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    if not (child := os.fork()):
        status = 1
        gc.disable()
        try:
            asyncio.run(work())
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def fresh(folder: Path) -> Files:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return Files(folder)


def undisturbed(graph: StateGraph, folder: Path) -> dict[str, Any]:
    """Make the journey at one go: how it ends, and how many commits it takes as the store's callers count."""
    files = fresh(folder)
    calls = list[int]()

    async def counted() -> None:
        for name in ("acquire", "append", "begin"):
            setattr(SqliteCheckpointer, name, _noted(calls, getattr(SqliteCheckpointer, name)))
        await inherit(graph, files)
        files.write("calls", len(calls))

    assert in_child(counted) == 0
    (plain,) = files.lines("end")
    reasons = {reason for reason, _ in files.lines("questions")}
    return {**plain, "calls": files.lines("calls")[0], "questions": len(reasons)}


def _noted(calls: list[int], method: Any) -> Any:
    def noted(self: SqliteCheckpointer, *args: Any, **options: Any) -> Any:
        calls.append(1)
        return method(self, *args, **options)

    return noted


def try_each(folder: Path, fault: str) -> dict[str, int]:
    graph = build(Files(folder))  # once: the processes inherit it
    plain = undisturbed(graph, folder)
    at, fired = SHARE - SHARES, 0
    is_last = False
    while not is_last:
        at += SHARES
        files, points = fresh(folder), Points(at)

        async def broken(files: Files = files, points: Points = points) -> None:
            await travel(graph, files, points, fault)
            files.write("seen", points.seen)

        status = in_child(broken)
        seen = files.lines("seen")
        assert os.WIFSIGNALED(status) == (not seen), f"{fault} at {at}: status {status}"
        is_last = bool(seen) and seen[0] < at
        fired += not is_last
        assert in_child(lambda files=files: inherit(graph, files)) == 0, f"{fault} at {at}: it cannot go on"
        try:
            check(files, plain)
        except AssertionError as error:
            raise AssertionError(f"{fault} at {at}: {error}") from error
    return {"points": fired, "calls": plain["calls"]}


if __name__ == "__main__":
    print(json.dumps(try_each(Path(sys.argv[1], "now"), sys.argv[2])))
