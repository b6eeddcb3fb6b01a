"""The database that all processes share: what the port says, as plain functions, each of them one transaction.

It does what the SQL of the Postgres store does, by rows of a dict; and it can be told to do it wrong, see ``BUGS``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from taf.checkpointer.base import (
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
    cursor_of,
    place_of,
)
from taf.checkpointer.watches import Place
from taf.errors import StaleOwnerError, ThreadBusyError
from taf.ids import new_id

NO_FENCE = "no fence"
NO_HEAD_CHECK = "no head check"
LOST_STOP = "lost stop"
UNFENCED_SIBLING = "unfenced sibling"
WALL_CLOCK_LEASE = "wall-clock lease"
EFFECT_BEFORE_RECORD = "effect before its record"
BUGS = (NO_FENCE, NO_HEAD_CHECK, LOST_STOP, UNFENCED_SIBLING, WALL_CLOCK_LEASE, EFFECT_BEFORE_RECORD)
"""All but the last one are the database's; that one is the nodes'."""


class Caller(NamedTuple):
    """Who calls: whether it holds the thread as far as it knows, and what its own clock shows."""

    owner: str
    holds: bool = False
    wall: float = 0.0


class Row:
    """One life of a thread, with all that belongs to it."""

    def __init__(self, number: int) -> None:
        self.number, self.born = number, new_id()
        self.head = self.floor = self.epoch = self.revision = 0
        self.status, self.run_id, self.graph, self.updated = "idle", "", "", 0.0
        self.owner: str | None = None
        self.lease_until = self.lease_seconds = 0.0
        self.signals: list[Signal] = []
        self.messages: list[Posted] = []
        self.amendments = 0
        self.records: list[Record] = []
        self.base: Snapshot | None = None
        self.snapshot: Snapshot | None = None
        self.interrupts: dict[str, InterruptRow] = {}

    def after(self, sequence: int) -> Sequence[Record]:
        """Return the records above a sequence."""
        records = self.records
        return records[bisect_right(records, sequence, key=lambda record: record.sequence) :]


class Observer(Protocol):
    """Who sees each transaction that was made, to judge it."""

    def granted(self, key: ThreadKey, row: Row, epoch: int, owner: str, seconds: float) -> None: ...

    def committed(self, commit: Commit, row: Row) -> None: ...

    def heard_of(self, key: ThreadKey, epoch: int) -> None: ...

    def released(self, key: ThreadKey, epoch: int) -> None: ...

    def signalled(self, key: ThreadKey, row: Row, signal: Signal) -> None: ...


Announce = Callable[[ThreadKey, Place, Change], None]


class Database:
    """Rows, the clock of leases, and nothing that waits."""

    def __init__(self, clock: Callable[[], float], *, observer: Observer | None = None, bug: str | None = None) -> None:
        self.rows: dict[ThreadKey, Row] = {}
        self.announce: Announce = lambda key, place, change: None
        self._clock, self._observer, self._bug = clock, observer, bug
        self._epochs = self._signals = self._numbers = 0
        self._dead: set[str] = set()

    # -- owning ------------------------------------------------------------------------------------

    def disconnect(self, owner: str) -> None:
        """Notice that an owner is dead."""
        self._dead.add(owner)

    def _now(self, caller: Caller) -> float:
        return caller.wall if self._bug == WALL_CLOCK_LEASE else self._clock()

    def is_owned(self, row: Row, caller: Caller) -> bool:
        """Say whether somebody who lives has a thread. The caller knows better about itself."""
        if row.owner is None or row.owner in self._dead or row.lease_until <= self._now(caller):
            return False
        return row.owner != caller.owner or caller.holds

    def claim(
        self, key: ThreadKey, caller: Caller, seconds: float, known: Known | None, create: bool
    ) -> tuple[Grant, Place] | None:
        """See ``BaseCheckpointer.acquire``."""
        row = self.rows.get(key)
        if row is not None and self.is_owned(row, caller):
            raise ThreadBusyError(key.thread, row.run_id or None)
        if row is None or not row.head:
            if not create:
                return None
            self._numbers += row is None
            row = row or self.rows.setdefault(key, Row(self._numbers))
        self._epochs += 1
        if self._observer is not None:
            self._observer.granted(key, row, self._epochs, caller.owner, seconds)
        row.epoch, row.owner, row.signals = self._epochs, caller.owner, []
        row.lease_seconds, row.lease_until = seconds, self._now(caller) + seconds
        grant = Grant(row.epoch, self.stored(row, known, is_owned=False), self.mail(key))
        return grant, Place(row.number, row.revision)

    def renew(self, leases: Sequence[tuple[ThreadKey, int]], caller: Caller) -> set[tuple[ThreadKey, int]]:
        """Renew leases; return those that were not lost."""
        kept: set[tuple[ThreadKey, int]] = set()
        for key, epoch in leases:
            row = self.rows.get(key)
            if row is not None and (row.epoch, row.owner) == (epoch, caller.owner):
                row.lease_until = self._now(caller) + row.lease_seconds
                kept.add((key, epoch))
                if self._observer is not None:
                    self._observer.heard_of(key, epoch)
        return kept

    def release(self, key: ThreadKey, epoch: int, caller: Caller) -> None:
        """Give a thread back that was abandoned."""
        row = self.rows.get(key)
        if row is not None and (row.epoch, row.owner) == (epoch, caller.owner):
            self._let_go(key, row)

    def _let_go(self, key: ThreadKey, row: Row) -> None:
        row.owner, row.signals = None, []
        self._drop_empty(key, row)
        if self._observer is not None:
            self._observer.released(key, row.epoch)

    def _drop_empty(self, key: ThreadKey, row: Row) -> None:
        if row.owner is None and not row.head and not row.messages:
            del self.rows[key]

    # -- writing -----------------------------------------------------------------------------------

    def append(self, commit: Commit, caller: Caller) -> tuple[Place, Sequence[Signal]]:
        """See ``BaseCheckpointer.append``."""
        key, row = commit.key, self.rows.get(commit.key)
        if row is None or not self._may_write(commit, row, caller):
            if row is not None and self._bug == UNFENCED_SIBLING:
                self._put_interrupts(row, commit.interrupts)
            raise StaleOwnerError(key.thread, commit.epoch)
        if self._observer is not None:
            self._observer.committed(commit, row)
        if commit.records:
            row.records.extend(commit.records)
            row.head, row.updated = commit.records[-1].sequence, commit.records[-1].at
        row.status, row.run_id, row.graph = commit.status, commit.run_id, commit.graph or row.graph
        row.snapshot = commit.snapshot or row.snapshot
        self._put_interrupts(row, commit.interrupts)
        row.revision += 1
        if commit.taken is not None:
            row.messages = [message for message in row.messages if message.id not in commit.taken.ids]
        signals = [signal for signal in row.signals if signal.run_id in ("", commit.run_id)]
        row.lease_until = self._now(caller) + row.lease_seconds
        if commit.is_release:
            self._let_go(key, row)
        place = Place(row.number, row.revision)
        told = () if commit.is_release else tuple(signals)
        self.announce(key, place, Change(row.head, row.status, row.run_id, told))
        return place, signals

    def _may_write(self, commit: Commit, row: Row, caller: Caller) -> bool:
        is_fenced = (row.epoch, row.owner) != (commit.epoch, caller.owner)
        is_elsewhere = row.head != commit.expected
        if commit.taken is not None and commit.taken.amendments not in (None, row.amendments):
            return False
        return not (is_fenced and self._bug != NO_FENCE) and not (is_elsewhere and self._bug != NO_HEAD_CHECK)

    @staticmethod
    def _put_interrupts(row: Row, interrupts: Sequence[InterruptRow]) -> None:
        row.interrupts |= {one.id: one for one in interrupts}

    def signal(self, key: ThreadKey, signal: Signal, caller: Caller) -> tuple[Place, Change] | None:
        """See ``BaseCheckpointer.signal``; None when the run is not active."""
        row = self.rows.get(key)
        if row is None or row.run_id != signal.run_id or not self.is_owned(row, caller):
            return None
        self._signals += 1
        if self._bug != LOST_STOP:
            row.signals = [*row.signals, signal._replace(id=self._signals)]
        row.revision += 1
        if self._observer is not None:
            self._observer.signalled(key, row, signal)
        place, change = Place(row.number, row.revision), self._change(row)
        self.announce(key, place, change)
        return place, change

    @staticmethod
    def _change(row: Row) -> Change:
        told = tuple(signal for signal in row.signals if signal.run_id in ("", row.run_id))
        return Change(row.head, row.status, row.run_id, told)

    def post(
        self, key: ThreadKey, message: Posted, signal: Signal | None, caller: Caller
    ) -> tuple[int, Place, Change] | None:
        """See ``BaseCheckpointer.post``."""
        row = self.rows.get(key)
        is_new = row is not None and all(one.run_id != message.run_id for one in row.messages)
        if row is None or (is_new and not self.is_owned(row, caller)):
            return None
        if is_new:
            self._signals += 1
            row.messages.append(message._replace(id=self._signals))
        number = next(one.id for one in row.messages if one.run_id == message.run_id)
        if signal is not None and is_new:
            self._signals += 1
            row.signals.append(signal._replace(id=self._signals))
        row.revision += 1
        place, change = Place(row.number, row.revision), self._change(row)
        self.announce(key, place, change)
        return number, place, change

    def mail(self, key: ThreadKey) -> Mail:
        """See ``BaseCheckpointer.mail``."""
        row = self.rows.get(key)
        return Mail() if row is None else Mail(tuple(row.messages), row.amendments)

    def amend(self, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        """See ``BaseCheckpointer.amend``."""
        row = self.rows.get(key)
        if row is None or all(one.id != message_id for one in row.messages):
            return False
        kept = [one for one in row.messages if body is not None or one.id != message_id]
        row.messages = [one._replace(body=body) if one.id == message_id and body is not None else one for one in kept]
        row.amendments += 1
        row.revision += 1
        self._drop_empty(key, row)
        return True

    def delete(self, key: ThreadKey, expected: int | None, caller: Caller) -> bool:
        """See ``BaseCheckpointer.delete``."""
        row = self.rows.get(key)
        if row is None or expected not in (None, row.head):
            return False
        if self.is_owned(row, caller):
            raise ThreadBusyError(key.thread, row.run_id or None)
        del self.rows[key]
        return row.head > 0

    def prune(self, cut: Cut, caller: Caller) -> bool:
        """See ``BaseCheckpointer.prune``."""
        row = self.rows.get(cut.key)
        if row is None or self.is_owned(row, caller) or (row.born, row.head) != (cut.born, cut.expected):
            return False
        if row.base is not None and row.floor >= cut.base.sequence:
            return False
        row.base, row.snapshot, row.floor = cut.base, cut.snapshot, cut.base.sequence
        row.records = list(row.after(cut.base.sequence - 1))
        row.interrupts = {name: one for name, one in row.interrupts.items() if name not in cut.interrupts}
        return True

    # -- reading -----------------------------------------------------------------------------------

    def stored(self, row: Row, known: Known | None, *, is_owned: bool) -> Stored:
        """Return what the reader does not know yet of a thread."""
        is_known = known is not None and known.holds(row.born, row.floor, row.head)
        snapshot = None if is_known else row.snapshot or row.base
        start = known.head if known is not None and is_known else snapshot.sequence if snapshot else 0
        items: list[tuple[int, bytes]] = []
        if snapshot is not None and snapshot.items_from is not None:
            found = [record for record in row.after(snapshot.items_from - 1) if record.sequence <= snapshot.sequence]
            items = [(record.sequence, record.items) for record in found if record.items is not None]
        head = (row.born, row.head, row.status, row.run_id, is_owned, is_known)
        return Stored(*head, snapshot, items, row.after(start), row.floor)

    def load(self, key: ThreadKey, known: Known | None, caller: Caller) -> Stored | None:
        """See ``BaseCheckpointer.load``."""
        row = self.rows.get(key)
        return None if row is None or not row.head else self.stored(row, known, is_owned=self.is_owned(row, caller))

    def read(self, key: ThreadKey, after: int, limit: int) -> Sequence[Record]:
        """See ``BaseCheckpointer.read``."""
        row = self.rows.get(key)
        return () if row is None else row.after(after)[: max(limit, 0)]

    def look(self, keys: Sequence[ThreadKey]) -> Sequence[tuple[ThreadKey, Place, Change]]:
        """Return where threads are, and what is signalled there."""
        found = [(key, row) for key in keys if (row := self.rows.get(key)) is not None]
        return [(key, Place(row.number, row.revision), self._change(row)) for key, row in found]

    def interrupts(self, key: ThreadKey | None, interrupt_id: str | None, status: str | None) -> Sequence[InterruptRow]:
        """See ``BaseCheckpointer.interrupts``."""
        rows = [row for name, row in self.rows.items() if key in (None, name)]
        found = [one for row in rows for one in row.interrupts.values()]
        return [one for one in found if interrupt_id in (None, one.id) and status in (None, one.status)][::-1]

    def threads(self, tenant: str, listing: Listing, after: str, limit: int, caller: Caller) -> Sequence[ThreadRow]:
        """See ``BaseCheckpointer.threads``."""
        of_tenant = [(key.thread, row) for key, row in self.rows.items() if key.tenant == tenant and row.head]
        found = [(name, row) for name, row in of_tenant if _is_shown(row, listing)]
        if listing.is_newest_first:
            place = place_of(after) if after else None
            found = [one for one in found if place is None or (one[1].updated, one[0]) < place]
            found.sort(key=lambda one: (one[1].updated, one[0]), reverse=True)
        else:
            found = sorted(one for one in found if one[0] > after)
        return [self._listed(name, row, listing, caller) for name, row in found[: max(limit, 0)]]

    def _listed(self, name: str, row: Row, listing: Listing, caller: Caller) -> ThreadRow:
        is_owned = self.is_owned(row, caller._replace(holds=True))
        facts = (row.status, row.head, row.run_id, row.updated, row.graph, is_owned)
        return ThreadRow(name, *facts, cursor_of(listing, name, row.updated))


def _is_shown(row: Row, listing: Listing) -> bool:
    return (
        (not listing.status or row.status in listing.status)
        and listing.graph in (None, row.graph)
        and (listing.since is None or listing.since <= row.updated)
        and (listing.before is None or row.updated < listing.before)
        and bool(row.messages or not listing.has_mail)
    )
