"""What crowds write to SQLite: the rows of many threads by one statement.

For each statement the driver lets go of the interpreter and has to get it back, which costs more than a small row, and
most where others want it too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from taf.checkpointer.base import Commit, ThreadKey
from taf.checkpointer.sqlite_writing import MOVED, RECORD, Claim, head_of, row_of

IS_ABLE = sqlite3.sqlite_version_info >= (3, 35)
"""Whether this SQLite can update rows from given ones, and say which it did."""

SIZES = (64, 8, 1)
"""How many rows a statement takes: as many as its form has places for. SQLite may allow no more than 999 values."""


class _Statement:
    """A statement over rows of values, in a form for each size."""

    def __init__(self, before: str, columns: int, after: str = "") -> None:
        row = f"({', '.join('?' * columns)})"
        self._forms = {size: f"{before} (VALUES {', '.join([row] * size)}) {after}" for size in SIZES}

    def execute(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> Iterator[sqlite3.Cursor]:
        """Execute it for some of the rows after the other."""
        start = 0
        for size in SIZES:
            while len(rows) - start >= size:
                values = list(chain.from_iterable(rows[start : start + size]))
                yield connection.execute(self._forms[size], values)
                start += size


_KEPT = "iif(given.column11, NULL, {})".format
_MOVE = _Statement(
    f"{MOVED(*[f'given.column{number}' for number in range(5, 10)])},"
    f" owner = {_KEPT('owner')}, lease_until = {_KEPT('given.column10')}, boot_id = {_KEPT('boot_id')} FROM",
    11,
    "AS given WHERE taf_threads.id = given.column1 AND epoch = given.column2 AND head = given.column3"
    " AND owner = given.column4 AND signals = 0 RETURNING taf_threads.id",
)
_CREATE = _Statement(
    "INSERT INTO taf_threads (id, tenant, thread, born, head, status, run_id, updated, graph, revision, epoch, owner,"
    " lease_until, boot_id) SELECT * FROM",
    14,
)
_RECORD = {length: _Statement(f"{into} SELECT * FROM", length) for length, into in RECORD.items()}
_KNOWN = _Statement(
    "SELECT t.tenant, t.thread FROM",
    2,
    "AS given CROSS JOIN taf_threads AS t ON t.tenant = given.column1 AND t.thread = given.column2",
)


def move(connection: sqlite3.Connection, moves: Mapping[int, tuple[str, int, Commit]]) -> set[int]:
    """Write commits that bring nothing but records: for each thread, its owner, the end of its lease, and the commit.

    Return the threads where that was done. Of the others, where a fence refused it or signals wait, nothing is written.
    """
    rows: list[tuple[Any, ...]] = []
    for thread, (owner, lease_until, commit) in moves.items():
        place = (thread, commit.epoch, commit.expected, owner)
        rows.append((*place, *head_of(commit), lease_until, int(commit.is_release)))
    moved = {thread for cursor in _MOVE.execute(connection, rows) for (thread,) in cursor.fetchall()}
    record(connection, [(thread, commit) for thread, (_, _, commit) in moves.items() if thread in moved])
    return moved


def record(connection: sqlite3.Connection, commits: Sequence[tuple[int, Commit]]) -> None:
    """Write the records of commits, each of a thread."""
    rows = [row_of(thread, one) for thread, commit in commits for one in commit.records]
    for length, statement in _RECORD.items():
        for _ in statement.execute(connection, [row for row in rows if len(row) == length]):
            pass


def known(connection: sqlite3.Connection, keys: Sequence[ThreadKey]) -> set[tuple[str, str]]:
    """Return the names of those threads that have a row."""
    return {name for cursor in _KNOWN.execute(connection, keys) for name in cursor.fetchall()}


def create(
    connection: sqlite3.Connection, claims: Sequence[tuple[ThreadKey, str, Claim, Commit]], last_thread: int
) -> None:
    """Make new threads with their owners and first commits, numbered from behind the last one."""
    rows: list[tuple[Any, ...]] = []
    written: list[tuple[int, Commit]] = []
    for number, (key, born, claim, first) in enumerate(claims, last_thread + 1):
        rows.append((number, *key, born, *head_of(first), 1, *claim))
        written.append((number, first))
    for _ in _CREATE.execute(connection, rows):
        pass
    record(connection, written)
