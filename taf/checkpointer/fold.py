"""A thread, record by record: in the state model's types where it is of the model's version, as plain values before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taf.checkpointer.base import Record, Snapshot, Stored
from taf.checkpointer.changes import Mismatch
from taf.checkpointer.encoding import FactCodec
from taf.checkpointer.lineage import Lift, Lineage
from taf.checkpointer.snapshots import SnapshotCodec
from taf.checkpointer.untyped import UntypedCodec
from taf.errors import GraphChangedError, StoreCorruptError
from taf.serialization import loads
from taf.state.channel import Op
from taf.state.facts import Fact
from taf.state.run import UNKNOWN_EDITION, Run, evolve, width
from taf.state.schema import StateSchema
from taf.tuples import NamedTuple

FIRST_SECOND, END_SECOND = -62_135_596_800, 253_402_300_800
"""The years 1 to 9999, in seconds since 1970: no other moment can be shown."""


class Shown(NamedTuple):
    """A thread in the types of its state model. ``ops``: what has yet to be put on record when it goes on."""

    run: Run
    ops: tuple[Op, ...] = ()


class Reading:
    """Reads the threads of one state model, of whichever version they are."""

    def __init__(self, schema: StateSchema, lineage: Lineage, *, is_short: bool = False) -> None:
        self.schema, self.lineage, self._is_short = schema, lineage, is_short
        self.codec = FactCodec(schema, is_short=is_short)
        self.snapshots = SnapshotCodec(self.codec)
        self._untyped: UntypedCodec | None = None

    @property
    def untyped(self) -> UntypedCodec:
        """What reads records of other versions; made when the first of them comes."""
        if self._untyped is None:
            self._untyped = UntypedCodec(is_short=self._is_short)
        return self._untyped

    def fact(self, thread_id: str, record: Record, *, is_typed: bool = True) -> Fact:
        """Return the fact of a record. Raise ``Mismatch``, ``StoreCorruptError``."""
        if not FIRST_SECOND <= record.at < END_SECOND:
            raise StoreCorruptError(thread_id, record.sequence, f"{record.at} is no moment")
        codec = self.codec if is_typed else self.untyped
        try:
            return codec.decode(record.kind, record.body, record.items)
        except Mismatch:
            raise
        except ValueError as error:
            raise StoreCorruptError(thread_id, record.sequence, error) from error

    def fact_to_show(self, thread_id: str, record: Record) -> Fact:
        """Return a fact of the past; what does not fit the model any more is shown as plain values.

        Raise ``StoreCorruptError``.
        """
        try:
            return self.fact(thread_id, record)
        except Mismatch:
            pass
        try:
            return self.fact(thread_id, record, is_typed=False)
        except Mismatch as error:  # it fits no model
            raise StoreCorruptError(thread_id, record.sequence, error) from error

    def start(self, thread_id: str, stored: Stored) -> Fold:
        """Begin with a thread's snapshot, or with nothing."""
        if stored.snapshot is not None:
            return self.restore(thread_id, stored.snapshot, stored.items)
        fold = Fold(self, Run(thread_id))
        if stored.head and fold.is_typed:
            fold.begin_new_fields()
        return fold

    def restore(self, thread_id: str, snapshot: Snapshot, items: Sequence[tuple[int, bytes]]) -> Fold:
        """Begin with a snapshot. Raise ``GraphChangedError``, ``Mismatch``, and anything for rows that are broken."""
        version = self._version_in(loads(snapshot.parts[0])[0], 10)
        self.lineage.require_known(thread_id, version)
        is_typed = version == self.lineage.version
        snapshots = self.snapshots if is_typed else self.untyped.snapshots
        fold = Fold(self, snapshots.restore(thread_id, snapshot, items))
        if is_typed:
            fold.begin_new_fields()
        return fold

    def version_of(self, record: Record) -> int | None:
        """Return the version that a thread has since this record; None for one that leaves it as it was."""
        place = _PLACES.get(record.kind)
        if place is None:
            return None
        body = loads(record.body)
        if record.kind == "forked":
            return self._version_in(body[2], 10)
        found = body[place] if len(body) > place else 1
        if type(found) is not int:
            raise ValueError("a version is no number")
        return found

    @staticmethod
    def _version_in(stored: Sequence[Any], place: int) -> int:
        version: Any = stored[place][1] if len(stored) > place else UNKNOWN_EDITION.version
        if type(version) is not int:
            raise ValueError("a version is no number")
        return version


