"""Connections to SQLite that tell what they were asked to do, and others that get in their way."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any


class Connection(sqlite3.Connection):
    """One that tells what it was asked to do, and can be told to fail."""

    opened: list[Connection] = []
    refused_switches = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.thread = threading.current_thread().name
        self.statements: list[str] = []
        self.failing = ""
        Connection.opened.append(self)

    def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
        self.statements.append(statement)
        if self.failing and statement.startswith(self.failing):
            raise sqlite3.OperationalError("disk I/O error")
        if "journal_mode" in statement and Connection.refused_switches:
            Connection.refused_switches -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(statement, *args)


def of_writer(connections: list[Connection]) -> Connection:
    (connection,) = [one for one in connections if one.thread == "taf-sqlite-writer"]
    return connection


@contextmanager
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else can write meanwhile."""
    with by_hand(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def queued(*work: Any) -> list[asyncio.Task[Any]]:
    """Start pieces of work, as far as they come."""
    tasks = [asyncio.ensure_future(one) for one in work]
    await asyncio.sleep(0)
    return tasks
