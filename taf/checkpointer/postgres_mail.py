"""The messages that wait on threads, as rows of Postgres. Whoever writes one has locked the thread's row before."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from taf.checkpointer.base import NO_MAIL, Change, Grant, Known, Mail, Posted, Signal, ThreadKey
from taf.checkpointer.postgres_connections import Connection
from taf.checkpointer.postgres_pulse import Pulse
from taf.checkpointer.postgres_reads import News, Reader
from taf.checkpointer.postgres_rows import (
    Row,
    Statements,
    ThreadState,
    decode_name,
    encode_name,
    encode_signal,
    owned_unless,
    signals_of,
)
from taf.checkpointer.watches import Place
from taf.errors import StoreCorruptError

REMEMBERED = 8
"""How many messages a thread's row names, taken or not: whoever lost the answer to one learns that it was left."""


class Left(NamedTuple):
    """A message that was left: its id, and what watchers are told of it, if anything is new."""

    id: int
    place: Place | None = None
    change: Change | None = None


class MailStatements:
    """The statements for messages."""

    def __init__(self, of: Callable[[str], str]) -> None:
        self.mail = of("SELECT id, kind, run_id, at, body FROM {messages} WHERE thread = $1 ORDER BY id")
        self.posted = of(
            "SELECT t.*, (SELECT m.id FROM {messages} AS m WHERE m.thread = t.id AND m.run_id = $3) AS message,"
            " $3 = ANY(t.posted) OR EXISTS (SELECT FROM {journal} AS j WHERE j.thread = t.id AND j.run_id = $3)"
            " AS was_there"
            " FROM {threads} AS t WHERE tenant = $1 AND thread = $2"
        )
        self.post = of(
            "WITH told AS (UPDATE {threads} AS t SET revision = revision + 1, messages = messages + 1,"
            f" posted = (array_append(posted, $8))[greatest(cardinality(posted) - {REMEMBERED - 2}, 1):],"
            " signals = CASE WHEN $5::bytea IS NULL THEN signals"
            " ELSE array_append(signals, int8send(revision + 1) || $5::bytea) END"
            f" WHERE tenant = $1 AND thread = $2 AND {owned_unless('$3', '$4')}"
            " AND NOT EXISTS (SELECT FROM {messages} AS m WHERE m.thread = t.id AND m.run_id = $8)"
            " RETURNING id, head, status, run_id, revision, signals),"
            " put AS (INSERT INTO {messages} (thread, kind, run_id, at, body)"
            " SELECT id, $7, $8, $9, $10 FROM told RETURNING id)"
            " SELECT told.*, put.id AS message,"
            " CASE WHEN $5::bytea IS NULL THEN NULL ELSE pg_notify($6, told.id::text) END FROM told, put"
        )
        self.amend = of(
            "WITH there AS (UPDATE {threads} AS t SET revision = revision + 1, amendments = amendments + 1,"
            " messages = messages - CASE WHEN $4::bytea IS NULL THEN 1 ELSE 0 END"
            " WHERE tenant = $1 AND thread = $2"
            " AND EXISTS (SELECT FROM {messages} AS m WHERE m.thread = t.id AND m.id = $3) RETURNING id, revision),"
            " gone AS (DELETE FROM {messages} AS m USING there WHERE m.id = $3 AND $4::bytea IS NULL),"
            " changed AS (UPDATE {messages} AS m SET body = $4 FROM there WHERE m.id = $3 AND $4::bytea IS NOT NULL)"
            " SELECT id, revision FROM there"
        )


class Mailbox:
    """Reads and writes mail, for one owner."""

    def __init__(self, statements: Statements, reader: Reader, pulse: Pulse) -> None:
        self.sql, self.reader, self.pulse = MailStatements(statements.of), reader, pulse
        self._sweep = statements.sweep

    async def of(self, connection: Connection, state: ThreadState, thread_id: str) -> Mail:
        """Return what waits on a thread. Its row says whether anything does, so that most need no look."""
        if not state.messages:
            return Mail((), state.amendments)
        found = await connection.fetch(self.sql.mail, state.thread)
        return Mail(tuple(_message_of(row, thread_id) for row in found), state.amendments)

    async def granted(
        self, connection: Connection, key: ThreadKey, state: ThreadState, known: Known | None, news: News | None
    ) -> Grant:
        """Return what a new owner of a thread gets. ``news``: see ``Reader.stored``."""
        stored = await self.reader.stored(connection, key, state, known, news)
        return Grant(state.epoch, stored, await self.of(connection, state, key.thread))

    async def amend(self, connection: Connection, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        """Change or remove a message. Return False when it is not there."""
        row = await connection.fetchrow(self.sql.amend, *self.reader.place(key)[:2], message_id, body)
        if row is not None and body is None:
            await connection.execute(self._sweep, row["id"])
        return row is not None

    async def find(self, connection: Connection, key: ThreadKey) -> Mail:
        """Return what waits on the thread of that name."""
        state = await self.reader.find(connection, key)
        return NO_MAIL if state is None else await self.of(connection, state, key.thread)


class Posting:
    """One message on its way: tried again when an answer was lost, and left once all the same."""

    def __init__(self, mailbox: Mailbox, key: ThreadKey, message: Posted, signal: Signal | None) -> None:
        self._sql, self._reader, self._pulse = mailbox.sql, mailbox.reader, mailbox.pulse
        self._key, self._message = key, message
        self._signal = None if signal is None else encode_signal(signal, random.getrandbits(62))

    async def __call__(self, connection: Connection, attempt: int) -> Left | None:
        """Leave it. Return None when nobody owns the thread."""
        message, run_id = self._message, encode_name(self._message.run_id)
        names = self._reader.place(self._key)
        if attempt:
            there = await self._there(connection, run_id)
            if there is not None:
                return there
        values = (encode_name(message.kind), run_id, message.at, message.body)
        row = await connection.fetchrow(self._sql.post, *names, self._signal, self._pulse.channel, *values)
        if row is None:  # nobody owns the thread, or it is there already
            there = await self._there(connection, run_id)
            return there if there is not None and there.id else None
        signals = signals_of(row["signals"], decode_name(row["run_id"]))
        change = Change(row["head"], decode_name(row["status"]), decode_name(row["run_id"]), signals)
        return Left(row["message"], Place(row["id"], row["revision"]), change)

    async def _there(self, connection: Connection, run_id: bytes) -> Left | None:
        """Return the message if it waits, or one of number 0 if somebody took it already."""
        row = await connection.fetchrow(self._sql.posted, *self._reader.place(self._key)[:2], run_id)
        if row is None or (row["message"] is None and not row["was_there"]):
            return None
        return Left(row["message"] or 0)


def _message_of(row: Row, thread_id: str) -> Posted:
    try:
        return Posted(decode_name(row["kind"]), decode_name(row["run_id"]), row["at"], row["body"], row["id"])
    except ValueError as error:
        raise StoreCorruptError(thread_id, None, error) from error
