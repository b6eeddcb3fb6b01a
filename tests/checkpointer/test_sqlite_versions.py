"""A file of an older version is brought up to date when it is opened, and loses nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import taf.checkpointer
from taf.checkpointer.base import Cut, Listing, Snapshot, ThreadKey
from taf.checkpointer.sqlite import SqliteCheckpointer
from taf.testing.store.owner import Owner

SQL = Path(taf.checkpointer.__file__).parent / "sql"
KEY = ThreadKey("", "t")


def make_first_version(path: Path) -> None:
    """Make a file as version 1 made it, with a thread of three records."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SQL / "sqlite_0001.sql").read_text(encoding="utf-8"))
        connection.execute(
            "INSERT INTO taf_threads (tenant, thread, born, head, status, run_id, updated)"
            " VALUES ('', 't', 'b', 3, 'completed', 'r', 5.0)"
        )
        for number in (1, 2, 3):
            row = (number, "stepped", "r", float(number), number, b"body")
            connection.execute(
                "INSERT INTO taf_journal (thread, sequence, kind, run_id, at, step, body) VALUES (1, ?, ?, ?, ?, ?, ?)",
                row,
            )
        connection.execute("PRAGMA user_version=1")
        connection.commit()


async def test_a_file_of_the_first_version_is_listed_read_and_pruned(tmp_path: Path) -> None:
    make_first_version(tmp_path / "t.db")
    async with SqliteCheckpointer(tmp_path / "t.db") as store:
        (row,) = await store.threads(listing=Listing(("completed",), graph=""))
        assert (row.thread_id, row.head, row.is_owned) == ("t", 3, False)
        assert [record.sequence for record in await store.read(KEY)] == [1, 2, 3]
        assert await store.base(KEY) is None
        assert await store.prune(Cut(KEY, "b", 3, Snapshot(2, None, (b"base",))))
        stored = await store.load(KEY)
        assert stored is not None
        assert (stored.floor, stored.snapshot) == (2, Snapshot(2, None, (b"base",)))


async def test_a_signal_that_waits_in_an_old_file_is_heard(tmp_path: Path) -> None:
    make_first_version(tmp_path / "t.db")
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        connection.execute("INSERT INTO taf_signals (thread, run_id, kind, body) VALUES (1, 'r', 'stop', x'')")
        connection.commit()
    async with SqliteCheckpointer(tmp_path / "t.db") as store:
        owner = await Owner.of(store, KEY)
        assert [signal.kind for signal in await owner.step(run_id="r")] == ["stop"]
        assert [signal.kind for signal in await owner.release(run_id="r")] == ["stop"]
        assert await (await Owner.of(store, KEY)).step(run_id="r") == ()
