"""A thread's journal over any store: load is snapshot + items + tail, a commit is evolve + append.

Snapshots are a cache, taken when what was written since the last one outweighs it, so that storage stays linear and
loading stays bounded; dropping them all changes nothing. What was read or written last is kept warm, and checked by
birth and sequence, so that going on with a long thread costs what is new.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from taf.checkpointer.base import (
    BaseCheckpointer,
    Commit,
    Grant,
    InterruptRow,
    Known,
    Record,
    Signal,
    Snapshot,
    Stored,
    ThreadKey,
)
from taf.checkpointer.encoding import FactCodec, Mismatch, decode_record, encode_record, without_answer
from taf.errors import GraphChangedError, StoreCorruptError
from taf.serialization import dumps, loads
from taf.state.channel import Op
from taf.state.facts import Answered, Fact, Paused, Reopened, Stopped
from taf.state.growing import Growing
from taf.state.interrupts import InterruptRecord, InterruptStatus
from taf.state.run import Run, evolve
from taf.state.schema import StateSchema

SNAPSHOT_FLOOR = 64 * 1024
"""No snapshot is taken before this many bytes have been written since the last one."""

CHUNK_BYTES = 1024 * 1024
"""About how large the parts of a snapshot are."""

WARM_THREADS = 64
"""How many threads a journal keeps in memory after they were used."""


class Warm(NamedTuple):
    """A thread as it was last read or written here."""

    born: str
    run: Run
    tail_bytes: int
    snapshot_bytes: int


class Told(NamedTuple):
    """A fact with what its record says of it."""

    record: Record
    fact: Fact


class Journal:
    """All threads of one app in one store."""

    def __init__(
        self, store: BaseCheckpointer, schema: StateSchema, *, tenant: str, clock: Callable[[], float]
    ) -> None:
        self.store, self.schema, self.tenant, self.clock = store, schema, tenant, clock
        self.codec = FactCodec(schema)
        self._warm: OrderedDict[str, Warm] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, thread_id: str) -> ThreadKey:
        """Return the name under which the store knows a thread."""
        return ThreadKey(self.tenant, thread_id)

    async def acquire(self, thread_id: str, *, lease_seconds: float, create: bool = True) -> Ledger | None:
        """Become the thread's owner; see ``BaseCheckpointer.acquire``."""
        warm = self._recall(thread_id)
        grant = await self.store.acquire(
            self.key(thread_id), lease_seconds=lease_seconds, known=_known(warm), create=create
        )
        if grant is None:
            return None
        try:
            return Ledger(self, thread_id, grant, self._rebuild(thread_id, grant.stored, warm))
        except BaseException:
            await self._give_back(thread_id, grant)
            raise

    async def _give_back(self, thread_id: str, grant: Grant) -> None:
        stored = grant.stored
        release = Commit(self.key(thread_id), grant.epoch, stored.head, (), stored.status, stored.run_id, is_release=True)
        await self.store.append(release)

    async def read(self, thread_id: str) -> tuple[Run, Stored] | None:
        """Return a thread without owning it, or None when there is none."""
        warm = self._recall(thread_id)
        stored = await self.store.load(self.key(thread_id), _known(warm))
        if stored is None:
            return None
        found = self._rebuild(thread_id, stored, warm)
        self.remember(thread_id, found)
        return found.run, stored

    async def facts(self, thread_id: str, after: int = 0) -> Sequence[Told]:
        """Return the next facts whose last event is above ``after``; empty at the head."""
        records = await self.store.read(self.key(thread_id), after)
        return [Told(record, self._fact(thread_id, record)) for record in records]

    async def interrupts(self, thread_id: str, interrupt_id: str | None = None) -> list[InterruptRecord]:
        """Return the thread's interrupts, newest first, whatever became of them."""
        rows = await self.store.interrupts(self.key(thread_id), interrupt_id=interrupt_id)
        try:
            return [decode_record(loads(row.body)) for row in rows]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StoreCorruptError(thread_id, None, error) from error

    # -- warm threads ------------------------------------------------------------------------------

    def _recall(self, thread_id: str) -> Warm | None:
        with self._lock:
            return self._warm.get(thread_id)

    def remember(self, thread_id: str, warm: Warm) -> None:
        """Keep a thread as it is known to be stored."""
        with self._lock:
            self._warm[thread_id] = warm
            self._warm.move_to_end(thread_id)
            if len(self._warm) > WARM_THREADS:
                self._warm.popitem(last=False)

    def forget(self, thread_id: str) -> None:
        """Drop what is kept, since a write went wrong: the store alone knows."""
        with self._lock:
            self._warm.pop(thread_id, None)

    # -- loading -----------------------------------------------------------------------------------

    def _rebuild(self, thread_id: str, stored: Stored, warm: Warm | None) -> Warm:
        try:
            if stored.is_known and warm is not None:
                start = warm
            elif stored.snapshot is None:
                start = Warm(stored.born, Run(thread_id), 0, 0)
            else:
                run = self._from_snapshot(thread_id, stored.snapshot, stored.items)
                start = Warm(stored.born, run, 0, sum(map(len, stored.snapshot.parts)))
        except Mismatch as error:
            raise _changed(thread_id, error) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StoreCorruptError(thread_id, stored.head, error) from error
        run, size = start.run, start.tail_bytes
        for record in stored.tail:
            run = evolve(self.schema, run, self._fact(thread_id, record))
            if run.sequence != record.sequence:
                raise StoreCorruptError(thread_id, record.sequence, f"a record is missing after {run.sequence}")
            size += len(record.body)
        if run.sequence != stored.head:
            raise StoreCorruptError(thread_id, stored.head, f"the journal ends at {run.sequence}")
        missing = self.schema.defaults(run.values) if run.sequence else {}
        if missing:
            run = run._replace(values=self.schema.apply(run.values, [Op("set", n, v) for n, v in missing.items()]))
        return Warm(stored.born, run, size, start.snapshot_bytes)

    def _fact(self, thread_id: str, record: Record) -> Fact:
        try:
            return self.codec.decode(record.kind, record.body, record.items)
        except Mismatch as error:
            raise _changed(thread_id, error) from error
        except ValueError as error:
            raise StoreCorruptError(thread_id, record.sequence, error) from error

    def _from_snapshot(self, thread_id: str, snapshot: Snapshot, items: Sequence[tuple[int, bytes]]) -> Run:
        head, references = loads(snapshot.parts[0])
        values = self.schema.apply({}, ())
        for part in snapshot.parts[1:]:
            values = self.schema.apply(values, self.codec.decode_ops(loads(part)))
        lists: dict[str, list[Any]] = {name: [] for name in references if name in self.schema.channels}
        for sequence, body in items:
            for _, *stored in loads(body):
                kind, name = stored[0], stored[1]
                if name in lists and sequence >= references[name]:
                    op = self.codec.decode_op(stored)
                    if op is None or kind not in ("set", "append"):
                        raise ValueError(f"a list that only grew has a change of kind {kind!r}")
                    lists[name].extend(op.value)
        grown = {name: Growing(found, references[name]) for name, found in lists.items()}
        return self.codec.decode_run(thread_id, head)._replace(values={**values, **grown})

    # -- snapshots ---------------------------------------------------------------------------------

    def snapshot(self, run: Run) -> Snapshot:
        """Return the fold as it is to be stored beside the journal."""
        references: dict[str, int] = {}
        parts: list[bytes] = []
        for name, value in run.values.items():
            if isinstance(value, Growing) and value.origin is not None:
                references[name] = value.origin
            else:
                parts.extend(self._chunks(name, value))
        head = dumps([self.codec.run(run), references])
        return Snapshot(run.sequence, min(references.values(), default=None), (head, *parts))

    def _chunks(self, name: str, value: Any) -> Iterable[bytes]:
        if not isinstance(value, Growing):
            yield dumps([self.codec.op(Op("set", name, value))])
            return
        yield dumps([self.codec.op(Op("set", name, []))])
        start, step = 0, 64
        while start < len(value):
            body = dumps([self.codec.op(Op("append", name, value.since(start)[:step]))])
            yield body
            start += step
            step = max(1, min(len(value), step * CHUNK_BYTES // max(len(body), 1)))


class Ledger:
    """One thread that is owned: its run, and the only way to write to it.

    ``stage`` takes facts, ``save`` writes what was staged as one transaction. What is staged and not saved is not
    told to anybody.
    """

    def __init__(self, journal: Journal, thread_id: str, grant: Grant, warm: Warm) -> None:
        self._journal, self._epoch = journal, grant.epoch
        self._born, self.run = warm.born, warm.run
        self._tail_bytes, self._snapshot_bytes = warm.tail_bytes, warm.snapshot_bytes
        self._saved = warm.run.sequence
        self._staged: list[Told] = []
        self._before = warm.run
        self._interrupts: list[InterruptRow] = []
        self.key = journal.key(thread_id)
        self.was_owned = grant.stored.is_owned
        self.is_open = True

    def stage(self, fact: Fact) -> None:
        """Take one more fact. An impossible or unstorable one raises, and is not taken."""
        journal, run = self._journal, self.run
        if not self._staged:
            self._before = run
        after = evolve(journal.schema, run, fact)
        kind, body, items = journal.codec.encode(fact)
        at = journal.clock()
        if type(fact) in _TOUCHES_INTERRUPTS:
            self._interrupts.extend(_interrupt_rows(run, fact, at))
        self._staged.append(Told(Record(after.sequence, kind, after.run_id, at, body, items, after.step), fact))
        self._tail_bytes += len(body)
        self.run = after

    def unstage(self) -> None:
        """Forget what is staged and not saved."""
        if self._staged:
            self.run, self._staged, self._interrupts = self._before, [], []

    async def save(self, *, release: bool = False) -> tuple[Sequence[Told], Sequence[Signal]]:
        """Write what is staged; return it, and the signals that wait for the run.

        When the store fails, what is in memory is dropped: only the store knows what it holds.
        """
        journal, run, told = self._journal, self.run, self._staged
        snapshot = None
        if self._tail_bytes > SNAPSHOT_FLOOR and self._tail_bytes > self._snapshot_bytes:
            snapshot = journal.snapshot(run)
            self._tail_bytes, self._snapshot_bytes = 0, sum(map(len, snapshot.parts))
        records = [one.record for one in told]
        commit = Commit(
            self.key,
            self._epoch,
            self._saved,
            records,
            run.status.value,
            run.run_id,
            self._interrupts,
            snapshot,
            release,
        )
        try:
            signals = await journal.store.append(commit)
        except BaseException:
            self.abandon()
            raise
        self._saved, self._staged, self._interrupts = run.sequence, [], []
        if release:
            self.is_open = False
            self._remember()
        return told, signals

    async def commit(self, facts: Sequence[Fact], *, release: bool = False) -> tuple[Sequence[Told], Sequence[Signal]]:
        """Stage some facts and save them."""
        for fact in facts:
            self.stage(fact)
        return await self.save(release=release)

    def abandon(self) -> None:
        """Let go without writing: the thread becomes free by itself."""
        if self.is_open:
            self.is_open = False
            self._journal.forget(self.key.thread)
            self._journal.store.abandon(self.key, self._epoch)

    def _remember(self) -> None:
        if self.run.sequence:
            warm = Warm(self._born, self.run, self._tail_bytes, self._snapshot_bytes)
            self._journal.remember(self.key.thread, warm)


def _known(warm: Warm | None) -> Known | None:
    return None if warm is None else Known(warm.born, warm.run.sequence)


def _changed(thread_id: str, error: Mismatch) -> GraphChangedError:
    return GraphChangedError(
        thread_id, str(error), f'Declare "{error.field}" so that what is stored fits, or run the thread with the old graph.'
    )


_TOUCHES_INTERRUPTS = frozenset({Paused, Answered, Reopened, Stopped})


def _interrupt_rows(run: Run, fact: Fact, at: float) -> tuple[InterruptRow, ...]:
    """Return the interrupt records that a fact opens or closes, as they are to be stored."""
    records: Iterable[InterruptRecord] = ()
    if isinstance(fact, Paused):
        records = fact.records
    elif isinstance(fact, Answered):
        records = (fact.record,)
    elif isinstance(fact, Reopened):
        records = (without_answer(fact.record),)
    elif isinstance(fact, Stopped):
        records = (
            replace(record, status=InterruptStatus.WITHDRAWN, version=record.version + 1)
            for record in run.details.interrupts
        )
    return tuple(InterruptRow(r.id, r.status.value, r.node, at, dumps(encode_record(r))) for r in records)
