"""Keeps threads in this process. It holds bytes, like every other store, so it hides none of their troubles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

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
    cursor_of,
    place_of,
)
from taf.errors import CheckpointerClosedError, StaleOwnerError, ThreadBusyError
from taf.ids import new_id
from taf.tuples import NamedTuple, quick_tuple


class _Thread:
    """One thread's row, journal and signals.

    Records are kept as plain tuples: unlike named ones, the garbage collector soon stops looking at them.
    """

    __slots__ = (
        *("amendments", "base", "born", "epoch", "graph", "head", "is_owned", "messages", "records", "run_id"),
        *("signals", "snapshot", "status", "updated"),
    )

    def __init__(self, born: str) -> None:
        self.born = born
        self.epoch = self.head = 0
        self.is_owned = False
        self.status, self.run_id, self.updated, self.graph = "idle", "", 0.0, ""
        self.records: list[Row] = []
        self.base: Snapshot | None = None
        self.snapshot: Snapshot | None = None
        self.signals: tuple[Signal, ...] = ()
        self.messages: tuple[Posted, ...] = ()
        self.amendments = 0

    def mail(self) -> Mail:
        return Mail(self.messages, self.amendments) if self.messages or self.amendments else NO_MAIL

    def heard(self, run_id: str) -> Sequence[Signal]:
        """Return what is signalled to a run, or to whoever owns the thread."""
        return tuple(signal for signal in self.signals if signal.run_id in ("", run_id)) if self.signals else ()


class _Interrupt(NamedTuple):
    key: ThreadKey
    row: InterruptRow


_Watchers: TypeAlias = dict[ThreadKey, tuple[Watcher, ...]]


class _Unwatch:
    """Ends the watch of one who watches. Every run has one: a partial would be four times as large."""

    __slots__ = ("_key", "_lock", "_watcher", "_watchers")

    def __init__(self, lock: threading.Lock, watchers: _Watchers, key: ThreadKey, watcher: Watcher) -> None:
        self._lock, self._watchers, self._key, self._watcher = lock, watchers, key, watcher

    def __call__(self) -> None:
        with self._lock:
            left = tuple([other for other in self._watchers.pop(self._key, ()) if other is not self._watcher])
            if left:
                self._watchers[self._key] = left


class InMemoryCheckpointer(BaseCheckpointer):
    """For tests, notebooks and graphs whose threads need not outlive the process."""

    def __init__(self) -> None:
        self._lock, self._name = threading.Lock(), new_id()
        self._threads: dict[ThreadKey, _Thread] = {}
        self._interrupts: dict[str, _Interrupt] = {}
        self._watchers: _Watchers = {}
        self._signal_watchers: _Watchers = {}
        self._last_signal = self._last_epoch = 0
        self._is_closed = False

    async def acquire(
        self, key: ThreadKey, *, lease_seconds: float, known: Known | None = None, create: bool = True
    ) -> Grant | None:
        """See ``BaseCheckpointer.acquire``. An owner in this process is alive until it releases or abandons."""
        with self._lock:
            if self._is_closed:
                raise CheckpointerClosedError
            thread = self._threads.get(key)
            if thread is not None and thread.is_owned:
                raise ThreadBusyError(key.thread, thread.run_id or None)
            if thread is None or not thread.head:
                if not create:
                    return None
                thread = self._threads.setdefault(key, thread or _Thread(f"{self._name}.{self._last_epoch}"))
            # Counted over all threads: one that is made anew never repeats an epoch.
            thread.epoch = self._last_epoch = self._last_epoch + 1
            stored = self._stored(thread, known)
            thread.is_owned = True
            grant: Grant = quick_tuple(Grant, (thread.epoch, stored, thread.mail(), False))
            return grant

    async def append(self, commit: Commit) -> Sequence[Signal]:
        """See ``BaseCheckpointer.append``."""
        key, epoch, expected, records, status, run_id, interrupts, snapshot, is_release, graph, taken = commit
        with self._lock:
            thread = self._owned(key, epoch, expected)
            if taken is not None:
                if taken.amendments not in (None, thread.amendments):
                    raise StaleOwnerError(key.thread, epoch)
                thread.messages = tuple([one for one in thread.messages if one.id not in taken.ids])
            if records:
                thread.records += [record[:] for record in records]
                thread.head, thread.updated = records[-1].sequence, records[-1].at
            thread.status, thread.run_id = status, run_id
            thread.graph = graph or thread.graph
            if snapshot is not None:
                thread.snapshot = snapshot
            if interrupts:
                self._interrupts |= {row.id: _Interrupt(key, row) for row in interrupts}
            signals = thread.heard(run_id)
            if is_release:
                self._release(key, thread)
            watchers = self._watchers.get(key, ())
        if watchers:
            self._tell(watchers, Change(thread.head, status, run_id, () if is_release else signals))
        return signals

    def append_now(self, key: ThreadKey, epoch: int, expected: int, row: Row) -> Sequence[Signal]:
        """See ``BaseCheckpointer.append_now``: nobody waits for memory."""
        self._lock.acquire()  # half the cost of a with block, and every step comes here
        try:
            thread = self._threads.get(key)
            if thread is None or thread.epoch != epoch or thread.head != expected or not thread.is_owned:
                raise StaleOwnerError(key.thread, epoch)
            thread.records.append(row)
            thread.head, _, run_id, thread.updated, _, _, _ = row
            signals = thread.heard(run_id) if thread.signals else ()
            watchers = self._watchers.get(key) if self._watchers else None
        finally:
            self._lock.release()
        if watchers:
            self._tell(watchers, Change(thread.head, thread.status, run_id, signals))
        return signals

    def _owned(self, key: ThreadKey, epoch: int, expected: int) -> _Thread:
        """Return a thread for its owner to write to. Raise ``StaleOwnerError``."""
        thread = self._threads.get(key)
        if thread is None or thread.epoch != epoch or thread.head != expected or not thread.is_owned:
            raise StaleOwnerError(key.thread, epoch)
        return thread

    def _release(self, key: ThreadKey, thread: _Thread) -> None:
        thread.is_owned = False
        thread.signals = ()
        if not thread.head and not thread.messages:
            del self._threads[key]

    @staticmethod
    def _tell(watchers: Sequence[Watcher], change: Change) -> None:
        for watcher in tuple(watchers):
            # What a watcher raises must not make a commit look like a failure.
            with suppress(Exception):
                watcher(change)

    def abandon(self, key: ThreadKey, epoch: int) -> None:
        """See ``BaseCheckpointer.abandon``."""
        with self._lock:
            thread = self._threads.get(key)
            if thread is not None and thread.epoch == epoch and thread.is_owned:
                self._release(key, thread)

    def _stored(self, thread: _Thread, known: Known | None) -> Stored:
        floor = thread.base.sequence if thread.base else 0
        is_known = known is not None and known.holds(thread.born, floor, thread.head)
        snapshot = None if is_known else thread.snapshot or thread.base
        start = known.head if known is not None and is_known else snapshot.sequence if snapshot else 0
        items: list[tuple[int, bytes]] = []
        if snapshot is not None and snapshot.items_from is not None:
            items = [
                (record.sequence, record.items)
                for record in self._after(thread, snapshot.items_from - 1)
                if record.items is not None and record.sequence <= snapshot.sequence
            ]
        tail = self._after(thread, start) if start < thread.head else ()
        facts = (thread.born, thread.head, thread.status, thread.run_id, thread.is_owned)
        stored: Stored = quick_tuple(Stored, (*facts, is_known, snapshot, items, tail, floor))
        return stored

    def _after(self, thread: _Thread, sequence: int) -> list[Record]:
        return list(map(Record._make, thread.records[self._place_behind(thread, sequence) :]))

    @staticmethod
    def _place_behind(thread: _Thread, sequence: int) -> int:
        records = thread.records
        low, high = 0, len(records)
        while low < high:
            middle = (low + high) // 2
            if records[middle][0] <= sequence:
                low = middle + 1
            else:
                high = middle
        return low

    async def load(self, key: ThreadKey, known: Known | None = None) -> Stored | None:
        """See ``BaseCheckpointer.load``."""
        with self._lock:
            thread = self._threads.get(key)
            return None if thread is None or not thread.head else self._stored(thread, known)

    async def read(self, key: ThreadKey, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        """See ``BaseCheckpointer.read``."""
        with self._lock:
            thread = self._threads.get(key)
            return self._after(thread, after)[: max(limit, 0)] if thread else ()

    async def signal(self, key: ThreadKey, signal: Signal) -> bool:
        """See ``BaseCheckpointer.signal``."""
        with self._lock:
            thread = self._threads.get(key)
            if thread is None or not thread.is_owned or thread.run_id != signal.run_id:
                return False
            change = self._left(thread, signal)
            watchers = [*self._watchers.get(key, ()), *self._signal_watchers.get(key, ())]
        self._tell(watchers, change)
        return True

    def _left(self, thread: _Thread, signal: Signal | None) -> Change:
        """Leave a signal, and return what watchers are told."""
        if signal is not None:
            self._last_signal += 1
            thread.signals = (*thread.signals, signal._replace(id=self._last_signal))
        return Change(thread.head, thread.status, thread.run_id, thread.heard(thread.run_id))

    # -- messages ----------------------------------------------------------------------------------

    async def post(self, key: ThreadKey, message: Posted, signal: Signal | None = None) -> int | None:
        """See ``BaseCheckpointer.post``."""
        with self._lock:
            thread = self._threads.get(key)
            there = next((one.id for one in thread.messages if one.run_id == message.run_id), None) if thread else None
            if thread is None or there is not None or not thread.is_owned:
                return there
            self._last_signal += 1
            number = self._last_signal
            thread.messages = (*thread.messages, message._replace(id=number))
            change = self._left(thread, signal)
            watchers = [*self._watchers.get(key, ()), *(self._signal_watchers.get(key, ()) if signal else ())]
        self._tell(watchers, change)
        return number

    async def mail(self, key: ThreadKey) -> Mail:
        """See ``BaseCheckpointer.mail``."""
        with self._lock:
            thread = self._threads.get(key)
            return NO_MAIL if thread is None else thread.mail()

    async def amend(self, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        """See ``BaseCheckpointer.amend``."""
        with self._lock:
            thread = self._threads.get(key)
            waiting = {} if thread is None else {one.id: one for one in thread.messages}
            if thread is None or message_id not in waiting:
                return False
            if body is None:
                del waiting[message_id]
            else:
                waiting[message_id] = waiting[message_id]._replace(body=body)
            thread.messages = tuple(waiting.values())
            thread.amendments += 1
            if not (thread.messages or thread.head or thread.is_owned):
                del self._threads[key]
            change, watchers = self._left(thread, None), self._watchers.get(key, ())
        self._tell(watchers, change)
        return True

    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool = False) -> Callable[[], None]:
        """See ``BaseCheckpointer.watch``."""
        watchers = self._signal_watchers if signals_only else self._watchers
        with self._lock:
            watchers[key] = (*watchers.get(key, ()), watcher)
        return _Unwatch(self._lock, watchers, key, watcher)

    async def interrupts(
        self, key: ThreadKey | None = None, *, interrupt_id: str | None = None, status: str | None = None
    ) -> Sequence[InterruptRow]:
        """See ``BaseCheckpointer.interrupts``."""
        with self._lock:
            found = [
                one.row
                for one in self._interrupts.values()
                if key in (None, one.key) and interrupt_id in (None, one.row.id) and status in (None, one.row.status)
            ]
        return found[::-1]

    async def threads(
        self, tenant: str = "", listing: Listing = ALL_THREADS, *, after: str = "", limit: int = 100
    ) -> Sequence[ThreadRow]:
        """See ``BaseCheckpointer.threads``."""
        place = place_of(after) if after and listing.is_newest_first else None
        with self._lock:
            found = [
                (thread.updated, key.thread, thread)
                for key, thread in self._threads.items()
                if key.tenant == tenant and thread.head and _is_shown(thread, listing)
            ]
            if listing.is_newest_first:
                found = [one for one in found if place is None or one[:2] < place]
            else:
                found = [one for one in found if one[1] > after]
            found.sort(key=lambda one: one[:2] if listing.is_newest_first else one[1], reverse=listing.is_newest_first)
            return [_row(name, thread, listing) for _, name, thread in found[: max(limit, 0)]]

    # -- leaving out and removing ------------------------------------------------------------------

    async def base(self, key: ThreadKey) -> Snapshot | None:
        """See ``BaseCheckpointer.base``."""
        with self._lock:
            thread = self._threads.get(key)
            return None if thread is None else thread.base

    async def prune(self, cut: Cut) -> bool:
        """See ``BaseCheckpointer.prune``."""
        with self._lock:
            thread = self._threads.get(cut.key)
            if thread is None or thread.is_owned or (thread.born, thread.head) != (cut.born, cut.expected):
                return False
            if thread.base is not None and thread.base.sequence >= cut.base.sequence:
                return False
            thread.base, thread.snapshot = cut.base, cut.snapshot
            del thread.records[: self._place_behind(thread, cut.base.sequence - 1)]
            for interrupt_id in cut.interrupts:
                if interrupt_id in self._interrupts and self._interrupts[interrupt_id].key == cut.key:
                    del self._interrupts[interrupt_id]
            return True

    async def delete(self, key: ThreadKey, *, expected: int | None = None) -> bool:
        """See ``BaseCheckpointer.delete``."""
        with self._lock:
            thread = self._threads.get(key)
            if thread is None or expected not in (None, thread.head):
                return False
            if thread.is_owned:
                raise ThreadBusyError(key.thread, thread.run_id or None)
            del self._threads[key]
            self._interrupts = {i: one for i, one in self._interrupts.items() if one.key != key}
        return thread.head > 0

    def close(self) -> None:
        """Refuse further runs. What is stored stays readable as long as the object lives."""
        with self._lock:
            self._is_closed = True


def _is_shown(thread: _Thread, listing: Listing) -> bool:
    return (
        (not listing.status or thread.status in listing.status)
        and listing.graph in (None, thread.graph)
        and (listing.since is None or listing.since <= thread.updated)
        and (listing.before is None or thread.updated < listing.before)
        and bool(thread.messages or not listing.has_mail)
    )


def _row(name: str, thread: _Thread, listing: Listing) -> ThreadRow:
    cursor = cursor_of(listing, name, thread.updated)
    facts = (thread.status, thread.head, thread.run_id, thread.updated, thread.graph, thread.is_owned)
    return ThreadRow(name, *facts, cursor)
