"""Claims of threads in Postgres: one statement each, or one for many that are claimed at the same time.

A claim may write the first record of a run with it. Whether it did is told by the mark that it leaves in the thread's
row: so it is known as well when an answer was lost, and the claim is made again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cache
from typing import Any

from taf.checkpointer import postgres_rows as rows
from taf.checkpointer.base import NO_MAIL, Change, Commit, Grant, Known, Mail, Record, ThreadKey
from taf.checkpointer.begins import begun
from taf.checkpointer.postgres_batches import Batches
from taf.checkpointer.postgres_connections import Connection
from taf.checkpointer.postgres_mail import Mailbox
from taf.checkpointer.postgres_pulse import Lease, Pulse
from taf.checkpointer.postgres_reads import News
from taf.checkpointer.postgres_rows import Statements, ThreadState, encode_name, owned_unless, said_once
from taf.checkpointer.postgres_service import Service
from taf.checkpointer.postgres_work import Piece
from taf.checkpointer.postgres_writing import asked, interrupt_columns, record_columns, recorded
from taf.checkpointer.watches import Place
from taf.errors import StoreCorruptError, ThreadBusyError
from taf.ids import new_id


class ClaimStatements:
    """The statements that make somebody the owner of threads."""

    def __init__(self, of: Callable[[str], str]) -> None:
        lease = "clock_timestamp() + {} * interval '1 second'".format
        own = f"owner = $3, life_lock = $5, lease_until = {lease('$6')}, signals = '{{{{}}}}'"
        taken = f"epoch = nextval('{{epochs}}'), {own}"
        free = f"NOT {owned_unless('$3', '$4')}"
        names = "tenant, thread, born, epoch, owner, life_lock, lease_until"
        given = f"$1, $2, $7, nextval('{{epochs}}'), $3, $5, {lease('$6')}"
        unheld = "FALSE AS is_owned"
        self.take = of(
            f"UPDATE {{threads}} AS t SET {taken} WHERE tenant = $1 AND thread = $2 AND head > 0 AND {free}"
            f" RETURNING {rows.STATE}, {unheld}"
        )
        self.claim = of(
            f"INSERT INTO {{threads}} AS t ({names}) VALUES ({given})"
            f" ON CONFLICT (tenant, thread) DO UPDATE SET {taken} WHERE {free} RETURNING {rows.STATE}, {unheld}"
        )
        first = ("$9::bigint", "$10::bytea", "$11::bytea", "$12::bytea", "$13::float8", "$14::bigint")
        as_supposed = "t.head = $8 AND t.messages = 0 AND ($8 = 0 OR (t.born = $15::text AND t.floor = $16::bigint))"
        self._claimed = (
            f"WITH claimed AS (INSERT INTO {{threads}} AS t ({names}, {', '.join(_HEAD)}, revision) VALUES ({given},"
            f" {', '.join(map(_either('$8::bigint = 0').format, first, _HEAD.values()))},"
            f" CASE WHEN $8 = 0 THEN 1 ELSE 0 END) ON CONFLICT (tenant, thread) DO UPDATE SET {taken},"
            f" {_moved(as_supposed, first)} WHERE {free} RETURNING {rows.STATE}),"
            " fence AS (SELECT id FROM claimed WHERE head = $9 AND mark = $14)"
        )
        self._of, self.begin = of, cache(self._begin)
        excluded = tuple(f"excluded.{name}" for name in _HEAD)
        given = rows.rows_of(5, _CLAIM, "tenant", "seconds", "status", "graph", "kind")
        self.claim_many = of(
            f"WITH g AS (SELECT *, $4::bigint AS mark FROM {given} AS g),"
            f" claimed AS (INSERT INTO {{threads}} AS t ({names}, {', '.join(_HEAD)}, revision) SELECT g.tenant,"
            f" g.thread, g.born, nextval('{{epochs}}'), $1, $3, {lease('g.seconds')},"
            f" {', '.join(f'g.{name}' for name in _HEAD)}, least(g.head, 1) FROM g"
            " ON CONFLICT (tenant, thread) DO UPDATE SET epoch = excluded.epoch, owner = excluded.owner,"
            " life_lock = excluded.life_lock, lease_until = excluded.lease_until, signals = '{{}}',"
            f" {_moved('excluded.head > 0 AND t.head = 0 AND t.messages = 0', excluded)}"
            f" WHERE NOT {owned_unless('$1', '$2')} RETURNING {rows.STATE}),"
            f" journal AS (INSERT INTO {{journal}} {rows.RECORD} SELECT c.id, g.head, g.kind, g.run_id, g.updated,"
            " g.body, g.items, g.step FROM claimed AS c JOIN g ON g.tenant = c.tenant AND g.thread = c.thread"
            " WHERE g.head > 0 AND c.head = g.head AND c.mark = g.mark ON CONFLICT DO NOTHING)"
            f" SELECT *, {unheld} FROM claimed"
        )

    def _begin(self, has_many: bool, has_interrupts: bool) -> str:
        """Return the statement of a claim with a first commit, of many records or of one, and perhaps interrupts."""
        one = "SELECT id, $9, $17::bytea, $11, $13, $18::bytea, $19::bytea, $20::bigint FROM fence"
        written = recorded(17) if has_many else f"INSERT INTO {{journal}} {rows.RECORD} {one}"
        parts = [self._claimed, f"journal AS ({written} ON CONFLICT DO NOTHING)"]
        if has_interrupts:
            parts.append(f"interrupts AS ({asked(24 if has_many else 21)})")
        return self._of(f"{', '.join(parts)} SELECT *, FALSE AS is_owned FROM claimed")


_HEAD = {
    "head": "0",
    "status": "'idle'::bytea",
    "run_id": "''::bytea",
    "graph": "''::bytea",
    "updated": "0::float8",
    "mark": "0",
}
"""What a commit changes in a thread's row, with the values of a thread that has no records."""


