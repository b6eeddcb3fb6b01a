"""The messages that wait on threads, as rows of SQLite: functions that run inside the caller's transaction."""

from __future__ import annotations

import sqlite3

from taf.checkpointer.base import Commit, Mail, Posted
from taf.checkpointer.sqlite_rows import Kinds, ThreadState, fitting
from taf.checkpointer.sqlite_writing import sweep

_MESSAGE: Kinds = ((str,), (str,), (float,), (bytes,), (int,))


def mail(connection: sqlite3.Connection, state: ThreadState) -> Mail:
    """Return what waits on a thread. The row says whether anything does, so that most need no look."""
    if not state.messages:
        return Mail((), state.amendments)
    rows = connection.execute(
        "SELECT kind, run_id, at, CAST(body AS BLOB), id FROM taf_messages WHERE thread = ? ORDER BY id",
        (state.thread,),
    )
    found = [Posted._make(fitting(row, _MESSAGE, state.name)) for row in rows.fetchall()]
    return Mail(tuple(found), state.amendments)


def waiting(connection: sqlite3.Connection, state: ThreadState, run_id: str) -> int | None:
    """Return the id of the message that waits for a run."""
    found = connection.execute("SELECT id FROM taf_messages WHERE thread = ? AND run_id = ?", (state.thread, run_id))
    row = found.fetchone()
    return None if row is None else int(row[0])


def put(connection: sqlite3.Connection, state: ThreadState, message: Posted) -> int:
    """Leave a message, and return its id."""
    cursor = connection.execute(
        "INSERT INTO taf_messages (thread, kind, run_id, at, body) VALUES (?, ?, ?, ?, ?)",
        (state.thread, message.kind, message.run_id, message.at, message.body),
    )
    connection.execute(
        "UPDATE taf_threads SET messages = messages + 1, revision = revision + 1 WHERE id = ?", (state.thread,)
    )
    return int(cursor.lastrowid or 0)


def amend(connection: sqlite3.Connection, thread: int, message: int, body: bytes | None) -> bool:
    """Change or remove a message; return False when it is not there."""
    place = (message, thread)
    if body is None:
        cursor = connection.execute("DELETE FROM taf_messages WHERE id = ? AND thread = ?", place)
    else:
        cursor = connection.execute("UPDATE taf_messages SET body = ? WHERE id = ? AND thread = ?", (body, *place))
    if cursor.rowcount != 1:
        return False
    connection.execute(
        "UPDATE taf_threads SET messages = messages - ?, amendments = amendments + 1, revision = revision + 1"
        " WHERE id = ?",
        (body is None, thread),
    )
    sweep(connection, thread)
    return True


def take(connection: sqlite3.Connection, thread: int, commit: Commit) -> None:
    """Remove the messages that a commit takes, which the fence has let pass."""
    if commit.taken is not None:
        gone = 0
        for message in commit.taken.ids:
            cursor = connection.execute("DELETE FROM taf_messages WHERE id = ? AND thread = ?", (message, thread))
            gone += cursor.rowcount
        connection.execute("UPDATE taf_threads SET messages = messages - ? WHERE id = ?", (gone, thread))
