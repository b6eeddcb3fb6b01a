"""The rows of the SQLite database and how they are read: functions that run inside the caller's transaction.

SQLite keeps values of any type in any column. Bytes are cast to BLOB when they are read, and all else is looked at, so
that whatever somebody put into the file arrives as what it should be, or as ``StoreCorruptError``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, NamedTuple, TypeAlias

from taf.checkpointer.base import (
    InterruptRow,
    Known,
    Listing,
    Record,
    Signal,
    Snapshot,
    Stored,
    ThreadKey,
    ThreadRow,
    cursor_of,
    place_of,
)
from taf.errors import StoreCorruptError


class ThreadState(NamedTuple):
    """A thread's row. ``thread`` is its number in the database, ``name`` what its key calls it."""

    thread: int
    born: str
    head: int
    status: str
    run_id: str
    revision: int
    epoch: int
    owner: str | None
    lease_until: int | None
    boot_id: str | None
    name: str
    floor: int = 0
    messages: int = 0
    amendments: int = 0
    signals: int = 0


_STATE = (
    "id, born, head, status, run_id, revision, epoch, owner, lease_until, boot_id, thread, floor, messages, amendments,"
    " signals"
)

_FIND = f"SELECT {_STATE} FROM taf_threads WHERE tenant = ? AND thread = ?"

_FIND_WITH_EPOCH = f"SELECT last + 1, {_STATE} FROM taf_epochs LEFT JOIN taf_threads ON tenant = ? AND thread = ?"

Kinds: TypeAlias = tuple[tuple[type, ...], ...]

_INT, _TEXT, _BYTES = (int,), (str,), (bytes,)
_THREAD: Kinds = (
    *(_INT, _TEXT, _INT, _TEXT, _TEXT, _INT, _INT),
    *((str, NoneType), (int, NoneType), (str, NoneType), _TEXT, _INT, _INT, _INT, _INT),
)
_SNAPSHOT: Kinds = (_INT, (int, NoneType), _BYTES)
_ITEMS: Kinds = (_INT, _BYTES)
_RECORD: Kinds = (_INT, _TEXT, _TEXT, (float,), _BYTES, (bytes, NoneType), _INT)

# -- reading ---------------------------------------------------------------------------------------


def find(connection: sqlite3.Connection, key: ThreadKey) -> ThreadState | None:
    """Return a thread's row."""
    row = connection.execute(_FIND, key).fetchone()
    return None if row is None else ThreadState._make(fitting(row, _THREAD, key.thread))


def find_with_epoch(connection: sqlite3.Connection, key: ThreadKey) -> tuple[ThreadState | None, int]:
    """Return a thread's row, and the next epoch: it is higher than all before, of any thread."""
    epoch, *row = connection.execute(_FIND_WITH_EPOCH, key).fetchone() or (None,)
    if not isinstance(epoch, int):
        raise StoreCorruptError(key.thread, None, "the counter of epochs is lost")
    return None if row[0] is None else ThreadState._make(fitting(row, _THREAD, key.thread)), epoch


def last_epoch(connection: sqlite3.Connection) -> int:
    """Return the highest epoch that was given out, of any thread."""
    (epoch,) = connection.execute("SELECT last FROM taf_epochs").fetchone()
    return int(epoch)


