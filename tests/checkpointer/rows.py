"""Threads as a store would hold them, made without one."""

from __future__ import annotations

from collections.abc import Sequence

from taf.checkpointer.base import Record, Snapshot, Stored
from taf.checkpointer.encoding import Encoded, FactCodec
from taf.checkpointer.snapshots import SnapshotCodec
from taf.state.facts import Fact
from taf.state.run import Run, evolve, replay
from tests.state.journals import SCHEMA

CODEC = FactCodec(SCHEMA)


def records_of(facts: Sequence[Fact]) -> list[Record]:
    """Return the records of a journal."""
    run, found = Run("t"), list[Record]()
    for fact in facts:
        run = evolve(SCHEMA, run, fact)
        kind, body, items = CODEC.encode(fact)
        found.append(Record(run.sequence, kind, run.run_id, 0.0, body, items))
    return found


def snapshot_of(facts: Sequence[Fact]) -> Snapshot:
    """Return a snapshot taken after some facts."""
    return SnapshotCodec(CODEC).take(replay(SCHEMA, Run("t"), facts))


def stored_of(facts: Sequence[Fact], last: Encoded | None = None, cut: int | None = None) -> Stored:
    """Return a thread as read, with a snapshot after ``cut`` facts, and with one more row of any bytes."""
    records = records_of(facts)
    if last is not None:
        kind, body, items = last
        records.append(Record(records[-1].sequence + 1, kind, "r", 0.0, body, items))
    snapshot = None if cut is None else snapshot_of(facts[:cut])
    start = 0 if snapshot is None else snapshot.sequence
    first = start + 1 if snapshot is None or snapshot.items_from is None else snapshot.items_from
    items = [(r.sequence, r.items) for r in records if r.items is not None and first <= r.sequence <= start]
    tail = [record for record in records if record.sequence > start]
    return Stored("born", records[-1].sequence, "running", "r", False, False, snapshot, items, tail)
