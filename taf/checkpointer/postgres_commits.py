"""Commits in Postgres: one statement each, or one for many threads that commit at the same time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from taf.checkpointer import postgres_rows as rows
from taf.checkpointer.base import Change, Commit, Signal
from taf.checkpointer.postgres_batches import Batches
from taf.checkpointer.postgres_connections import Connection
from taf.checkpointer.postgres_pulse import Lease, Pulse
from taf.checkpointer.postgres_rows import Statements, encode_name
from taf.checkpointer.postgres_service import Service
from taf.checkpointer.watches import Place
from taf.errors import StaleOwnerError

Made: TypeAlias = tuple[int, Sequence[Signal]]
"""What a commit led to: the thread's revision, and the signals that wait for the run."""


class _Part(NamedTuple):
    """A commit under a lease. ``mark`` is how it is known again."""

    lease: Lease
    commit: Commit
    mark: int

    @property
    def is_discard(self) -> bool:
        """True for a release of a thread that has no records: it removes the thread."""
        return self.commit.is_release and not self.commit.records and not self.commit.expected

    @property
    def is_small(self) -> bool:
        """True for one that takes nothing but a thread's row and its journal."""
        return not (self.is_discard or self.commit.interrupts or self.commit.snapshot or self.commit.taken)


class Commits:
    """Writes commits, whoever they come from."""

    def __init__(self, service: Service, pulse: Pulse, statements: Statements) -> None:
        self._service, self._pulse, self._sql = service, pulse, statements
        self._batches: Batches[_Part, Made] = Batches(service, self._together)

    async def write(self, commit: Commit) -> Sequence[Signal]:
        """Make a commit, and return the signals that wait for its run. Raise ``StaleOwnerError``."""
        key, pulse = commit.key, self._pulse
        lease = pulse.lease(key, commit.epoch)
        if lease is None:
            raise StaleOwnerError(key.thread, commit.epoch)
        part = _Part(lease, commit, random.getrandbits(62))

        async def alone(connection: Connection, attempt: int) -> Made:
            return await (self._again(connection, part) if attempt else self._alone(connection, part))

        def after(made: Made) -> None:
            revision, signals = made
            if commit.is_release:
                pulse.drop(key, commit.epoch)
            if pulse.watches.wants(key, has_signals=bool(signals)):
                head = commit.records[-1].sequence if commit.records else commit.expected
                change = Change(head, commit.status, commit.run_id, () if commit.is_release else signals)
                pulse.watches.tell(key, Place(lease.thread, revision), change)

        what = f'write to thread "{key.thread}"'
        if part.is_small:
            _, signals = await self._batches.run(what, part, alone, after)
        else:
            _, signals = await self._service.run(what, alone, after)
        return signals

    def _is_held(self, part: _Part) -> bool:
        return self._pulse.lease(part.commit.key, part.commit.epoch) is part.lease

    async def _again(self, connection: Connection, part: _Part) -> Made:
        # It may have been made though its answer was lost, and the lease with it.
        made = await self._made(connection, part)
        if made is not None:
            return made
        try:
            return await self._alone(connection, part)
        except StaleOwnerError:
            made = await self._made(connection, part)  # it was under way still, when it was looked for
            if made is None:
                raise
            return made

    async def _alone(self, connection: Connection, part: _Part) -> Made:
        lease, commit, mark = part
        if not self._is_held(part):
            raise StaleOwnerError(commit.key.thread, commit.epoch)
        owner, written = self._pulse.owner, commit.records
        row = None
        if part.is_discard:
            row = await connection.fetchrow(self._sql.discard, lease.thread, commit.epoch, owner)
        if row is None:  # nothing to remove, or mail waits there
            form, values = rows.append_values(commit)
            row = await connection.fetchrow(
                self._sql.append(*form),
                *(lease.thread, commit.epoch, commit.expected, owner),
                written[-1].sequence if written else commit.expected,
                *(encode_name(commit.status), encode_name(commit.run_id)),
                written[-1].at if written else None,
                *(encode_name(commit.graph), mark, commit.is_release, lease.seconds),
                *values,
            )
        if row is None:
            raise StaleOwnerError(commit.key.thread, commit.epoch)
        if part.is_discard and commit.taken is not None:
            await connection.execute(self._sql.sweep, lease.thread)
        return row["revision"], rows.signals_of(row["signals"], commit.run_id)

    async def _together(self, connection: Connection, parts: Sequence[_Part]) -> Sequence[Made | None]:
        # Each thread once, and all in the order of their rows: another statement that takes several does so, too.
        chosen = {part.lease.thread: part for part in parts if self._is_held(part)}
        values = _values_of([chosen[thread] for thread in sorted(chosen)])
        found = await connection.fetch(self._sql.append_many, self._pulse.owner, *values)
        made = {row["id"]: row for row in found}
        return [
            (row["revision"], rows.signals_of(row["signals"], part.commit.run_id))
            if chosen.get(part.lease.thread) is part and (row := made.get(part.lease.thread)) is not None
            else None
            for part in parts
        ]

    async def _made(self, connection: Connection, part: _Part) -> Made | None:
        """Return what a commit led to whose answer was lost, or None when it was not made."""
        lease, commit, mark = part
        last = commit.records[-1] if commit.records else None
        row = await connection.fetchrow(self._sql.made, lease.thread, last.sequence if last else commit.expected)
        if row is None:  # a release without records removes the thread
            return (lease.seen.revision + 1, ()) if commit.is_release and not commit.expected else None
        if row["mark"] == mark:
            return row["revision"], rows.signals_of(row["signals"], commit.run_id)
        if part.is_discard and row["owner"] is None and row["epoch"] == commit.epoch:
            return row["revision"], ()  # a release of a thread that has nothing but mail
        if row["epoch"] != commit.epoch and last is not None and commit.is_release and row["body"] == last.body:
            return row["revision"], ()  # made, and the thread has gone on since with somebody else
        return None


def _values_of(parts: Sequence[_Part]) -> list[Any]:
    """Return the parameters of ``Statements.append_many`` behind the owner, for small commits."""
    heads: list[tuple[Any, ...]] = []
    journal: list[tuple[Any, ...]] = []
    for lease, commit, mark in parts:
        written, thread = commit.records, lease.thread
        head, at = (written[-1].sequence, written[-1].at) if written else (commit.expected, None)
        names = encode_name(commit.status), encode_name(commit.run_id)
        rest = (encode_name(commit.graph), mark, commit.is_release, lease.seconds)
        heads.append((thread, commit.epoch, commit.expected, head, *names, at, *rest))
        journal += [(thread, r.sequence, encode_name(r.kind), encode_name(r.run_id), *r[3:]) for r in written]
    columns = zip(*heads, strict=True) if heads else [()] * 11
    return [*map(list, columns), *map(list, zip(*journal, strict=True) if journal else [()] * 8)]
