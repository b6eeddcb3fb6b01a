"""Rows ⇄ encrypted rows. Each is bound to its place, so that it opens nowhere else, and linked to the one before it.

A record knows the record before it, the items of a record the items before them, and a snapshot the last items that it
builds on: a row that was taken out between others is missed.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from taf.checkpointer.base import Commit, InterruptRow, Known, Posted, Record, Signal, Snapshot, Stored, ThreadKey
from taf.checkpointer.keys import FOREIGN, TAG_BYTES, Cipher, Keys, Unreadable, fields
from taf.errors import StoreCorruptError

_MOMENT = struct.Struct(">d")

MISSING = "a row before it is missing"


class Links(NamedTuple):
    """What stands before the next record: the last record, and the last one that has items. 0 stands for none."""

    record: int = 0
    items: int = 0


class ThreadSeal:
    """Seals and opens the rows of one life of one thread."""

    def __init__(self, keys: Keys, key: ThreadKey, born: str) -> None:
        self.key, self.born = key, born
        self._cipher = Cipher(keys, "thread", *key, born)

    # -- sealing -----------------------------------------------------------------------------------

    def seal(self, commit: Commit, links: Links, interrupts: InterruptSeal) -> tuple[Commit, Links]:
        """Return a commit as it is to be stored, and what stands before the next one."""
        records: list[Record] = []
        for record in commit.records:
            sealed, links = self._seal_record(record, links)
            records.append(sealed)
        snapshot = commit.snapshot and self.seal_snapshot(commit.snapshot, links)
        rows = [interrupts.seal(self.key, self.born, row) for row in commit.interrupts]
        return commit._replace(records=records, snapshot=snapshot, interrupts=rows), links

    def _seal_record(self, record: Record, links: Links) -> tuple[Record, Links]:
        sequence, items = record.sequence, record.items
        last = links.items
        if items is not None:
            items = self._cipher.seal(b"i%d" % sequence, _linked(items, last))
            last = sequence
        body = b"%d,%d;%b" % (links.record, last, record.body)
        body = self._cipher.seal(_record_label(record, items), body)
        return record._replace(body=body, items=items), Links(sequence, last)

    def seal_snapshot(self, snapshot: Snapshot, links: Links) -> Snapshot:
        """Return a snapshot as it is to be stored; ``links`` is what stood before the record that follows it."""
        # The first part says up to where the items go.
        parts = (_linked(snapshot.parts[0], links.items), *snapshot.parts[1:])
        return snapshot._replace(parts=tuple(map(self._cipher.seal, _part_labels(snapshot), parts)))

    # -- opening -----------------------------------------------------------------------------------

    def open(self, stored: Stored, known: Known | None) -> tuple[Stored, Links | None]:
        """Return a thread as it was written, and what stands before its next record, if these rows tell.

        Raise ``StoreCorruptError``.
        """
        links: Links | None = None if stored.head else Links()
        start, snapshot, items = 0, stored.snapshot, stored.items
        if stored.is_known and known is not None:
            start = known.head
        elif snapshot is not None:
            snapshot, last = self.open_snapshot(snapshot)
            start, links = snapshot.sequence, Links(snapshot.sequence, last)
            items = self._open_items(snapshot, last, items)
        tail, ended = self.open_records(stored.tail, start)
        return stored._replace(snapshot=snapshot, items=items, tail=tail), ended or links

    def open_records(self, records: Sequence[Record], start: int | None) -> tuple[list[Record], Links | None]:
        """Return records that follow each other, and what stands before the next one.

        ``start`` is the sequence behind which the first one follows; None when older ones may be gone.
        """
        found: list[Record] = []
        links: Links | None = None
        for record in records:
            body, before, last = self._open_record(record)
            expected = links.record if links else start
            if expected is not None and not (before == expected or (links is None and before < expected)):
                raise self._corrupt(record.sequence, MISSING)
            items = record.items
            if items is not None:
                items, _ = _parted(self._open_one(b"i%d" % record.sequence, items, record.sequence))
            found.append(record._replace(body=body, items=items))
            links = Links(record.sequence, last)
        return found, links

    def _open_record(self, record: Record) -> tuple[bytes, int, int]:
        plain = self._open_one(_record_label(record, record.items), record.body, record.sequence)
        body, (before, last) = _parted(plain)
        return body, before, last

    def open_snapshot(self, snapshot: Snapshot) -> tuple[Snapshot, int]:
        """Return a snapshot as it was taken, and the last record up to it that has items."""
        labels = _part_labels(snapshot)
        parts = [self._open_one(*pair, snapshot.sequence) for pair in zip(labels, snapshot.parts, strict=True)]
        if not parts:
            raise self._corrupt(snapshot.sequence, MISSING)
        head, (last,) = _parted(parts[0])
        return snapshot._replace(parts=(head, *parts[1:])), last

    def _open_items(self, snapshot: Snapshot, last: int, rows: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Return the items that a snapshot builds on, if all of them are there."""
        if snapshot.items_from is None:
            return []
        found: list[tuple[int, bytes]] = []
        expected = last
        for sequence, sealed in reversed(rows):
            if sequence != expected:
                raise self._corrupt(expected, MISSING)
            items, (expected,) = _parted(self._open_one(b"i%d" % sequence, sealed, sequence))
            found.append((sequence, items))
        if expected >= snapshot.items_from:
            raise self._corrupt(expected, MISSING)
        return found[::-1]

    def _open_one(self, label: bytes, sealed: bytes, sequence: int) -> bytes:
        try:
            return self._cipher.open(label, sealed)
        except Unreadable as error:
            raise self._corrupt(sequence, error) from None

    def _corrupt(self, sequence: int, why: object) -> StoreCorruptError:
        return StoreCorruptError(self.key.thread, sequence, why)


