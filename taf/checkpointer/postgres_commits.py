"""Commits in Postgres: one statement each, or one for many threads that commit at the same time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

from taf.checkpointer import postgres_rows as rows
from taf.checkpointer.base import Change, Commit, Signal
from taf.checkpointer.postgres_batches import Batches
from taf.checkpointer.postgres_connections import Connection
from taf.checkpointer.postgres_pulse import Lease, Pulse
from taf.checkpointer.postgres_rows import Row, Statements
from taf.checkpointer.postgres_service import Service
from taf.checkpointer.postgres_work import Piece
from taf.checkpointer.postgres_writing import CommitStatements, columns_of, values_of
from taf.checkpointer.watches import Place
from taf.errors import StaleOwnerError


class _Writing(Piece[Sequence[Signal]]):
    """A commit under a lease, which leads to the signals that wait for the run. ``mark`` is how it is known again."""

    __slots__ = ("_by", "commit", "lease", "mark", "revision")

    revision: int
    """The thread's, once the commit is made."""

    def __init__(self, by: Commits, lease: Lease, commit: Commit) -> None:
        super().__init__(f'write to thread "{commit.key.thread}"', asyncio.get_running_loop())
        self._by, self.lease, self.commit, self.mark = by, lease, commit, random.getrandbits(62)

    @property
    def is_discard(self) -> bool:
        """True for a release of a thread that has no records: it removes the thread."""
        commit = self.commit
        return commit.is_release and not commit.records and not commit.expected

    @property
    def is_small(self) -> bool:
        """True for one that can be made together with others."""
        commit = self.commit
        return not (commit.snapshot or commit.taken or self.is_discard)

    def work(self, connection: Connection, attempt: int) -> Awaitable[Sequence[Signal]]:
        """See ``Piece.work``."""
        return self._by.again(connection, self) if attempt else self._by.alone(connection, self)

    def made(self, row: Row) -> Sequence[Signal]:
        """Note what the commit led to, and return the signals that wait for the run."""
        self.revision = row["revision"]
        stored = row["signals"]
        return rows.signals_of(stored, self.commit.run_id) if stored else ()

    def follow(self, result: Sequence[Signal]) -> None:
        """See ``Piece.follow``."""
        commit, pulse = self.commit, self._by.pulse
        if commit.is_release:
            pulse.drop(commit.key, commit.epoch)
        if pulse.watches.wants(commit.key, has_signals=bool(result)):
            head = commit.records[-1].sequence if commit.records else commit.expected
            change = Change(head, commit.status, commit.run_id, () if commit.is_release else result)
            pulse.watches.tell(commit.key, Place(self.lease.thread, self.revision), change)


class Commits:
    """Writes commits, whoever they come from."""

    def __init__(self, service: Service, pulse: Pulse, statements: Statements) -> None:
        self.pulse = pulse
        self._service, self._sql, self._writing = service, statements, CommitStatements(statements.of)
        self._batches: Batches[_Writing, Sequence[Signal]] = Batches(service, self._together)

    def write(self, commit: Commit) -> Coroutine[Any, Any, Sequence[Signal]]:
        """See ``BaseCheckpointer.append``."""
        lease = self.pulse.lease(commit.key, commit.epoch)
        if lease is None:
            raise StaleOwnerError(commit.key.thread, commit.epoch)
        one = _Writing(self, lease, commit)
        return self._batches.have_done(one) if one.is_small else self._service.have_done(one)

    def _is_held(self, one: _Writing) -> bool:
        return self.pulse.lease(one.commit.key, one.commit.epoch) is one.lease

    async def again(self, connection: Connection, one: _Writing) -> Sequence[Signal]:
        """Make a commit that may have been made though its answer was lost, and the lease with it."""
        made = await self._made(connection, one)
        if made is not None:
            return made
        try:
            return await self.alone(connection, one)
        except StaleOwnerError:
            made = await self._made(connection, one)  # it was under way still, when it was looked for
            if made is None:
                raise
            return made

    async def alone(self, connection: Connection, one: _Writing) -> Sequence[Signal]:
        """Make a commit by a statement of its own."""
        lease, commit = one.lease, one.commit
        if not self._is_held(one):
            raise StaleOwnerError(commit.key.thread, commit.epoch)
        owner, row = self.pulse.owner, None
        if one.is_discard:
            row = await connection.fetchrow(self._sql.discard, lease.thread, commit.epoch, owner)
        if row is None:  # nothing to remove, or mail waits there
            form, values = values_of(lease, commit)
            row = await connection.fetchrow(self._writing.append(*form), owner, one.mark, *values)
        if row is None:
            raise StaleOwnerError(commit.key.thread, commit.epoch)
        if one.is_discard and commit.taken is not None:
            await connection.execute(self._sql.sweep, lease.thread)
        return one.made(row)

    async def _together(self, connection: Connection, many: Sequence[_Writing]) -> Sequence[Sequence[Signal] | None]:
        # Each thread once, and all in the order of their rows: another statement that takes several does so, too.
        chosen = {one.lease.thread: one for one in many if self._is_held(one)}
        batch = [chosen[thread] for thread in sorted(chosen)]
        made = {row["id"]: row for row in await self._write(connection, batch)} if batch else {}
        return [
            one.made(row)
            if chosen.get(one.lease.thread) is one and (row := made.get(one.lease.thread)) is not None
            else None
            for one in many
        ]

    async def _write(self, connection: Connection, batch: Sequence[_Writing]) -> Sequence[Row]:
        for one in batch:
            one.mark = batch[0].mark  # each in a row of its own, so one is enough
        has_interrupts, values = columns_of([one.lease for one in batch], [one.commit for one in batch])
        return await connection.fetch(
            self._writing.append_many(has_interrupts), self.pulse.owner, batch[0].mark, *values
        )

    async def _made(self, connection: Connection, one: _Writing) -> Sequence[Signal] | None:
        """Return what a commit led to whose answer was lost, or None when it was not made."""
        lease, commit, mark = one.lease, one.commit, one.mark
        last = commit.records[-1] if commit.records else None
        row = await connection.fetchrow(self._writing.made, lease.thread, last.sequence if last else commit.expected)
        if row is None:  # a release without records removes the thread
            one.revision = lease.seen.revision + 1
            return () if commit.is_release and not commit.expected else None
        if row["mark"] == mark:
            return one.made(row)
        one.revision = row["revision"]
        if one.is_discard and row["owner"] is None and row["epoch"] == commit.epoch:
            return ()  # a release of a thread that has nothing but mail
        if row["epoch"] != commit.epoch and last is not None and commit.is_release and row["body"] == last.body:
            return ()  # made, and the thread has gone on since with somebody else
        return None
