"""Keeps threads in Postgres, for any number of event loops, OS threads, processes and machines.

One OS thread holds the connections and does the work of all callers; a commit is one statement. See
``BaseCheckpointer`` for what each method promises.
"""

from __future__ import annotations

import asyncio
import random
import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar

from taf.checkpointer import postgres_rows as rows
from taf.checkpointer.base import (
    ALL_THREADS,
    BaseCheckpointer,
    Change,
    Commit,
    Cut,
    Grant,
    InterruptRow,
    Known,
    Listing,
    Mail,
    Posted,
    Record,
    Signal,
    Snapshot,
    Stored,
    ThreadKey,
    ThreadRow,
    Watcher,
)
from taf.checkpointer.begins import Begins
from taf.checkpointer.postgres_claims import Claims
from taf.checkpointer.postgres_commits import Commits
from taf.checkpointer.postgres_connections import Connection, Settings
from taf.checkpointer.postgres_machinery import Machinery
from taf.checkpointer.postgres_mail import Left, Mailbox, Posting
from taf.checkpointer.postgres_pruning import Pruning
from taf.checkpointer.postgres_reads import Reader, knows
from taf.checkpointer.postgres_rows import ThreadState, encode_name
from taf.checkpointer.postgres_schema import checked_name
from taf.checkpointer.postgres_work import Work
from taf.checkpointer.watches import Place
from taf.errors import ConfigError, ThreadBusyError

T = TypeVar("T")

PATIENCE = 10.0
"""For how many seconds a store that was forgotten, and not closed, keeps whoever finds it waiting."""