_CLAIM = {
    **{"tenant": "bytea", "thread": "bytea", "seconds": "float8", "born": "text", "head": "bigint", "status": "bytea"},
    **{"run_id": "bytea", "graph": "bytea", "updated": "float8", "kind": "bytea", "body": "bytea", "items": "bytea"},
    "step": "bigint",
}
"""What is given of a claim among many, and of the commit that comes with it."""


def _either(condition: str) -> str:
    return f"CASE WHEN {condition} THEN {{}} ELSE {{}} END"


def _moved(condition: str, values: Sequence[str]) -> str:
    """Return the assignments of a row that moves on under a condition, and else stays as it is."""
    new = {**dict(zip(_HEAD, values, strict=True)), "revision": "t.revision + 1"}
    return ", ".join(f"{name} = {_either(condition).format(value, f't.{name}')}" for name, value in new.items())


class _Claim(Piece[Grant | None]):
    """What a caller wants. ``held`` is the lease, once it is there. ``mark`` is how ``first`` is known again."""

    __slots__ = ("_by", "create", "first", "held", "key", "known", "mark", "seconds")

    def __init__(
        self, by: Claims, key: ThreadKey, seconds: float, known: Known | None, create: bool, first: Commit | None = None
    ) -> None:
        super().__init__(f'acquire thread "{key.thread}"', asyncio.get_running_loop())
        self._by, self.key, self.seconds, self.known, self.create = by, key, seconds, known, create
        self.held: list[Lease] = []
        self.first, self.mark = first, random.getrandbits(62)

    def work(self, connection: Connection, attempt: int) -> Awaitable[Grant | None]:
        """See ``Piece.work``."""
        return self._by.alone(connection, self)

    def follow(self, result: Grant | None) -> None:
        """See ``Piece.follow``."""
        if result is not None:
            self._by.granted(self, result)

    def undo(self) -> None:
        """See ``Piece.undo``."""
        self._by.give_up(self)

    @property
    def head(self) -> tuple[Any, ...]:
        """The columns of ``_HEAD`` as the first commit leaves them."""
        first = self.first
        assert first is not None
        names = (encode_name(first.status), encode_name(first.run_id), encode_name(first.graph))
        return (first.records[-1].sequence, *names, first.records[-1].at, self.mark)

    @property
    def written(self) -> list[Any]:
        """The parameters of the first commit's rows, in the form that ``ClaimStatements.begin`` is asked for."""
        first = self.first
        assert first is not None
        record, *others = first.records
        values = record_columns(first.records) if others else [encode_name(record.kind), record.body, *record[5:]]
        return values + interrupt_columns(first.interrupts) if first.interrupts else values

    @property
    def begins_anew(self) -> bool:
        """True for one that writes no more than the one record of a new thread."""
        first = self.first
        return first is not None and not (first.expected or first.interrupts) and len(first.records) == 1

    def has_begun(self, row: rows.Row) -> bool:
        """Say whether the first commit is in a row that was claimed."""
        first = self.first
        return first is not None and row["mark"] == self.mark and row["head"] == first.records[-1].sequence


