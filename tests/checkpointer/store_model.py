"""What a store has to do, in plain Python: lists and dicts, no bytes moved, no locks, no clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from taf.checkpointer import BaseCheckpointer
from taf.checkpointer.base import (
    Commit,
    Cut,
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
)
from taf.errors import ThreadBusyError


class Busy(Exception):
    """Another live owner has the thread."""


class Stale(Exception):
    """The writer is behind the fence."""


class Holder(NamedTuple):
    """Somebody who was granted a thread by one of the objects on the data."""

    store: int
    key: ThreadKey
    epoch: int


@dataclass
class Thread:
    """One life of a thread."""

    born: str
    owner: Holder | None = None
    head: int = 0
    status: str = "idle"
    run_id: str = ""
    graph: str = ""
    updated: float = 0.0
    records: list[Record] = field(default_factory=list[Record])
    snapshot: Snapshot | None = None
    base: Snapshot | None = None
    signals: list[tuple[str, str, bytes]] = field(default_factory=list[tuple[str, str, bytes]])
    messages: list[Posted] = field(default_factory=list[Posted])
    amendments: int = 0

    @property
    def floor(self) -> int:
        """Where the base is."""
        return self.base.sequence if self.base else 0


Line = tuple[str, str, int, str, float, str, bool]


class Model:
    """All threads. Every method returns what the store has to, or raises ``Busy`` or ``Stale``."""

    def __init__(self) -> None:
        self.threads: dict[ThreadKey, Thread] = {}
        self.interrupt_rows: dict[str, tuple[ThreadKey, InterruptRow]] = {}

    def may_acquire(self, key: ThreadKey, create: bool) -> bool:
        """Say whether the thread is granted."""
        thread = self.threads.get(key)
        if thread is not None and thread.owner is not None:
            raise Busy
        return create or (thread is not None and thread.head > 0)

    def acquired(self, holder: Holder, born: str, known: Known | None) -> Stored:
        """Take a grant's birth and epoch, which the store chooses, and return what it has to show."""
        thread = self.threads.setdefault(holder.key, Thread(born))
        thread.signals = []
        thread.owner = None
        found = self._stored(thread, known)
        thread.owner = holder
        return found

    def append(self, holder: Holder, commit: Commit) -> list[tuple[str, str, bytes]]:
        thread = self.threads.get(commit.key)
        if thread is None or thread.owner != holder or (holder.key, holder.epoch) != (commit.key, commit.epoch):
            raise Stale
        if thread.head != commit.expected:
            raise Stale
        if commit.taken is not None:
            if commit.taken.amendments not in (None, thread.amendments):
                raise Stale
            thread.messages = [one for one in thread.messages if one.id not in commit.taken.ids]
        for record in commit.records:
            thread.records.append(record)
            thread.head, thread.updated = record.sequence, record.at
        thread.status, thread.run_id, thread.graph = commit.status, commit.run_id, commit.graph or thread.graph
        thread.snapshot = commit.snapshot or thread.snapshot
        for row in commit.interrupts:
            self.interrupt_rows[row.id] = (commit.key, row)
        signals = [one for one in thread.signals if one[1] in ("", commit.run_id)]
        if commit.is_release:
            self.release(holder)
        return signals

    def owners(self) -> list[Holder]:
        """Return who owns a thread."""
        return [thread.owner for thread in self.threads.values() if thread.owner is not None]

    def release(self, holder: Holder) -> None:
        """Make the thread free, if the holder has it. One with neither records nor messages is gone."""
        thread = self.threads.get(holder.key)
        if thread is None or thread.owner != holder:
            return
        thread.owner, thread.signals = None, []
        self._drop_empty(holder.key)

    def _drop_empty(self, key: ThreadKey) -> None:
        thread = self.threads[key]
        if not (thread.head or thread.messages or thread.owner):
            del self.threads[key]

    def post(self, key: ThreadKey, message: Posted, signal: Signal | None) -> int | None:
        """Leave a message. Return its id: 0 for a new one, whose id the store chooses, or None when it is refused."""
        thread = self.threads.get(key)
        there = [one.id for one in thread.messages if one.run_id == message.run_id] if thread else []
        if there:
            return there[0]
        if thread is None or thread.owner is None:
            return None
        thread.messages.append(message)
        if signal is not None:
            thread.signals.append(signal[:3])
        return 0

    def mail(self, key: ThreadKey) -> Mail:
        thread = self.threads.get(key)
        return Mail() if thread is None else Mail(tuple(thread.messages), thread.amendments)

    def amend(self, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        thread = self.threads.get(key)
        if thread is None or message_id not in [one.id for one in thread.messages]:
            return False
        changed = [one if one.id != message_id else one._replace(body=body or b"") for one in thread.messages]
        thread.messages = [one for one in changed if body is not None or one.id != message_id]
        thread.amendments += 1
        self._drop_empty(key)
        return True

    def signal(self, key: ThreadKey, signal: Signal) -> bool:
        thread = self.threads.get(key)
        if thread is None or thread.owner is None or thread.run_id != signal.run_id:
            return False
        thread.signals.append(signal[:3])
        return True

    def load(self, key: ThreadKey, known: Known | None) -> Stored | None:
        thread = self.threads.get(key)
        return self._stored(thread, known) if thread is not None and thread.head else None

    def _stored(self, thread: Thread, known: Known | None) -> Stored:
        is_known = known is not None and (known.born, known.floor) == (thread.born, thread.floor)
        is_known = is_known and known is not None and known.head <= thread.head
        snapshot = None if is_known else thread.snapshot or thread.base
        start = known.head if is_known and known else snapshot.sequence if snapshot else 0
        items: list[tuple[int, bytes]] = []
        if snapshot is not None and snapshot.items_from is not None:
            for record in thread.records:
                if record.items is not None and snapshot.items_from <= record.sequence <= snapshot.sequence:
                    items.append((record.sequence, record.items))
        tail = [record for record in thread.records if record.sequence > start]
        row = (thread.born, thread.head, thread.status, thread.run_id, thread.owner is not None, is_known)
        return Stored(*row, snapshot, items, tail, thread.floor)

    def read(self, key: ThreadKey, after: int, limit: int) -> list[Record]:
        thread = self.threads.get(key)
        found = [record for record in thread.records if record.sequence > after] if thread else []
        return found[: max(limit, 0)]

    def interrupts(self, key: ThreadKey | None, interrupt_id: str | None, status: str | None) -> list[InterruptRow]:
        return [
            row
            for owner, row in reversed(self.interrupt_rows.values())
            if key in (None, owner) and interrupt_id in (None, row.id) and status in (None, row.status)
        ]

    def listed(self, tenant: str, listing: Listing) -> list[Line]:
        """Return all lines of a listing."""
        found: list[Line] = []
        for key, thread in self.threads.items():
            is_shown = key.tenant == tenant and thread.head > 0
            is_shown = is_shown and (not listing.status or thread.status in listing.status)
            is_shown = is_shown and listing.graph in (None, thread.graph)
            is_shown = is_shown and bool(thread.messages or not listing.has_mail)
            is_shown = is_shown and (listing.since is None or thread.updated >= listing.since)
            if is_shown and (listing.before is None or thread.updated < listing.before):
                facts = (thread.status, thread.head, thread.run_id, thread.updated, thread.graph)
                found.append((key.thread, *facts, thread.owner is not None))
        if listing.is_newest_first:
            return sorted(found, key=lambda line: (line[4], line[0]), reverse=True)
        return sorted(found, key=lambda line: line[0])

    def base(self, key: ThreadKey) -> Snapshot | None:
        thread = self.threads.get(key)
        return thread.base if thread else None

    def prune(self, cut: Cut) -> bool:
        thread = self.threads.get(cut.key)
        if thread is None or thread.owner is not None or (thread.born, thread.head) != (cut.born, cut.expected):
            return False
        if thread.floor >= cut.base.sequence:
            return False
        thread.base, thread.snapshot = cut.base, cut.snapshot
        thread.records = [record for record in thread.records if record.sequence >= cut.base.sequence]
        self._drop(lambda key, row: key == cut.key and row.id in cut.interrupts)
        return True

    def delete(self, key: ThreadKey, expected: int | None) -> bool:
        thread = self.threads.get(key)
        if thread is None or expected not in (None, thread.head):
            return False
        if thread.owner is not None:
            raise Busy
        del self.threads[key]
        self._drop(lambda owner, _: owner == key)
        return thread.head > 0

    def _drop(self, is_gone: Callable[[ThreadKey, InterruptRow], bool]) -> None:
        self.interrupt_rows = {i: one for i, one in self.interrupt_rows.items() if not is_gone(*one)}


def is_odd(text: str) -> bool:
    """Say whether a text is no Unicode, so that a store may refuse it."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def plain(stored: Stored | None) -> Stored | None:
    """Return what was read, with lists for whatever sequences there are."""
    return stored and stored._replace(items=list(stored.items), tail=list(stored.tail))


async def was_removed(store: BaseCheckpointer, key: ThreadKey) -> bool:
    """Remove a thread, unless it is owned. Return whether it is gone."""
    try:
        await store.delete(key)
    except ThreadBusyError:
        return False
    return True


async def until_removed(store: BaseCheckpointer, key: ThreadKey) -> None:
    """Remove a thread as soon as it is free."""
    while not await was_removed(store, key):
        await asyncio.sleep(0.001)
