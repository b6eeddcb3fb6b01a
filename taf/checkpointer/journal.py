"""All threads of an app over any store: load is snapshot + items + tail.

What was read or written last is kept warm, and checked by birth and sequence, so that going on with a long thread costs
what is new.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager

from taf.checkpointer.base import (
    BaseCheckpointer,
    Commit,
    Grant,
    Known,
    Stored,
    ThreadKey,
)
from taf.checkpointer.begins import Begins
from taf.checkpointer.changes import Mismatch
from taf.checkpointer.fold import Fold, Reading, changed
from taf.checkpointer.interrupts import decode_record
from taf.checkpointer.ledger import NOBODYS, Ledger, Told, Warm
from taf.checkpointer.lineage import Lineage
from taf.errors import ConfigError, GraphChangedError, StoreCorruptError
from taf.serialization import full_length, loads
from taf.state.execution import ExecutionStatus
from taf.state.interrupts import InterruptRecord
from taf.state.run import Run
from taf.state.schema import StateSchema
from taf.tuples import quick_tuple

WARM_THREADS = 64
"""How many threads a journal keeps in memory after they were used."""

FIRST_VERSION = Lineage()


class Journal:
    """All threads of one app in one store. ``graph`` is the name that it puts on what it writes."""

    def __init__(
        self,
        store: BaseCheckpointer,
        schema: StateSchema,
        *,
        tenant: str,
        clock: Callable[[], float],
        graph: str = "",
        lineage: Lineage = FIRST_VERSION,
    ) -> None:
        self.store, self.schema, self.tenant, self.clock, self.graph = store, schema, tenant, clock, graph
        self.lineage, self.reading = lineage, Reading(schema, lineage, is_short=store.wants_short_rows)
        self.codec, self.snapshots = self.reading.codec, self.reading.snapshots
        self.begins = store if isinstance(store, Begins) and store.can_begin else None
        """The store, if it can do what ``begin`` needs."""
        self._warm: OrderedDict[str, Warm] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, thread_id: str) -> ThreadKey:
        """Return the name under which the store knows a thread."""
        key: ThreadKey = quick_tuple(ThreadKey, (self.tenant, thread_id))
        return key

    async def acquire(self, thread_id: str, *, lease_seconds: float, create: bool = True) -> Ledger | None:
        """Become the thread's owner; see ``BaseCheckpointer.acquire``."""
        warm, key = self._recall(thread_id), self.key(thread_id)
        grant = await self.store.acquire(key, lease_seconds=lease_seconds, known=_known(warm), create=create)
        return None if grant is None else await self._granted(key, grant, warm)

    async def begin(
        self, thread_id: str, stage: Callable[[Ledger], Awaitable[bool]], *, lease_seconds: float, create: bool = True
    ) -> Ledger | None:
        """Become the thread's owner, and save with it what ``stage`` puts into a ledger of how it presumably is.

        That is as it was last seen here, or else new. Where it is otherwise, nothing is saved: the ledger that is
        returned has not ``has_begun``. None, with nothing done, where the store cannot, where ``stage`` says no, and
        (not ``create``) where there is no such thread.
        """
        store, warm, key = self.begins, self._recall(thread_id), self.key(thread_id)
        if store is None:
            return None
        if warm.ops if warm is not None else not create:
            return None
        ledger = Ledger(self, key, NOBODYS, warm or Warm("", Run(thread_id), 0, 0))
        if not (await stage(ledger) and ledger.can_begin):
            return None
        del stage  # what it refers to is not kept alive while this waits
        grant = await ledger.begin(store, lease_seconds, _known(warm))
        if grant.has_begun:
            return ledger
        if not (create or grant.stored.head):
            await self._give_back(key, grant)
            return None
        return await self._granted(key, grant, warm)

    async def _granted(self, key: ThreadKey, grant: Grant, warm: Warm | None) -> Ledger:
        try:
            return Ledger(self, key, grant, self._rebuild(key.thread, grant.stored, warm))
        except BaseException:
            await self._give_back(key, grant)
            raise

    async def _give_back(self, key: ThreadKey, grant: Grant) -> None:
        stored = grant.stored
        release = Commit(key, grant.epoch, stored.head, (), stored.status, stored.run_id, is_release=True)
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
        return [Told(record, self.reading.fact_to_show(thread_id, record)) for record in records]

    async def beginning(self, thread_id: str) -> Fold:
        """Return what a thread's records begin with: it as it was then, or an empty one when they tell all of it."""
        found = await self.store.base(self.key(thread_id))
        if found is None:
            return Fold(self.reading, Run(thread_id))
        with _readable(thread_id, found.sequence):
            return self.reading.restore(thread_id, found, ())

    async def base(self, thread_id: str) -> Run | None:
        """Return the thread as it is in what stands for its pruned records, or None when none are."""
        fold = await self.beginning(thread_id)
        return fold.run if fold.run.sequence else None

    async def interrupts(self, thread_id: str, interrupt_id: str | None = None) -> list[InterruptRecord]:
        """Return the thread's interrupts, newest first, whatever became of them."""
        rows = await self.store.interrupts(self.key(thread_id), interrupt_id=interrupt_id)
        try:
            return [decode_record(loads(row.body)) for row in rows]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StoreCorruptError(thread_id, None, error) from error

    # -- warm threads ------------------------------------------------------------------------------

    def _recall(self, thread_id: str) -> Warm | None:
        return self._warm.get(thread_id)

    def remember(self, thread_id: str, warm: Warm) -> None:
        """Keep a thread as it is known to be stored. One of another version is kept by nobody: it is read anew."""
        is_ours = warm.run.edition.version == self.lineage.version
        with self._lock:
            if not is_ours:
                self._warm.pop(thread_id, None)
                return
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
        """Fold what was read. Raise ``GraphChangedError`` or ``StoreCorruptError``."""
        if not stored.head:
            return Warm(stored.born, Run(thread_id), 0, 0, stored.floor)
        try:
            if stored.is_known and warm is not None:
                fold, size, kept = Fold(self.reading, warm.run), warm.tail_bytes, warm.snapshot_bytes
                fold.pending = warm.ops
            else:
                fold, size = self.reading.start(thread_id, stored), 0
                kept = 0 if stored.snapshot is None else sum(map(full_length, stored.snapshot.parts))
            for record in stored.tail:
                fold.follow(record)
                size += full_length(record.body)
            if fold.run.sequence != stored.head:
                raise ValueError(f"the journal ends at {fold.run.sequence}")
            run, ops = fold.shown()
        except (ConfigError, GraphChangedError, StoreCorruptError):
            raise
        except Mismatch as error:
            raise changed(thread_id, error) from error
        except Exception as error:  # a store may hold anything
            raise StoreCorruptError(thread_id, stored.head, error) from error
        if run.status is not ExecutionStatus.IDLE and self.schema.missing(run.values):
            raise _lacking(thread_id, self.schema.missing(run.values)[0])
        return Warm(stored.born, run, size, kept, stored.floor, ops)


def _known(warm: Warm | None) -> Known | None:
    return None if warm is None else Known(warm.born, warm.run.sequence, warm.floor)


@contextmanager
def _readable(thread_id: str, sequence: int) -> Generator[None, None, None]:
    """Say what is wrong with stored rows, whatever comes of reading them: a store may hold anything."""
    try:
        yield
    except (ConfigError, GraphChangedError, StoreCorruptError):
        raise
    except Mismatch as error:
        raise changed(thread_id, error) from error
    except Exception as error:
        raise StoreCorruptError(thread_id, sequence, error) from error


def _lacking(thread_id: str, field: str) -> GraphChangedError:
    what = f'it has no value for field "{field}", which the state model requires'
    return GraphChangedError(thread_id, what, f'Give "{field}" a default.')
