"""What the SQLite store writes: functions that run inside the caller's transaction.

Most commits find no signal. The thread's row counts those that wait, so that the statement which moves the head finds
that out as well; only where there are some are they looked for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from taf.checkpointer.base import Commit, Cut, InterruptRow, Record, Row, Signal, Snapshot, ThreadKey
from taf.checkpointer.sqlite_rows import ThreadState, signals
from taf.ids import new_id


class Claim(NamedTuple):
    """What an owner writes into the thread's row."""

    epoch: int
    owner: str
    lease_until: int
    boot_id: str


# -- owning ----------------------------------------------------------------------------------------

MOVED = (
    "UPDATE taf_threads SET head = {}, status = {}, run_id = {}, updated = coalesce({}, updated),"
    " graph = coalesce(nullif({}, ''), graph), revision = revision + 1"
).format
"""What a commit changes in its thread's row, given the places of ``head_of``."""

_HEAD = MOVED(*"?????")
_CLAIM = "epoch = ?, owner = ?, lease_until = ?, boot_id = ?"
_RELEASE = "owner = NULL, lease_until = NULL, boot_id = NULL, signals = 0"

_BEGIN = f"{_HEAD}, {_CLAIM} WHERE id = ?"
_TAKE = f"UPDATE taf_threads SET {_CLAIM} WHERE id = ?"
_GIVE_BACK = f"UPDATE taf_threads SET {_RELEASE} WHERE id = ? AND epoch = ? AND owner = ?"


def create(connection: sqlite3.Connection, key: ThreadKey) -> ThreadState:
    """Make a thread without records and owner, and return its row."""
    born = new_id()
    cursor = connection.execute("INSERT INTO taf_threads (tenant, thread, born) VALUES (?, ?, ?)", (*key, born))
    return ThreadState(int(cursor.lastrowid or 0), born, 0, "idle", "", 0, 0, None, None, None, key.thread)


def take(connection: sqlite3.Connection, state: ThreadState, claim: Claim) -> None:
    """Make somebody the owner of a thread."""
    count_epochs(connection)
    connection.execute(_TAKE, (*claim, state.thread))
    _forget_last_owner(connection, state)


def begin(connection: sqlite3.Connection, state: ThreadState, claim: Claim, first: Commit) -> Sequence[Signal]:
    """Do that, and write the first commit with it; return the signals that wait for its run."""
    count_epochs(connection)
    connection.execute(_BEGIN, (*head_of(first), *claim, state.thread))
    _forget_last_owner(connection, state)
    _put(connection, state.thread, first)
    return signals(connection, state.thread, first.run_id) if state.signals else ()


def count_epochs(connection: sqlite3.Connection, number: int = 1) -> None:
    """Note that so many epochs are given out."""
    connection.execute("UPDATE taf_epochs SET last = last + ?", (number,))


def _forget_last_owner(connection: sqlite3.Connection, state: ThreadState) -> None:
    """Drop what was said to whoever owned it before; a signal to a run stays, should that run be continued."""
    if state.signals:
        cursor = connection.execute("DELETE FROM taf_signals WHERE thread = ? AND run_id = ''", (state.thread,))
        connection.execute("UPDATE taf_threads SET signals = signals - ? WHERE id = ?", (cursor.rowcount, state.thread))


def renew(connection: sqlite3.Connection, thread: int, epoch: int, owner: str, lease_until: int) -> bool:
    """Move the end of a lease; return False when it was lost."""
    cursor = connection.execute(
        "UPDATE taf_threads SET lease_until = ? WHERE id = ? AND epoch = ? AND owner = ?",
        (lease_until, thread, epoch, owner),
    )
    return cursor.rowcount == 1


def release(connection: sqlite3.Connection, thread: int, epoch: int, owner: str) -> None:
    """Give a thread back and drop its signals, and it too when it is empty. Nothing happens when it was lost."""
    if connection.execute(_GIVE_BACK, (thread, epoch, owner)).rowcount == 1:
        _drop_signals(connection, thread)
        sweep(connection, thread)


def sweep(connection: sqlite3.Connection, thread: int) -> None:
    """Remove a thread that nobody owns, without records and messages."""
    connection.execute(
        "DELETE FROM taf_threads WHERE id = ? AND head = 0 AND messages = 0 AND owner IS NULL", (thread,)
    )


# -- commits ---------------------------------------------------------------------------------------

# The fence and the new head in one statement: nobody can come in between.
_FENCE = "WHERE id = ? AND epoch = ? AND head = ? AND owner = ?"
_QUIETLY = "AND signals = 0"
_UNLESS_AMENDED = "AND amendments = ?"
_MOVE = f"{_HEAD}, lease_until = ? {_FENCE}"
_MOVE_QUIETLY = f"{_MOVE} {_QUIETLY}"
_LEAVE = f"{_HEAD}, {_RELEASE} {_FENCE}"
_LEAVE_QUIETLY = f"{_LEAVE} {_QUIETLY}"

RECORD = {
    7: "INSERT INTO taf_journal (thread, sequence, kind, run_id, at, step, body)",
    8: "INSERT INTO taf_journal (thread, sequence, kind, run_id, at, step, body, items)",
}
"""What takes the rows of ``row_of``, by their length."""

_RECORD = {length: f"{into} VALUES ({', '.join('?' * length)})" for length, into in RECORD.items()}