_NOTHING = Commit(ThreadKey("", ""), 0, 0, (Record(0, "", "", 0.0, b"", None, 0),), "idle", "")
"""What a claim writes that begins no run: the row of a thread without records."""


class Claims:
    """Makes callers the owners of threads. ``abandon`` gives one back that nobody is left to use."""

    def __init__(
        self,
        service: Service,
        pulse: Pulse,
        statements: Statements,
        mailbox: Mailbox,
        abandon: Callable[[ThreadKey, int], None],
    ) -> None:
        self._service, self._pulse, self._mailbox = service, pulse, mailbox
        self._sql = ClaimStatements(statements.of)
        self._abandon, self._reader = abandon, mailbox.reader
        self._batches: Batches[_Claim, Grant | None] = Batches(service, self._together)

    def acquire(
        self, key: ThreadKey, seconds: float, known: Known | None, create: bool
    ) -> Coroutine[Any, Any, Grant | None]:
        """See ``BaseCheckpointer.acquire``."""
        one = _Claim(self, key, seconds, known, create)
        return self._batches.have_done(one) if create else self._service.have_done(one)

    async def begin(self, first: Commit, seconds: float, known: Known | None) -> Grant:
        """See ``Begins.begin``."""
        grant = await self._batches.have_done(_Claim(self, first.key, seconds, known, True, first))
        assert grant is not None
        return grant

    async def alone(self, connection: Connection, one: _Claim) -> Grant | None:
        """Claim one thread by a statement of its own."""
        self.give_up(one)
        await self._pulse.until_ready()
        found = await self._claim(connection, one)
        if found is None:
            return None
        self._hold(one, found[1])
        return await self._grant(connection, one, *found)

    def granted(self, one: _Claim, grant: Grant) -> None:
        """Do what follows when a claim is known to be made."""
        pulse, key = self._pulse, one.key
        pulse.unclaim(key)
        if grant.has_begun and pulse.watches.wants(key, has_signals=False):
            stored = grant.stored
            pulse.watches.tell(key, one.held[-1].seen, Change(stored.head, stored.status, stored.run_id, ()))
        if one.loop is None or one.loop.is_closed():  # nobody is left to release it
            self._abandon(key, grant.epoch)

    def give_up(self, one: _Claim) -> None:
        """Take back a claim that may have come to nothing, or whose COMMIT may not have been answered."""
        while one.held:
            self._abandon(one.key, one.held.pop().epoch)
            self._pulse.unclaim(one.key)

    def _hold(self, one: _Claim, state: ThreadState) -> None:
        # Before anything else is awaited: the next claim of this process has to find it held.
        one.held.append(Lease(state.thread, state.epoch, one.seconds, Place(state.thread, state.revision)))
        self._pulse.hold(one.key, one.held[-1])

    async def _grant(
        self, connection: Connection, one: _Claim, row: rows.Row, state: ThreadState, news: News | None = None
    ) -> Grant:
        if one.first is None or not one.has_begun(row):
            return await self._mailbox.granted(connection, one.key, state, one.known, news)
        mail = Mail((), state.amendments) if state.amendments else NO_MAIL
        return begun(one.first, state.epoch, state.born, mail, state.floor)

    async def _claim(self, connection: Connection, one: _Claim) -> tuple[rows.Row, ThreadState] | None:
        """Take a thread, and leave it claimed in this process: behind a pooler it is not committed yet."""
        pulse, key, create = self._pulse, one.key, one.create
        statement, values = self._statement(one)
        while True:
            if pulse.lease(key) is None and pulse.claim(key):
                try:
                    names = (*self._reader.place(key)[:3], False, pulse.life_lock, one.seconds)
                    row = await connection.fetchrow(statement, *names, *values)
                    taken = None if row is None else (row, rows.state_of(row, key.thread))
                except BaseException:
                    pulse.unclaim(key)
                    raise
                if taken is not None:
                    return taken
                pulse.unclaim(key)
            state = await self._reader.find(connection, key)
            if state is not None and state.is_owned:
                raise ThreadBusyError(key.thread, state.run_id or None)
            if not create and (state is None or not state.head):
                return None
            await asyncio.sleep(0)  # somebody was quicker, and is gone again

    def _statement(self, one: _Claim) -> tuple[str, tuple[Any, ...]]:
        """Return the statement that claims one thread, and its parameters behind the first six."""
        if one.first is None:
            return (self._sql.claim, (new_id(),)) if one.create else (self._sql.take, ())
        known = ("", 0) if one.known is None else (one.known.born, one.known.floor)
        statement = self._sql.begin(len(one.first.records) > 1, bool(one.first.interrupts))
        return statement, (new_id(), one.first.expected, *one.head, *known, *one.written)

    async def _together(self, connection: Connection, claims: Sequence[_Claim]) -> Sequence[Grant | None]:
        """Claim many. One that is not free, or cannot be read, is left to be claimed alone."""
        pulse = self._pulse
        await pulse.until_ready()
        chosen = {
            (encode_name(one.key.tenant), encode_name(one.key.thread)): one
            for one in claims
            if pulse.lease(one.key) is None and pulse.claim(one.key)
        }
        found: dict[ThreadKey, tuple[rows.Row, ThreadState]] = {}
        try:
            for row in await self._claim_many(connection, chosen):
                one = chosen[row["tenant"], row["thread"]]
                found[one.key] = row, rows.state_of(row, one.key.thread)
                self._hold(one, found[one.key][1])
        finally:
            for one in chosen.values():
                if not one.held:
                    pulse.unclaim(one.key)
        taken = [(found[one.key], one) for one in claims if one.held]
        asked = [(state, one.known) for (row, state), one in taken if not one.has_begun(row)]
        news = await self._reader.news(connection, asked)
        return [await self._shown(connection, one, found.get(one.key), news) for one in claims]

    async def _claim_many(
        self, connection: Connection, chosen: dict[tuple[bytes, bytes], _Claim]
    ) -> Sequence[rows.Row]:
        if not chosen:
            return ()
        pulse, names = self._pulse, sorted(chosen)
        batch = [chosen[name] for name in names]
        for one in batch:
            one.mark = batch[0].mark  # each in a row of its own, so one is enough
        named = said_once([tenant for tenant, _ in names]), [thread for _, thread in names]
        owner = (pulse.owner, False, pulse.life_lock, batch[0].mark)
        return await connection.fetch(self._sql.claim_many, *owner, *named, *_columns_of(batch))

    async def _shown(
        self, connection: Connection, one: _Claim, found: tuple[rows.Row, ThreadState] | None, news: News
    ) -> Grant | None:
        if found is None or not one.held:
            return None
        try:
            return await self._grant(connection, one, *found, news)
        except StoreCorruptError:
            self.give_up(one)
            return None


def _columns_of(batch: Sequence[_Claim]) -> list[Any]:
    """Return the other parameters of ``ClaimStatements.claim_many``, a column each.

    On records that are known a claim among many writes nothing: those are looked at alone.
    """
    firsts = [one.first if one.first is not None and one.begins_anew else _NOTHING for one in batch]
    records = [first.records[0] for first in firsts]
    return [
        said_once([one.seconds for one in batch]),
        [new_id() for _ in batch],
        [record.sequence for record in records],
        [encode_name(status) for status in said_once([first.status for first in firsts])],
        [encode_name(first.run_id) for first in firsts],
        [encode_name(graph) for graph in said_once([first.graph for first in firsts])],
        [record.at for record in records],
        [encode_name(kind) for kind in said_once([record.kind for record in records])],
        [record.body for record in records],
        [record.items for record in records] if any([record.items is not None for record in records]) else [],
        [record.step for record in records],
    ]