class InterruptSeal:
    """Seals and opens interrupts. They are also listed without their threads, so each says where it belongs."""

    def __init__(self, keys: Keys) -> None:
        self._cipher = Cipher(keys, "interrupts")

    def seal(self, key: ThreadKey, born: str, row: InterruptRow) -> InterruptRow:
        """Return an interrupt as it is to be stored."""
        place = fields(*key, born)
        return row._replace(body=self._cipher.seal(_interrupt_label(row), _linked(place + row.body, len(place))))

    def open(self, row: InterruptRow, place: ThreadSeal | None) -> InterruptRow:
        """Return an interrupt as it was written, if it belongs to this thread. Raise ``StoreCorruptError``."""
        thread = "" if place is None else place.key.thread
        try:
            plain = self._cipher.open(_interrupt_label(row), row.body)
            body, (length,) = _parted(plain)
            if place is not None and body[:length] != fields(*place.key, place.born):
                raise Unreadable(FOREIGN)
        except Unreadable as error:
            raise StoreCorruptError(thread, None, f'{error} (interrupt "{row.id}")') from None
        return row._replace(body=body[length:])


class SignalSeal:
    """Seals and opens what is said to one thread from outside. Who says it need not know the thread's birth."""

    def __init__(self, keys: Keys, key: ThreadKey) -> None:
        self._thread = key.thread
        self._cipher = Cipher(keys, "signals", *key)
        self._mail = Cipher(keys, "mail", *key)

    def seal(self, signal: Signal) -> Signal:
        """Return a signal as it is to be stored."""
        return signal._replace(body=self._cipher.seal(_signal_label(signal), signal.body))

    def open(self, signal: Signal) -> Signal:
        """Return a signal as it was sent. Raise ``StoreCorruptError``."""
        try:
            return signal._replace(body=self._cipher.open(_signal_label(signal), signal.body))
        except Unreadable as error:
            raise StoreCorruptError(self._thread, None, f'{error} (signal "{signal.kind}")') from None

    def seal_message(self, message: Posted) -> Posted:
        """Return a message as it is to be stored."""
        return message._replace(body=self.seal_body(message, message.body))

    def seal_body(self, message: Posted, body: bytes) -> bytes:
        """Return what a message is to hold from now on, as it is to be stored."""
        return self._mail.seal(_message_label(message), body)

    def open_message(self, message: Posted) -> Posted:
        """Return a message as it was posted. Raise ``StoreCorruptError``."""
        try:
            return message._replace(body=self._mail.open(_message_label(message), message.body))
        except Unreadable as error:
            raise StoreCorruptError(self._thread, None, f'{error} (message of run "{message.run_id}")') from None


def _linked(value: bytes, link: int) -> bytes:
    return b"%d;%b" % (link, value)


def _parted(linked: bytes) -> tuple[bytes, list[int]]:
    links, _, value = linked.partition(b";")
    return value, [int(link) for link in links.split(b",")]


def _record_label(record: Record, items: bytes | None) -> bytes:
    """Bind a body to its row, and to the items beside it, so that these can be neither exchanged nor left out."""
    tag = b"" if items is None else items[-TAG_BYTES:]
    numbers = b"r%d,%d,%d," % (record.sequence, record.step, len(tag))
    return numbers + tag + _MOMENT.pack(record.at) + fields(record.kind, record.run_id)


def _part_labels(snapshot: Snapshot) -> list[bytes]:
    first, count = -1 if snapshot.items_from is None else snapshot.items_from, len(snapshot.parts)
    return [b"s%d,%d,%d,%d" % (snapshot.sequence, first, number, count) for number in range(count)]


def _interrupt_label(row: InterruptRow) -> bytes:
    return _MOMENT.pack(row.changed) + fields(row.id, row.status, row.node)


def _signal_label(signal: Signal) -> bytes:
    return fields(str(signal.kind), str(signal.run_id))  # SQLite may give bytes where text was written


def _message_label(message: Posted) -> bytes:
    return _MOMENT.pack(message.at) + fields(message.kind, message.run_id)