_PLACES = {"started": 4, "upgraded": 1, "forked": 2}
"""Where the record of such a fact has the version."""


def changed(thread_id: str, error: Mismatch) -> GraphChangedError:
    """Say that a stored value does not fit its field any more."""
    return GraphChangedError(
        thread_id,
        str(error),
        f'Declare "{error.field}" so that what is stored fits, or run the thread with the old graph.',
    )


class Fold:
    """One thread that is followed. ``run`` is untyped as long as it is of another version than the model."""

    def __init__(self, reading: Reading, run: Run) -> None:
        self.reading, self.run = reading, run
        self.is_typed = run.edition.version == reading.lineage.version
        self.pending: tuple[Op, ...] = ()

    def begin_new_fields(self) -> None:
        """Let each field that the model got since begin with its default."""
        schema, run = self.reading.schema, self.run
        self.pending = tuple(("set", name, value) for name, value in schema.defaults(run.values).items())
        self.run = run._replace(values=schema.apply(run.values, self.pending))

    def follow(self, record: Record) -> None:
        """Take one more record. Raise ``Mismatch``, ``GraphChangedError``, ``StoreCorruptError``."""
        fact, before = self.read(record), self.run.sequence
        if before + width(fact) != record.sequence:
            why = f"it follows record {before}, so one is missing between them"
            raise StoreCorruptError(self.run.thread_id, record.sequence, why)
        self.take(record, fact)

    def read(self, record: Record) -> Fact:
        """Return the fact of a record that is to be taken next."""
        if record.kind in _PLACES:
            self._meet(record)
        return self.reading.fact(self.run.thread_id, record, is_typed=self.is_typed)

    def take(self, record: Record, fact: Fact) -> None:
        """Take what was read."""
        reading, is_turn = self.reading, record.kind in _PLACES
        after = self.run = evolve(reading.schema if self.is_typed else reading.untyped.schema, self.run, fact)
        if self.pending and (is_turn or record.kind == "updated"):
            told: set[str] = {name for _, name, _ in getattr(fact, "ops", ())}
            self.pending = tuple(op for op in self.pending if op[1] not in told)
        if not self.is_typed and after.edition.version == reading.lineage.version:
            self.run, self.pending = self.shown()
            self.is_typed = True

    def _meet(self, record: Record) -> None:
        """Prepare for a record that says of which version the thread is from there on."""
        reading, run = self.reading, self.run
        try:
            version = reading.version_of(record)
        except (ValueError, LookupError, TypeError) as error:
            raise StoreCorruptError(run.thread_id, record.sequence, error) from error
        assert version is not None
        ours = reading.lineage.version
        reading.lineage.require_known(run.thread_id, version)
        if self.is_typed and version != ours and run.sequence:
            raise StoreCorruptError(run.thread_id, record.sequence, f"version {version} cannot follow version {ours}")
        if not run.sequence and self.is_typed != (version == ours):  # nothing was read that would have to be led over
            self.run, self.is_typed = run._replace(values={}), version == ours
            if self.is_typed:
                self.begin_new_fields()

    def shown(self) -> Shown:
        """Return the thread in the model's types, migrated if it is of an older version.

        Raise ``GraphChangedError``, ``Mismatch``.
        """
        if not self.run.sequence:  # nothing has been written yet, under any version
            return Shown(self.run)
        if not self.is_typed:
            return Shown(*Lift(self.reading.codec, self.reading.untyped, self.reading.lineage).run(self.run))
        run, channel = self.run, self.reading.schema.channel
        pending = [name for _, name, _ in self.pending if name in run.values]
        return Shown(run, tuple(("set", name, channel(name).plain(run.values[name])) for name in pending))
