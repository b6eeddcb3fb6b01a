"""The jobs of owners: to take a thread, and to write to it.

A crowd has one of these waiting for each of its runs. So each is one object, where functions with their cells would be
a dozen for the garbage collector to look at.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence

from taf.checkpointer import sqlite_mail
from taf.checkpointer import sqlite_many as many
from taf.checkpointer import sqlite_rows as rows
from taf.checkpointer import sqlite_writing as writing
from taf.checkpointer.base import Change, Commit, Grant, Known, Row, Signal, ThreadKey
from taf.checkpointer.sqlite_claims import Claims, Granted
from taf.checkpointer.sqlite_machinery import Machinery
from taf.checkpointer.sqlite_pulse import Lease, lease_end
from taf.checkpointer.sqlite_work import Job
from taf.checkpointer.watches import Place, Told
from taf.errors import StaleOwnerError


class Taking(Job[Grant | None]):
    """Makes somebody a thread's owner, and writes what it begins with in the same transaction.

    A power cut ends all owners of a machine, so claims that it undoes are nobody's: they alone need not be synced.
    """

    __slots__ = ("_claims", "_create", "_first", "_granted", "_key", "_known", "_machinery", "_seconds", "_told")

    def __init__(
        self,
        machinery: Machinery,
        claims: Claims,
        key: ThreadKey,
        seconds: float,
        known: Known | None,
        create: bool = True,
        first: Commit | None = None,
    ) -> None:
        super().__init__(f'acquire thread "{key.thread}"', asyncio.get_running_loop(), is_synced=first is not None)
        self._machinery, self._claims, self._key, self._seconds = machinery, claims, key, seconds
        self._known, self._create, self._first = known, create, first
        self._granted: Granted | None = None
        self._told: Told | None = None

    def work(self, connection: sqlite3.Connection) -> Grant | None:
        """See ``Job.work``."""
        first = self._first
        granted = self._claims.acquire(connection, self._key, self._seconds, self._known, self._create, first)
        if granted is None:
            return None
        self._granted = granted
        if first is not None and granted.grant.has_begun:
            self._told = told_of(connection, self._machinery, granted.lease, first, granted.signals)
        return granted.grant

    @property
    def is_plain(self) -> bool:
        """See ``Job.is_plain``."""
        first = self._first
        if first is None or first.expected or self._known is not None:
            return False
        return brings_records_alone(self._machinery, first)

    def do_together(self, connection: sqlite3.Connection, jobs: Sequence[Taking]) -> Sequence[Taking]:
        """See ``Job.do_together``. Threads that are there are left: they may be owned."""
        chosen: dict[ThreadKey, Taking] = {}
        wanted: dict[ThreadKey, tuple[float, Commit]] = {}
        for job in jobs:
            if job._first is not None and job._key not in chosen:
                chosen[job._key], wanted[job._key] = job, (job._seconds, job._first)
        granted = self._claims.begin_anew(connection, wanted)
        for key, found in granted.items():
            chosen[key]._granted, chosen[key].result = found, found.grant
        return [chosen[key] for key in granted]

    def after(self, result: Grant | None) -> None:
        """See ``Job.after``."""
        tell(self._machinery, self._key, self._told)
        if result is not None and self.loop is not None and self.loop.is_closed():  # nobody is left to release it
            abandon(self._machinery, self._key, result.epoch)

    def undo(self) -> None:
        """See ``Job.undo``."""
        # A COMMIT that failed may be on disk all the same: the row then names this owner, who must not keep it.
        granted, self._granted, self._told = self._granted, None, None
        if granted is not None:
            self._machinery.pulse.put_back(self._key, granted.lease, granted.before)


class Writing(Job[Sequence[Signal]]):
    """Writes a commit. It renews the lease, or gives the thread back."""

    __slots__ = ("_commit", "_machinery", "_told")

    def __init__(self, machinery: Machinery, commit: Commit) -> None:
        super().__init__(f'write to thread "{commit.key.thread}"', asyncio.get_running_loop())
        self._machinery, self._commit = machinery, commit
        self._told: Told | None = None

    def work(self, connection: sqlite3.Connection) -> Sequence[Signal]:
        """See ``Job.work``."""
        commit, key = self._commit, self._commit.key
        lease, signals = self._machinery.pulse.lease(key, commit.epoch), None
        if lease is not None:
            signals = writing.write(connection, lease.thread, lease.owner, lease_end(lease.seconds), commit)
        if lease is None or signals is None:
            raise StaleOwnerError(key.thread, commit.epoch)
        sqlite_mail.take(connection, lease.thread, commit)
        self._told = told_of(connection, self._machinery, lease, commit, signals)
        if commit.is_release and not (commit.records or commit.expected):
            writing.sweep(connection, lease.thread)
        return signals

    @property
    def is_plain(self) -> bool:
        """See ``Job.is_plain``."""
        return many.IS_ABLE and brings_records_alone(self._machinery, self._commit)

    def do_together(self, connection: sqlite3.Connection, jobs: Sequence[Writing]) -> Sequence[Writing]:
        """See ``Job.do_together``. Those are left which are refused, or find signals."""
        chosen: dict[int, Writing] = {}
        moves: dict[int, tuple[str, int, Commit]] = {}
        for job in jobs:
            commit = job._commit
            lease = self._machinery.pulse.lease(commit.key, commit.epoch)
            if lease is not None and lease.thread not in chosen:
                chosen[lease.thread] = job
                moves[lease.thread] = lease.owner, lease_end(lease.seconds), commit
        done = [chosen[thread] for thread in many.move(connection, moves)]
        for job in done:
            job.result = ()
        return done

    def after(self, result: Sequence[Signal]) -> None:
        """See ``Job.after``."""
        commit = self._commit
        if commit.is_release:
            self._machinery.pulse.drop(commit.key, commit.epoch)
        tell(self._machinery, commit.key, self._told)


class Stepping(Job[Sequence[Signal] | None]):
    """Writes a record of a run that goes on. None, with nothing written, where there is more to it.

    That is when signals wait, when somebody watches, and when the fence refuses it.
    """

    __slots__ = ("_epoch", "_expected", "_key", "_machinery", "_row")

    def __init__(self, machinery: Machinery, key: ThreadKey, epoch: int, expected: int, row: Row) -> None:
        super().__init__(f'write to thread "{key.thread}"', None)
        self._machinery, self._key, self._epoch, self._expected, self._row = machinery, key, epoch, expected, row

    def work(self, connection: sqlite3.Connection) -> Sequence[Signal] | None:
        """See ``Job.work``."""
        pulse, key, epoch = self._machinery.pulse, self._key, self._epoch
        lease = pulse.lease(key, epoch)
        if lease is None or pulse.watches.wants(key, has_signals=False):
            return None
        thread, owner, ends = lease.thread, lease.owner, lease_end(lease.seconds)
        return () if writing.write_step(connection, thread, owner, epoch, self._expected, ends, self._row) else None


def brings_records_alone(machinery: Machinery, commit: Commit) -> bool:
    """True for a commit that writes to no other table, and that nobody is told of."""
    if not commit.records or commit.interrupts or commit.snapshot or commit.taken:
        return False
    return not machinery.pulse.watches.wants(commit.key, has_signals=False)


def told_of(
    connection: sqlite3.Connection, machinery: Machinery, lease: Lease, commit: Commit, signals: Sequence[Signal]
) -> Told | None:
    """Return what watchers are told of a commit that was written in this transaction."""
    if not machinery.pulse.watches.wants(commit.key, has_signals=bool(signals)):
        return None
    head = commit.records[-1].sequence if commit.records else commit.expected
    left = () if commit.is_release else signals
    place = Place(lease.thread, rows.revision(connection, lease.thread))
    return Told(place, Change(head, commit.status, commit.run_id, left))


def tell(machinery: Machinery, key: ThreadKey, told: Told | None) -> None:
    """Tell watchers of a write, if there is anything to tell."""
    if told is not None:
        machinery.pulse.watches.tell(key, told.place, told.change)


def abandon(machinery: Machinery, key: ThreadKey, epoch: int) -> None:
    """Let go of a thread without waiting: it is released in passing, or else when its lease ends."""
    lease = None if machinery.opened_in.is_another else machinery.pulse.drop(key, epoch)
    if lease is not None:
        machinery.writer.post(lambda connection: writing.release(connection, lease.thread, epoch, lease.owner))
