"""Crashes and starves a writer at every point of its commits, each time in a process of its own.

Run as ``python crashes.py FOLDER POINT``. It prints how many points were tried as JSON, or fails saying at which point
the store did not hold. The processes are forked from one that has no threads.
"""

import asyncio
import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taf.checkpointer.base import Commit, InterruptRow, Record, Snapshot, ThreadKey
from taf.checkpointer.sqlite import SqliteCheckpointer
from taf.errors import StoreUnavailableError

KEY = ThreadKey("", "thread")
NEVER = 10**9
WRITES = 3
BIG = b"x" * 6000


def commit_number(number: int, epoch: int) -> Commit:
    """The commits that are tried: each has all that one can have, and the last one releases."""
    head = 2 * (number - 1)
    records = [
        Record(head + 1, "step", "run", 1.0, BIG, b"items"),
        Record(head + 2, "step", "run", 1.0, b"%d" % number),
    ]
    rows = [
        InterruptRow("open", f"status {number}", "ask", 1.0, BIG),
        InterruptRow(f"{number}", "open", "ask", 1.0, b""),
    ]
    snapshot = Snapshot(head + 2, 1, (b"head %d" % number, BIG))
    return Commit(KEY, epoch, head, records, f"status {number}", "run", rows, snapshot, number == WRITES)


async def write(path: Path, acknowledge: Callable[[int], None], before: Callable[[int], None]) -> None:
    store = SqliteCheckpointer(path)
    grant = await store.acquire(KEY, lease_seconds=15)
    assert grant is not None
    for number in range(1, WRITES + 1):
        before(number)
        await store.append(commit_number(number, grant.epoch))
        acknowledge(number)
    await store.aclose()


async def look(path: Path) -> list[Any]:
    """All that is stored, after proving that a new owner can take over at once and write."""
    async with SqliteCheckpointer(path) as store:
        stored = await store.load(KEY)
        rows = sorted(await store.interrupts())
        records = [(record.sequence, len(record.body)) for record in await store.read(KEY)]
        grant = await store.acquire(KEY, lease_seconds=15)
        assert grant is not None
        head = grant.stored.head
        await store.append(Commit(KEY, grant.epoch, head, [Record(head + 1, "step", "run", 1.0, b"")], "heir", "run"))
        if stored is None:
            return [0, "", records, None, rows]
        assert len(stored.tail) == 0
        return [stored.head, stored.status, records, stored.snapshot and stored.snapshot.parts[0], rows]


def expected(number: int) -> list[Any]:
    """What is stored when so many commits are."""
    if not number:
        return [0, "", [], None, []]
    last, rows, records = commit_number(number, 0), {}, []
    for commit in (commit_number(one, 0) for one in range(1, number + 1)):
        rows |= {row.id: row for row in commit.interrupts}
        records += [(record.sequence, len(record.body)) for record in commit.records]
    return [2 * number, last.status, records, b"head %d" % number, sorted(rows.values())]


def in_child(work: Callable[[Callable[[bytes], object]], None]) -> tuple[int, bytes]:
    """Do work in a forked process; return its status and what it said."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        status = 1
        try:
            work(lambda said: os.write(writing, said))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    return os.waitpid(child, 0)[1], said


def check(path: Path, acknowledged: int, where: str) -> int:
    """Return how many commits are stored: what was acknowledged, and perhaps the one that was under way."""

    def work(say: Callable[[bytes], object]) -> None:
        found = asyncio.run(look(path))
        numbers = [number for number in range(WRITES + 1) if found == expected(number)]
        say(b"%d" % numbers[0] if numbers else repr(found)[:2000].encode())

    status, said = in_child(work)
    assert status == 0, f"{where}: could not be read"
    assert said in (b"%d" % acknowledged, b"%d" % (acknowledged + 1)), f"{where}: {acknowledged} told, found {said!r}"
    return int(said)


# --- killed at the k-th statement, or at the k-th instruction of SQLite's machine ---


def count_down(point: str, left: int, say: Callable[[bytes], object]) -> None:
    """Make the writer's connections kill the process when the point is reached for the ``left``-th time."""
    connect: Any = sqlite3.connect
    ticks = 0

    def tick(*_: object) -> None:
        nonlocal ticks
        ticks += 1
        if ticks == left:
            os.kill(os.getpid(), signal.SIGKILL)

    def hooked(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        if threading.current_thread().name == "taf-sqlite-writer":
            if point == "statement":
                connection.set_trace_callback(tick)
            else:
                connection.set_progress_handler(tick, 1)
        return connection

    sqlite3.connect = hooked

    def acknowledge(number: int) -> None:
        say(b"ticks %d\n" % ticks if left == NEVER else b".")

    asyncio.run(write(Path(sys.argv[1], "now.db"), acknowledge, lambda number: None))


def kill_at_each(folder: Path, point: str, stride: int) -> dict[str, int]:
    fresh(folder)
    _, said = in_child(lambda say: count_down(point, NEVER, say))
    last = int(said.split()[-1])
    kills, stored = 0, set()
    for left in range(1, last + 1, stride):
        path = fresh(folder)
        status, said = in_child(lambda say, left=left: count_down(point, left, say))
        kills += os.WIFSIGNALED(status)
        stored.add(check(path, len(said), f"{point} {left}"))
    assert stored >= set(range(WRITES)), stored
    return {"points": len(range(1, last + 1, stride)), "kills": kills}


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder / "now.db"


# --- torn: no more bytes can be written to the log behind a point, and the process dies or goes on ---


def starve(limit: int, number: int, *, is_killed: bool, say: Callable[[bytes], object]) -> None:
    path = Path(sys.argv[1], "now.db")
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if is_killed else signal.SIG_IGN)

    def before(now: int) -> None:
        if now == number:
            size = os.path.getsize(f"{path}-wal")
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + limit, resource.RLIM_INFINITY))

    try:
        asyncio.run(write(path, lambda number: say(b"."), before))
    except StoreUnavailableError:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        say(b"!")


def starve_at_each(folder: Path, *, is_killed: bool) -> dict[str, int]:
    points = failures = 0
    for number in range(1, WRITES + 1):
        for limit in range(0, 1_000_000, 3_001):
            path = fresh(folder)
            status, said = in_child(
                lambda say, limit=limit, number=number: starve(limit, number, is_killed=is_killed, say=say)
            )
            failed = os.WIFSIGNALED(status) if is_killed else said.endswith(b"!")
            points, failures = points + 1, failures + failed
            told = said.count(b".")
            found = check(path, told, f"commit {number}, {limit} bytes")
            assert is_killed or found == told, f"commit {number}, {limit} bytes: refused and yet stored"
            if not failed:
                break
    return {"points": points, "failures": failures}


POINTS: dict[str, Callable[[Path], dict[str, int]]] = {
    "statement": lambda folder: kill_at_each(folder, "statement", 1),
    "instruction": lambda folder: kill_at_each(folder, "instruction", 23),
    "torn write": lambda folder: starve_at_each(folder, is_killed=True),
    "refused write": lambda folder: starve_at_each(folder, is_killed=False),
}

if __name__ == "__main__":
    print(json.dumps(POINTS[sys.argv[2]](Path(sys.argv[1]))))