class PgCheckpointer(Begins, BaseCheckpointer):
    """The store of many machines.

    ``dsn`` is the address of the database, as ``postgresql://user@host/database``. Behind a pooler in transaction mode
    (pgbouncer) pass ``statement_cache_size=0``, and as ``direct_dsn`` an address past it, for what it cannot carry: the
    lock by which an owner that was killed is noticed at once, and notifications. Tables are made in ``schema`` at the
    first use, or by ``setup``; their names begin with ``table_prefix``. ``pool_size`` bounds the connections, besides
    one for the heartbeat. ``command_timeout`` is for how many seconds anything is tried before it is a
    ``StoreUnavailableError``: a commit whose answer was lost is looked up, never repeated.
    """

    wants_short_rows = True

    def __init__(
        self,
        dsn: str,
        *,
        direct_dsn: str | None = None,
        schema: str = "taf",
        table_prefix: str = "",
        pool_size: int = 10,
        statement_cache_size: int = 100,
        command_timeout: float = 30.0,
    ) -> None:
        if not isinstance(dsn, str) or "://" not in dsn:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"PgCheckpointer needs an address such as postgresql://user@host/database, not {dsn!r}.")
        if pool_size < 1 or statement_cache_size < 0 or command_timeout <= 0:
            raise ConfigError(
                "pool_size has to be at least 1, command_timeout positive, statement_cache_size not negative."
            )
        schema = checked_name(schema, "schema")
        statements = rows.Statements(schema, checked_name(table_prefix, "table_prefix", may_be_empty=True))
        settings = Settings(dsn, direct_dsn, pool_size, statement_cache_size, command_timeout)
        self._machinery = Machinery(settings, statements)
        self._sql = statements
        self._reader = Reader(statements, self._machinery.pulse)
        self._mailbox = Mailbox(statements, self._reader, self._machinery.pulse)
        service, pulse = self._machinery.service, self._machinery.pulse
        self._commits = Commits(service, pulse, statements)
        self._claims = Claims(service, pulse, statements, self._mailbox, self._machinery.abandon)
        self._end = weakref.finalize(self, self._machinery.end, PATIENCE)

    async def setup(self) -> None:
        """Make or migrate the tables, as the first use does anyway. Any number of processes may do this at once."""
        await self._run("set up the tables", _nothing)

    # -- owning ------------------------------------------------------------------------------------

    async def acquire(
        self, key: ThreadKey, *, lease_seconds: float, known: Known | None = None, create: bool = True
    ) -> Grant | None:
        """See ``BaseCheckpointer.acquire``. An owner in this process is alive until it releases or abandons."""
        self._machinery.enter()
        return await self._claims.acquire(key, lease_seconds, known, create)

    async def begin(self, first: Commit, *, lease_seconds: float, known: Known | None = None) -> Grant:
        """See ``Begins.begin``."""
        self._machinery.enter()
        return await self._claims.begin(first, lease_seconds, known)

    def abandon(self, key: ThreadKey, epoch: int) -> None:
        """See ``BaseCheckpointer.abandon``. The thread is released in passing, or else when its lease ends."""
        self._machinery.abandon(key, epoch)

    # -- writing -----------------------------------------------------------------------------------

    async def append(self, commit: Commit) -> Sequence[Signal]:
        """See ``BaseCheckpointer.append``. It renews the lease, too."""
        self._machinery.enter()
        return await self._commits.write(commit)

    async def signal(self, key: ThreadKey, signal: Signal) -> bool:
        """See ``BaseCheckpointer.signal``."""
        pulse, names = self._machinery.pulse, self._reader.place(key)[:2]

        stored = rows.encode_signal(signal, random.getrandbits(62))

        async def work(connection: Connection, attempt: int) -> tuple[Place, Change] | None:
            row = None
            if attempt:  # it may have been left though the answer was lost
                found = await connection.fetchrow(self._sql.look, [names[0]], [names[1]])
                row = found if found is not None and any(one.endswith(stored) for one in found["signals"]) else None
            if row is None:
                who = encode_name(signal.run_id)
                row = await connection.fetchrow(self._sql.signal, *self._reader.place(key), who, stored, pulse.channel)
            if row is None:
                return None
            signals = rows.signals_of(row["signals"], signal.run_id)
            change = Change(row["head"], rows.decode_name(row["status"]), signal.run_id, signals)
            return Place(row["id"], row["revision"]), change

        def after(told: tuple[Place, Change] | None) -> None:
            if told is not None:
                pulse.watches.tell(key, *told)

        return await self._run(f'signal thread "{key.thread}"', work, after) is not None

    # -- messages ----------------------------------------------------------------------------------

    async def post(self, key: ThreadKey, message: Posted, signal: Signal | None = None) -> int | None:
        """See ``BaseCheckpointer.post``."""

        def after(left: Left | None) -> None:
            if left is not None and left.place is not None and left.change is not None:
                self._machinery.pulse.watches.tell(key, left.place, left.change)

        work = Posting(self._mailbox, key, message, signal)
        left = await self._run(f'post to thread "{key.thread}"', work, after)
        return None if left is None else left.id

    async def mail(self, key: ThreadKey) -> Mail:
        """See ``BaseCheckpointer.mail``."""
        what = f'read the mail of thread "{key.thread}"'
        return await self._run(what, lambda connection, _: self._mailbox.find(connection, key))

    async def amend(self, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        """See ``BaseCheckpointer.amend``."""
        what = f'amend the mail of thread "{key.thread}"'
        return await self._run(what, lambda connection, _: self._mailbox.amend(connection, key, message_id, body))

    async def delete(self, key: ThreadKey, *, expected: int | None = None) -> bool:
        """See ``BaseCheckpointer.delete``. Raise ``ThreadBusyError`` while a live owner has the thread."""
        before: list[ThreadState] = []

        async def work(connection: Connection, _: int) -> bool:
            state = await self._reader.find(connection, key)
            if state is not None and not state.is_owned:
                before.append(state)
            head = await connection.fetchval(self._sql.delete, *self._reader.place(key), expected)
            if head is not None:
                return bool(head)
            if state is not None and state.is_owned and expected in (None, state.head):
                raise ThreadBusyError(key.thread, state.run_id or None)
            # Gone, after an attempt whose answer was lost: so that one removed it.
            return state is None and bool(before) and expected in (None, before[0].head) and before[0].head > 0

        return await self._run(f'delete thread "{key.thread}"', work)

    async def prune(self, cut: Cut) -> bool:
        """See ``BaseCheckpointer.prune``."""
        return await self._run(f'prune thread "{cut.key.thread}"', Pruning(self._sql, self._reader, cut))

    # -- reading -----------------------------------------------------------------------------------

    async def load(self, key: ThreadKey, known: Known | None = None) -> Stored | None:
        """See ``BaseCheckpointer.load``."""

        async def work(connection: Connection, _: int) -> Stored | None:
            if not self._is_pooled:  # one statement is enough where nothing is new
                state = await self._reader.find(connection, key)
                if state is None or not state.head:
                    return None
                if knows(state, known) and known is not None and known.head == state.head:
                    return await self._reader.stored(connection, key, state, known, is_owned=state.is_owned)
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    return await self._reader.load(connection, key, known)
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return await self._reader.load(connection, key, known)

        return await self._run(f'load thread "{key.thread}"', work)

    async def read(self, key: ThreadKey, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        """See ``BaseCheckpointer.read``."""

        async def work(connection: Connection, _: int) -> Sequence[Record]:
            state = await self._reader.find(connection, key)
            if state is None:
                return ()
            return await self._reader.records(connection, key, state.thread, after, max(limit, 0))

        return await self._run(f'read thread "{key.thread}"', work)

    async def base(self, key: ThreadKey) -> Snapshot | None:
        """See ``BaseCheckpointer.base``."""

        async def work(connection: Connection, _: int) -> Snapshot | None:
            state = await self._reader.find(connection, key)
            return None if state is None else await self._reader.base(connection, state.thread)

        return await self._run(f'read thread "{key.thread}"', work)

    async def interrupts(
        self, key: ThreadKey | None = None, *, interrupt_id: str | None = None, status: str | None = None
    ) -> Sequence[InterruptRow]:
        """See ``BaseCheckpointer.interrupts``."""

        async def work(connection: Connection, _: int) -> Sequence[InterruptRow]:
            state = None if key is None else await self._reader.find(connection, key)
            if key is not None and state is None:
                return ()
            statement, values = self._sql.interrupts(state and state.thread, interrupt_id, status)
            return [rows.interrupt_of(row) for row in await connection.fetch(statement, *values)]

        return await self._run("read interrupts", work)

    async def threads(
        self, tenant: str = "", listing: Listing = ALL_THREADS, *, after: str = "", limit: int = 100
    ) -> Sequence[ThreadRow]:
        """See ``BaseCheckpointer.threads``."""
        statement, values = self._sql.threads(tenant, listing, after, max(limit, 0))

        async def work(connection: Connection, _: int) -> Sequence[ThreadRow]:
            return [rows.listed(row, listing) for row in await connection.fetch(statement, *values)]

        return await self._run("list threads", work)

    # -- watching and closing ----------------------------------------------------------------------

    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool = False) -> Callable[[], None]:
        """See ``BaseCheckpointer.watch``. A watcher who is not the owner may first be told where the thread is now."""
        self._machinery.enter()
        return self._machinery.pulse.watch(key, watcher, signals_only=signals_only)

    def close(self) -> None:
        """See ``BaseCheckpointer.close``. Threads that are still owned become free at once."""
        if self._end.detach() is not None:
            self._machinery.end(None)

    async def aclose(self) -> None:
        """See ``BaseCheckpointer.aclose``."""
        await asyncio.to_thread(self.close)

    @property
    def _is_pooled(self) -> bool:
        return self._machinery.service.settings.is_pooled

    async def _run(self, what: str, work: Work[T], after: Callable[[T], None] | None = None) -> T:
        return await self._machinery.enter().run(what, work, after)


async def _nothing(_: Connection, __: int) -> None:
    """Whoever opens a connection has made the tables."""