def last_thread(connection: sqlite3.Connection) -> int:
    """Return the highest number that a thread ever had."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'taf_threads'").fetchone()
    return 0 if row is None else int(row[0])


def fitting(row: Sequence[Any], kinds: Kinds, thread: str) -> Sequence[Any]:
    """Return a row whose values are of the types that were written.

    Its cursor has to be exhausted: one that an error holds on to would keep the file open.
    """
    for value, expected in zip(row, kinds, strict=True):
        if type(value) not in expected:
            raise StoreCorruptError(thread, None, f"one of its rows has a {type(value).__name__} in the wrong place")
    return row


def revision(connection: sqlite3.Connection, thread: int) -> int:
    """Return how many changes watchers of a thread could have been told."""
    (number,) = connection.execute("SELECT revision FROM taf_threads WHERE id = ?", (thread,)).fetchone()
    return int(number)


def stored(connection: sqlite3.Connection, state: ThreadState, known: Known | None, *, is_owned: bool) -> Stored:
    """Return what the reader does not know yet of a thread."""
    is_known = known is not None and known.holds(state.born, state.floor, state.head)
    is_all_told = is_known or not (state.head or state.floor)
    found = None if is_all_told else snapshot(connection, state) or base(connection, state)
    start = known.head if known is not None and is_known else found.sequence if found else 0
    grown: Sequence[tuple[int, bytes]] = ()
    if found is not None and found.items_from is not None:
        grown = items(connection, state, found.items_from, found.sequence)
    tail = records(connection, state, start) if start < state.head else ()
    return Stored(
        state.born, state.head, state.status, state.run_id, is_owned, is_known, found, grown, tail, state.floor
    )


def snapshot(connection: sqlite3.Connection, state: ThreadState) -> Snapshot | None:
    """Return the newest snapshot."""
    return _snapshot(connection, state, "taf_snapshots")


def base(connection: sqlite3.Connection, state: ThreadState) -> Snapshot | None:
    """Return what stands in the place of pruned records."""
    return _snapshot(connection, state, "taf_bases") if state.floor else None


def _snapshot(connection: sqlite3.Connection, state: ThreadState, table: str) -> Snapshot | None:
    found = connection.execute(
        f"SELECT sequence, items_from, CAST(body AS BLOB) FROM {table} WHERE thread = ? ORDER BY part",
        (state.thread,),
    )
    rows = [fitting(row, _SNAPSHOT, state.name) for row in found.fetchall()]
    return Snapshot(rows[0][0], rows[0][1], tuple(row[2] for row in rows)) if rows else None


def items(connection: sqlite3.Connection, state: ThreadState, first: int, last: int) -> Sequence[tuple[int, bytes]]:
    """Return the list items of the records from ``first`` to ``last``."""
    rows = connection.execute(
        "SELECT sequence, CAST(items AS BLOB) FROM taf_journal"
        " WHERE thread = ? AND sequence BETWEEN ? AND ? AND items IS NOT NULL ORDER BY sequence",
        (state.thread, first, last),
    )
    return [(row[0], row[1]) for row in rows.fetchall() if fitting(row, _ITEMS, state.name)]


def records(connection: sqlite3.Connection, state: ThreadState, after: int, limit: int = -1) -> Sequence[Record]:
    """Return records whose sequence is above ``after``, oldest first; a negative limit means all."""
    rows = connection.execute(
        "SELECT sequence, kind, run_id, at, CAST(body AS BLOB), CAST(items AS BLOB), step FROM taf_journal"
        " WHERE thread = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        (state.thread, after, limit),
    )
    return [Record._make(fitting(row, _RECORD, state.name)) for row in rows.fetchall()]


def signals(connection: sqlite3.Connection, thread: int, run_id: str) -> Sequence[Signal]:
    """Return what is signalled to a run, or to whoever owns the thread, oldest first."""
    rows = connection.execute(
        "SELECT kind, run_id, CAST(body AS BLOB), id FROM taf_signals WHERE thread = ? AND run_id IN ('', ?)"
        " ORDER BY id",
        (thread, run_id),
    )
    return tuple([Signal._make(row) for row in rows])


def signalled(connection: sqlite3.Connection, after: int) -> tuple[set[int], int]:
    """Return the threads that have signals behind the one numbered ``after``, and the number of the last."""
    rows = connection.execute("SELECT thread, id FROM taf_signals WHERE id > ?", (after,)).fetchall()
    return {thread for thread, _ in rows}, max((number for _, number in rows), default=after)


def _text(column: str) -> str:
    """Select a column of a listing as text: one bad row must not hide the others."""
    return f"CASE typeof({column}) WHEN 'text' THEN {column} ELSE quote({column}) END"


def interrupts(
    connection: sqlite3.Connection, thread: int | None, interrupt_id: str | None, status: str | None
) -> Sequence[InterruptRow]:
    """Return interrupts, newest first. None means any."""
    asked = {"thread = ?": thread, "id = ?": interrupt_id, "status = ?": status}
    wanted = {condition: value for condition, value in asked.items() if value is not None}
    rows = connection.execute(
        f"SELECT {_text('id')}, {_text('status')}, {_text('node')}, CAST(changed AS REAL), CAST(body AS BLOB)"
        " FROM taf_interrupts"
        f" WHERE {' AND '.join(wanted) or 'TRUE'} ORDER BY number DESC",
        tuple(wanted.values()),
    )
    return [InterruptRow._make(row) for row in rows]


def threads(
    connection: sqlite3.Connection,
    tenant: str,
    listing: Listing,
    after: str,
    limit: int,
    is_owned: Callable[[ThreadState], bool],
) -> Sequence[ThreadRow]:
    """List threads that have records."""
    wanted, values = _wanted(listing, after)
    order = "updated DESC, thread DESC" if listing.is_newest_first else "thread"
    rows = connection.execute(
        f"SELECT {_text('thread')}, {_text('status')}, CAST(head AS INTEGER), {_text('run_id')}, CAST(updated AS REAL),"
        f" {_text('graph')}, {_STATE} FROM taf_threads"
        f" WHERE {' AND '.join(['tenant = ?', 'head > 0', *wanted])} ORDER BY {order} LIMIT ?",
        (tenant, *values, limit),
    )
    found = [(ThreadRow(*row[:6]), row[6:]) for row in rows.fetchall()]
    return [
        row._replace(is_owned=_is_owned(state, is_owned), cursor=cursor_of(listing, row.thread_id, row.updated))
        for row, state in found
    ]


def _is_owned(row: Sequence[Any], is_owned: Callable[[ThreadState], bool]) -> bool:
    try:
        return is_owned(ThreadState._make(fitting(row, _THREAD, "")))
    except StoreCorruptError:  # one bad row must not hide the others
        return False


def _wanted(listing: Listing, after: str) -> tuple[list[str], list[Any]]:
    """Return the conditions of a listing, and their values."""
    found: list[tuple[str, Sequence[Any]]] = []
    if listing.status:
        found.append((f"status IN ({', '.join('?' * len(listing.status))})", listing.status))
    if listing.graph is not None:
        found.append(("graph = ?", [listing.graph]))
    if listing.since is not None:
        found.append(("updated >= ?", [listing.since]))
    if listing.before is not None:
        found.append(("updated < ?", [listing.before]))
    if listing.has_mail:
        found.append(("messages > 0", ()))
    if after:
        by_time = listing.is_newest_first
        found.append(("(updated, thread) < (?, ?)", place_of(after)) if by_time else ("thread > ?", [after]))
    return [condition for condition, _ in found], [value for _, values in found for value in values]
