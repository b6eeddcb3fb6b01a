"""One thread that is owned, and what is written to it: a commit is evolve + append.

Snapshots are a cache, taken when what was written since the last one outweighs it, so that storage stays linear and
loading stays bounded; dropping them all changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from taf.checkpointer.base import (
    BaseCheckpointer,
    Commit,
    Grant,
    InterruptRow,
    Known,
    Record,
    Row,
    Signal,
    Snapshot,
    Stored,
    Taken,
    ThreadKey,
)
from taf.checkpointer.begins import Begins
from taf.checkpointer.encoding import FactCodec
from taf.checkpointer.lineage import Lineage
from taf.checkpointer.snapshots import SnapshotCodec
from taf.errors import NotStorableError
from taf.serialization import dumps, full_length
from taf.state.channel import Op
from taf.state.draft import Draft
from taf.state.facts import Answered, Fact, Stepped, Task
from taf.state.interrupts import InterruptStatus
from taf.state.run import Ahead, Run, arrived, evolve
from taf.state.schema import StateSchema
from taf.tuples import NamedTuple, quick_tuple

SNAPSHOT_FLOOR = 64 * 1024
"""No snapshot is taken before this many bytes have been written since the last one."""


class Warm(NamedTuple):
    """A thread as it was last read or written here."""

    born: str
    run: Run
    tail_bytes: int
    snapshot_bytes: int
    floor: int = 0
    ops: tuple[Op, ...] = ()
    """What has yet to be put on record when the thread goes on: see ``Shown``."""


class Told(NamedTuple):
    """A fact with what its record says of it."""

    record: Record
    fact: Fact


NOBODYS = Grant(0, Stored("", 0, "idle", "", is_owned=False, is_known=False, snapshot=None, items=(), tail=()))
"""What a ledger has of a thread that nobody has acquired yet: see ``begin``."""


class Keeper(Protocol):
    """What a ledger needs of its journal."""

    store: BaseCheckpointer
    schema: StateSchema
    clock: Callable[[], float]
    graph: str
    lineage: Lineage
    codec: FactCodec
    snapshots: SnapshotCodec

    def remember(self, thread_id: str, warm: Warm) -> None:
        """Keep a thread as it is known to be stored."""
        ...

    def forget(self, thread_id: str) -> None:
        """Drop what is kept of a thread."""
        ...


class Ledger:
    """One thread that is owned: its run, and the only way to write to it.

    ``stage`` takes facts, ``save`` writes what was staged as one transaction. What is staged and not saved is not
    told to anybody.
    """

    told: Sequence[Told] = ()
    """What the last ``save`` wrote, if somebody wants to know."""

    def __init__(self, journal: Keeper, key: ThreadKey, grant: Grant, warm: Warm) -> None:
        store = journal.store
        self._journal, self._epoch = journal, grant.epoch
        self._store, self._codec = store, journal.codec
        self._clock, self._is_quick = journal.clock, store.is_quick
        self._graph = journal.graph
        self.born, self.run, self._floor, self.unrecorded = warm.born, warm.run, warm.floor, warm.ops
        self._tail_bytes, self._snapshot_bytes = warm.tail_bytes, warm.snapshot_bytes
        self._ahead: Ahead | None = None
        self._saved: Run | Ahead = warm.run
        self.committed = warm.run.sequence
        """The sequence up to which the store has the thread."""
        self._staged: tuple[Row, ...] = ()
        self._facts: tuple[Fact, ...] = ()
        self.is_told = True
        """Whether somebody wants to know what is written."""
        self._interrupts: tuple[InterruptRow, ...] = ()
        self._taken: Taken | None = None
        self.mail = grant.mail
        """The messages that waited when the thread was acquired."""
        self.key = key
        self.is_open = grant is not NOBODYS
        self.has_begun = False
        """True for one that was acquired and saved in one go, by ``begin``."""
        self._failure: BaseException | None = None

    def catch_up(self) -> Run:
        """Return the run, also while plain steps are under way: ``run`` stays behind until this is called."""
        if self._ahead is not None:
            self.run, self._ahead = arrived(self._ahead), None
        return self.run

    def stage(self, fact: Fact, after: Run | None = None) -> None:
        """Take one more fact. An impossible or unstorable one raises, and is not taken.

        ``after``: the run that it leads to, from a caller who knows it already.
        """
        journal, run = self._journal, self.catch_up()
        if after is None:
            after = evolve(journal.schema, run, fact)
        kind, body, items = journal.codec.encode(fact)
        at = journal.clock()
        if run.details is not after.details and (run.details.interrupts or after.details.interrupts):
            self._interrupts += _interrupt_rows(journal.codec, run, after, fact, at)
        self._staged += ((after.sequence, kind, after.run_id, at, body, items, after.step),)
        if self.is_told:
            self._facts += (fact,)
        self._tail_bytes += self._codec.length(body)
        self.run = after

    def stage_all(self, draft: Draft) -> None:
        """Take the facts of a draft that was begun on the run as it is."""
        for fact, after in draft.moves:
            self.stage(fact, after)

    def stage_straight(self, task: Task, ops: Sequence[Op], ahead: Ahead, *, saves: bool) -> Sequence[Signal] | None:
        """Take a step of one node that led along its edges, for a run with no details.

        ``saves``: do what ``save`` does as well, if that is quick, and return the signals that wait for the run. None:
        it is only staged, since the store has to be waited for, or there is more to write, or somebody to tell. Raise
        as ``stage`` does, and when it could not be written, which leaves the ledger not open.
        """
        run, sequence, step, node, frontier, _ = ahead
        body, items = self._codec.encode_straight(task, ops, frontier)
        row = (sequence, "stepped", run.run_id, self._clock(), body, items, step)
        signals: Sequence[Signal] | None = None
        if saves and self._is_quick and not (self._staged or self.is_told or self._tail_bytes > SNAPSHOT_FLOOR):
            try:
                signals = self._store.append_now(self.key, self._epoch, self.committed, row)
            except BaseException as error:
                self._failed(error)
                raise
        if signals is not None:
            self._saved, self.committed = ahead, sequence
        else:
            self._staged = (*self._staged, row) if self._staged else (row,)
            if self.is_told:  # its fact is made only for those who want to know
                self._facts += (Stepped(((node, task.key, ops),), frontier),)
        self.run, self._ahead = run, ahead
        self._tail_bytes += self._codec.length(body)
        return signals

    def unstage(self) -> None:
        """Forget what is staged and not saved."""
        if self._staged:
            saved = self._saved
            self._tail_bytes -= sum(full_length(row[4]) for row in self._staged)
            self.run, self._ahead = saved if isinstance(saved, Run) else arrived(saved), None
            self._staged, self._facts, self._interrupts, self._taken = (), (), (), None

    def take(self, taken: Taken) -> None:
        """Let messages be gone with what is staged."""
        before = self._taken
        if before is not None:
            amendments = before.amendments if taken.amendments is None else taken.amendments
            taken = Taken((*before.ids, *taken.ids), amendments)
        self._taken = taken

    async def save(self, *, release: bool = False) -> Sequence[Signal]:
        """Write what is staged, if anything, and keep it as ``told``. Return the signals that wait for the run.

        When the store fails, what is in memory is dropped: only the store knows what it holds.
        """
        facts = self._facts
        if not (release or self._staged or self._taken or self._failure):
            self.told = ()
            return ()
        commit = self._commit(release)
        try:
            signals = await self._store.append(commit)
        except BaseException as error:
            self._failed(error)
            raise
        self._wrote(commit, facts)
        if release:
            self.is_open = False
            self._remember()
        return signals

    @property
    def can_begin(self) -> bool:
        """True when there is no more to write now than ``begin`` takes."""
        return bool(self._staged) and self._taken is None and self._tail_bytes <= SNAPSHOT_FLOOR

    async def begin(self, store: Begins, lease_seconds: float, known: Known | None) -> Grant:
        """Acquire the thread, and save what is staged on how it presumably is. It is of no use when it is not so."""
        facts = self._facts
        commit = self._commit(is_release=False)
        grant = await store.begin(commit, lease_seconds=lease_seconds, known=known)
        if grant.has_begun:
            self._epoch, self.born, self.mail = grant.epoch, grant.stored.born, grant.mail
            self.is_open = self.has_begun = True
            self._wrote(commit, facts)
        return grant

    def _wrote(self, commit: Commit, facts: Sequence[Fact]) -> None:
        if commit.records:
            self.committed = commit.records[-1].sequence
        if self.is_told:
            self.told = [Told(*one) for one in zip(commit.records, facts, strict=True)]

    def _commit(self, is_release: bool) -> Commit:
        """Return what is staged, which is not staged any more."""
        if self._failure is not None:  # say again what went wrong: that the thread was let go of since is no news
            raise self._failure
        run, interrupts = self.run, self._interrupts  # plain steps that led on from it left its status as it is
        records = tuple([quick_tuple(Record, row) for row in self._staged])
        self._saved = self._ahead or run  # while it is written as well: what was before is not kept alive for it
        self._staged, self._facts, self._interrupts = (), (), ()
        snapshot = self._snapshot() if self._tail_bytes > SNAPSHOT_FLOOR else None
        key, epoch, head, graph, taken = self.key, self._epoch, self.committed, self._graph, self._taken
        self._taken = None
        status, run_id = run.status, run.run_id
        row = (key, epoch, head, records, status, run_id, interrupts, snapshot, is_release, graph, taken)
        commit: Commit = quick_tuple(Commit, row)
        return commit

    def _failed(self, error: BaseException) -> None:
        self._failure, self._is_quick = error, False  # what comes next hears of it
        self.abandon()

    def _snapshot(self) -> Snapshot | None:
        """Return a snapshot if what was written since the last one outweighs it."""
        is_older = self.run.edition.version != self._journal.lineage.version  # what is stored has not been migrated
        if is_older or self._tail_bytes <= self._snapshot_bytes:
            return None
        try:
            found = self._journal.snapshots.take(self.catch_up())
        except NotStorableError:  # it is only a cache: the journal holds all that it would hold
            self._snapshot_bytes = 2 * self._tail_bytes
            return None
        self._tail_bytes, self._snapshot_bytes = 0, sum(map(full_length, found.parts))
        return found

    def abandon(self) -> None:
        """Let go without writing: the thread becomes free by itself."""
        if self.is_open:
            self.is_open = False
            self._journal.forget(self.key.thread)
            self._store.abandon(self.key, self._epoch)

    def _remember(self) -> None:
        if self.catch_up().sequence:
            seen = (self.born, self.run, self._tail_bytes, self._snapshot_bytes, self._floor, ())
            self._journal.remember(self.key.thread, quick_tuple(Warm, seen))


def _interrupt_rows(codec: FactCodec, before: Run, after: Run, fact: Fact, at: float) -> tuple[InterruptRow, ...]:
    """Return the interrupt records that a fact opened, changed or closed, as they are to be stored."""
    was = {record.id: record for record in before.details.interrupts}
    now = {record.id: record for record in after.details.interrupts}
    found = [record for record in now.values() if was.get(record.id) is not record]
    if isinstance(fact, Answered):
        found.append(fact.record)
    else:
        gone = [record for record in was.values() if record.id not in now]
        found += [replace(r, status=InterruptStatus.WITHDRAWN, version=r.version + 1) for r in gone]
    return tuple(InterruptRow(r.id, r.status.value, r.node, at, dumps(codec.record(r))) for r in found)
