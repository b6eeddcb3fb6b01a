"""Keeps threads in one SQLite file, for any number of event loops, OS threads and processes of one machine.

All writes go through one connection, in whole transactions, and those that wait together share a commit. Reads have a
connection of their own, and so has the heartbeat. See ``BaseCheckpointer`` for what each method promises.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from taf.checkpointer import sqlite_mail
from taf.checkpointer import sqlite_rows as rows
from taf.checkpointer import sqlite_writing as writing
from taf.checkpointer.base import (
    ALL_THREADS,
    NO_MAIL,
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
    Row,
    Signal,
    Snapshot,
    Stored,
    ThreadKey,
    ThreadRow,
    Watcher,
)
from taf.checkpointer.begins import Begins
from taf.checkpointer.sqlite_claims import Claims
from taf.checkpointer.sqlite_machinery import Machinery
from taf.checkpointer.sqlite_owning import Stepping, Taking, Writing, abandon, tell
from taf.checkpointer.sqlite_worker import Worker
from taf.checkpointer.watches import Place, Told
from taf.errors import ConfigError, ThreadBusyError

PATIENCE = 10.0
"""For how many seconds a store that was forgotten, and not closed, keeps whoever finds it waiting."""


class SqliteCheckpointer(Begins, BaseCheckpointer):
    """The durable store of one machine.

    ``synchronous`` "FULL" keeps every acknowledged commit through a power cut; "NORMAL" may lose the last ones then,
    though not when a process is killed. ``busy_timeout`` is how many seconds a write waits for other processes.
    """

    wants_short_rows = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        busy_timeout: float = 10.0,
    ) -> None:
        if synchronous not in ("FULL", "NORMAL"):
            raise ConfigError(f'synchronous is "FULL" or "NORMAL", not {synchronous!r}.')
        # The real path: the owners' files have to be found under one name, whatever name this process uses.
        self._machinery = Machinery(os.path.realpath(_checked(path)), synchronous, busy_timeout)
        self._claims = Claims(self._machinery)
        self._end = weakref.finalize(self, self._machinery.end, PATIENCE)

    # -- owning ------------------------------------------------------------------------------------

    async def acquire(
        self, key: ThreadKey, *, lease_seconds: float, known: Known | None = None, create: bool = True
    ) -> Grant | None:
        """See ``BaseCheckpointer.acquire``. An owner in this process is alive until it releases or abandons."""
        writer = self._writer
        return await writer.do(Taking(self._machinery, self._claims, key, lease_seconds, known, create))

    async def begin(self, first: Commit, *, lease_seconds: float, known: Known | None = None) -> Grant:
        """See ``Begins.begin``."""
        writer, key = self._writer, first.key
        grant = await writer.do(Taking(self._machinery, self._claims, key, lease_seconds, known, first=first))
        assert grant is not None
        return grant

    def abandon(self, key: ThreadKey, epoch: int) -> None:
        """See ``BaseCheckpointer.abandon``. The thread is released in passing, or else when its lease ends."""
        abandon(self._machinery, key, epoch)

    # -- writing -----------------------------------------------------------------------------------

    async def append(self, commit: Commit) -> Sequence[Signal]:
        """See ``BaseCheckpointer.append``. It renews the lease, too."""
        return await self._writer.do(Writing(self._machinery, commit))

    def append_now(self, key: ThreadKey, epoch: int, expected: int, row: Row) -> Sequence[Signal] | None:
        """See ``BaseCheckpointer.append_now``. At once means on the spot: see ``Worker.has_done``."""
        if not self._machinery.pulse.has_one_at_most():  # a crowd asks in vain, for each of its steps
            return None
        step = Stepping(self._machinery, key, epoch, expected, row)
        return step.outcome() if self._writer.has_done(step) else None

    async def signal(self, key: ThreadKey, signal: Signal) -> bool:
        """See ``BaseCheckpointer.signal``."""
        what, after = f'signal thread "{key.thread}"', partial(tell, self._machinery, key)
        work = partial(self._signal, key=key, signal=signal)
        return await self._writer.run(what, work, after) is not None

    def _signal(self, connection: sqlite3.Connection, key: ThreadKey, signal: Signal) -> Told | None:
        state = rows.find(connection, key)
        if state is None or state.run_id != signal.run_id or not self._claims.is_owned(key, state):
            return None
        writing.leave(connection, state.thread, signal)
        return self._left(connection, state)

    @staticmethod
    def _left(connection: sqlite3.Connection, state: rows.ThreadState) -> Told:
        """Return what watchers are told of what was left for a thread in this transaction."""
        signals = rows.signals(connection, state.thread, state.run_id)
        place = Place(state.thread, rows.revision(connection, state.thread))
        return Told(place, Change(state.head, state.status, state.run_id, signals))

    async def post(self, key: ThreadKey, message: Posted, signal: Signal | None = None) -> int | None:
        """See ``BaseCheckpointer.post``."""

        def work(connection: sqlite3.Connection) -> tuple[int | None, Told | None]:
            state = rows.find(connection, key)
            there = None if state is None else sqlite_mail.waiting(connection, state, message.run_id)
            if state is None or there is not None or not self._claims.is_owned(key, state):
                return there, None
            number = sqlite_mail.put(connection, state, message)
            if signal is not None:
                writing.leave(connection, state.thread, signal)
            return number, self._left(connection, state)

        def after(left: tuple[int | None, Told | None]) -> None:
            tell(self._machinery, key, left[1])

        return (await self._writer.run(f'post to thread "{key.thread}"', work, after))[0]

    async def mail(self, key: ThreadKey) -> Mail:
        """See ``BaseCheckpointer.mail``."""

        def work(connection: sqlite3.Connection) -> Mail:
            state = rows.find(connection, key)
            return NO_MAIL if state is None else sqlite_mail.mail(connection, state)

        return await self._reader.run(f'read the mail of thread "{key.thread}"', work)

    async def amend(self, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        """See ``BaseCheckpointer.amend``."""

        def work(connection: sqlite3.Connection) -> Told | None:
            state = rows.find(connection, key)
            if state is None:
                return None
            # Looked at before: an amendment may remove an empty thread.
            told = self._left(connection, state)
            is_made = sqlite_mail.amend(connection, state.thread, message_id, body)
            place = Place(state.thread, state.revision + 1)
            return told._replace(place=place) if is_made else None

        what, after = f'amend the mail of thread "{key.thread}"', partial(tell, self._machinery, key)
        return await self._writer.run(what, work, after) is not None

    async def prune(self, cut: Cut) -> bool:
        """See ``BaseCheckpointer.prune``."""
        key = cut.key

        def work(connection: sqlite3.Connection) -> bool:
            state = rows.find(connection, key)
            if state is None or (state.born, state.head) != (cut.born, cut.expected):
                return False
            if state.floor >= cut.base.sequence or self._claims.is_owned(key, state):
                return False
            writing.prune(connection, state.thread, cut)
            return True

        return await self._writer.run(f'prune thread "{key.thread}"', work)

    async def delete(self, key: ThreadKey, *, expected: int | None = None) -> bool:
        """See ``BaseCheckpointer.delete``."""

        def work(connection: sqlite3.Connection) -> bool:
            state = rows.find(connection, key)
            if state is None or expected not in (None, state.head):
                return False
            if self._claims.is_owned(key, state):
                raise ThreadBusyError(key.thread, state.run_id or None)
            writing.remove(connection, state.thread)
            return state.head > 0

        return await self._writer.run(f'delete thread "{key.thread}"', work)

    # -- reading -----------------------------------------------------------------------------------

    async def load(self, key: ThreadKey, known: Known | None = None) -> Stored | None:
        """See ``BaseCheckpointer.load``."""

        def work(connection: sqlite3.Connection) -> Stored | None:
            state = rows.find(connection, key)
            if state is None or not state.head:
                return None
            return rows.stored(connection, state, known, is_owned=self._claims.is_owned(key, state))

        return await self._reader.run(f'load thread "{key.thread}"', work)

    async def read(self, key: ThreadKey, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        """See ``BaseCheckpointer.read``."""

        def work(connection: sqlite3.Connection) -> Sequence[Record]:
            state = rows.find(connection, key)
            return () if state is None else rows.records(connection, state, after, max(limit, 0))

        return await self._reader.run(f'read thread "{key.thread}"', work)

    async def interrupts(
        self, key: ThreadKey | None = None, *, interrupt_id: str | None = None, status: str | None = None
    ) -> Sequence[InterruptRow]:
        """See ``BaseCheckpointer.interrupts``."""

        def work(connection: sqlite3.Connection) -> Sequence[InterruptRow]:
            state = None if key is None else rows.find(connection, key)
            if key is not None and state is None:
                return ()
            return rows.interrupts(connection, state and state.thread, interrupt_id, status)

        return await self._reader.run("read interrupts", work)

    async def threads(
        self, tenant: str = "", listing: Listing = ALL_THREADS, *, after: str = "", limit: int = 100
    ) -> Sequence[ThreadRow]:
        """See ``BaseCheckpointer.threads``. An owner's life is looked at once for each listing."""
        known: dict[str, bool] = {}

        def is_owned(state: rows.ThreadState) -> bool:
            return self._claims.is_owned(ThreadKey(tenant, state.name), state, known)

        return await self._reader.run(
            "list threads",
            lambda connection: rows.threads(connection, tenant, listing, after, max(limit, 0), is_owned),
        )

    async def base(self, key: ThreadKey) -> Snapshot | None:
        """See ``BaseCheckpointer.base``."""

        def work(connection: sqlite3.Connection) -> Snapshot | None:
            state = rows.find(connection, key)
            return None if state is None else rows.base(connection, state)

        return await self._reader.run(f'read thread "{key.thread}"', work)

    # -- watching and closing ----------------------------------------------------------------------

    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool = False) -> Callable[[], None]:
        """See ``BaseCheckpointer.watch``. A watcher who is not the owner may first be told where the thread is now."""
        self._machinery.opened_in.enter()
        return self._machinery.pulse.watch(key, watcher, signals_only=signals_only)

    def close(self) -> None:
        """See ``BaseCheckpointer.close``. Threads that are still owned become free at once."""
        if self._end.detach() is not None:
            self._machinery.end(None)

    async def aclose(self) -> None:
        """See ``BaseCheckpointer.aclose``."""
        await asyncio.to_thread(self.close)

    @property
    def _writer(self) -> Worker:
        self._machinery.opened_in.enter()
        return self._machinery.writer

    @property
    def _reader(self) -> Worker:
        self._machinery.opened_in.enter()
        return self._machinery.reader


def _checked(path: str | os.PathLike[str]) -> str:
    name = os.fspath(path)
    if not name or name == ":memory:" or name.startswith("file:"):
        raise ConfigError(
            f"SqliteCheckpointer needs the path of a file, not {name!r}. "
            "To keep threads in memory, use InMemoryCheckpointer."
        )
    if "\0" in name:
        raise ConfigError(f"A path cannot hold a NUL character: {name!r}.")
    return name