def write(
    connection: sqlite3.Connection, thread: int, owner: str, lease_until: int, commit: Commit
) -> Sequence[Signal] | None:
    """Write all of a commit, and its release. Return the signals of its run, or None, with nothing written.

    That is when the fence refuses it. An empty thread that is released is left to ``sweep``.
    """
    values: tuple[Any, ...] = (thread, commit.epoch, commit.expected, owner)
    if commit.is_release:
        move, quietly, values = _LEAVE, _LEAVE_QUIETLY, (*head_of(commit), *values)
    else:
        move, quietly, values = _MOVE, _MOVE_QUIETLY, (*head_of(commit), lease_until, *values)
    if commit.taken is not None and commit.taken.amendments is not None:
        move, quietly = f"{move} {_UNLESS_AMENDED}", f"{quietly} {_UNLESS_AMENDED}"
        values = (*values, commit.taken.amendments)
    is_quiet = connection.execute(quietly, values).rowcount == 1
    if not is_quiet and connection.execute(move, values).rowcount != 1:
        return None
    _put(connection, thread, commit)
    if is_quiet:
        return ()
    waiting = signals(connection, thread, commit.run_id)
    if commit.is_release:
        _drop_signals(connection, thread)
    return waiting


_STEP = f"UPDATE taf_threads SET head = ?, updated = ?, revision = revision + 1, lease_until = ? {_FENCE} {_QUIETLY}"


def write_step(
    connection: sqlite3.Connection, thread: int, owner: str, epoch: int, expected: int, lease_until: int, record: Row
) -> bool:
    """Write a record of a run that goes on. False, with nothing written, for the fence or a signal that waits."""
    values = (record[0], record[3], lease_until, thread, epoch, expected, owner)
    if connection.execute(_STEP, values).rowcount != 1:
        return False
    row = row_of(thread, record)
    connection.execute(_RECORD[len(row)], row)
    return True


def head_of(commit: Commit) -> tuple[int, str, str, float | None, str]:
    """Return what a thread's row tells of its last commit.

    The driver takes plain ints, floats, strings and bytearrays as they are. For all else, None and bytes too, it looks
    for somebody who adapts them, each time anew: a twentieth of a small commit.
    """
    written = commit.records
    head, at = (written[-1].sequence, written[-1].at) if written else (commit.expected, None)
    return head, str(commit.status), commit.run_id, at, commit.graph


def row_of(thread: int, record: Record | Row) -> tuple[Any, ...]:
    """Return a record's row in the journal. One without items has no place for them: see ``head_of``."""
    sequence, kind, run_id, at, body, items, step = record
    row = (thread, sequence, kind, run_id, at, step, bytearray(body))
    return row if items is None else (*row, bytearray(items))


def _put(connection: sqlite3.Connection, thread: int, commit: Commit) -> None:
    """Write what a commit brings for other tables."""
    for record in commit.records:
        row = row_of(thread, record)
        connection.execute(_RECORD[len(row)], row)
    if commit.interrupts:
        _write_interrupts(connection, thread, commit.interrupts)
    if commit.snapshot is not None:
        _replace_snapshot(connection, thread, commit.snapshot)


def _write_interrupts(connection: sqlite3.Connection, thread: int, rows: Sequence[InterruptRow]) -> None:
    connection.executemany(
        "INSERT INTO taf_interrupts (thread, id, status, node, changed, body) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET thread = excluded.thread, status = excluded.status, node = excluded.node,"
        " changed = excluded.changed, body = excluded.body",
        [(thread, *row) for row in rows],
    )


def _replace_snapshot(
    connection: sqlite3.Connection, thread: int, snapshot: Snapshot | None, table: str = "taf_snapshots"
) -> None:
    connection.execute(f"DELETE FROM {table} WHERE thread = ?", (thread,))
    if snapshot is not None:
        connection.executemany(
            f"INSERT INTO {table} (thread, part, sequence, items_from, body) VALUES (?, ?, ?, ?, ?)",
            [(thread, part, snapshot.sequence, snapshot.items_from, body) for part, body in enumerate(snapshot.parts)],
        )


# -- what others write -----------------------------------------------------------------------------


def leave(connection: sqlite3.Connection, thread: int, signal: Signal) -> None:
    """Leave a signal. The revision is what makes watchers look, their number what makes the owner."""
    connection.execute(
        "INSERT INTO taf_signals (thread, run_id, kind, body) VALUES (?, ?, ?, ?)",
        (thread, signal.run_id, signal.kind, signal.body),
    )
    connection.execute("UPDATE taf_threads SET revision = revision + 1, signals = signals + 1 WHERE id = ?", (thread,))


def _drop_signals(connection: sqlite3.Connection, thread: int) -> None:
    connection.execute("DELETE FROM taf_signals WHERE thread = ?", (thread,))


def prune(connection: sqlite3.Connection, thread: int, cut: Cut) -> None:
    """Put a base in the place of the records below it."""
    connection.execute("UPDATE taf_threads SET floor = ? WHERE id = ?", (cut.base.sequence, thread))
    connection.execute("DELETE FROM taf_journal WHERE thread = ? AND sequence < ?", (thread, cut.base.sequence))
    _replace_snapshot(connection, thread, cut.base, "taf_bases")
    _replace_snapshot(connection, thread, cut.snapshot)
    connection.executemany(
        "DELETE FROM taf_interrupts WHERE thread = ? AND id = ?", [(thread, name) for name in cut.interrupts]
    )


def remove(connection: sqlite3.Connection, thread: int) -> None:
    """Remove a thread and all that belongs to it."""
    for table in ("taf_journal", "taf_snapshots", "taf_bases", "taf_interrupts", "taf_signals", "taf_messages"):
        connection.execute(f"DELETE FROM {table} WHERE thread = ?", (thread,))
    connection.execute("DELETE FROM taf_threads WHERE id = ?", (thread,))
