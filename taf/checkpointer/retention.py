"""What may go of a thread's records: all that is older than the checkpoints to keep, for which a base is left.

The base is the fold up to the oldest checkpoint that is kept, complete in itself: open questions, recorded tasks and
half a step included. So whatever can be done with a kept checkpoint can be done as before.
"""

from __future__ import annotations

from contextlib import suppress

from taf.checkpointer.base import Cut, Snapshot, Stored
from taf.checkpointer.fold import Fold
from taf.checkpointer.journal import Journal
from taf.checkpointer.ledger import SNAPSHOT_FLOOR
from taf.checkpointer.past import IN_BETWEEN, Moment, past
from taf.errors import NotStorableError, UnknownThreadError
from taf.serialization import full_length
from taf.state.execution import ExecutionStatus
from taf.state.interrupts import InterruptRecord, InterruptStatus
from taf.tuples import NamedTuple


class Keep(NamedTuple):
    """What to keep: the last ``last`` checkpoints, and those since ``since``, in seconds since 1970. None: no more."""

    last: int | None
    since: float | None


class Shortened(NamedTuple):
    """What was done to a thread: how many records went, and since which visit its records tell of it."""

    records: int
    visit: int


async def shorten(journal: Journal, thread_id: str, keep: Keep) -> Shortened | None:
    """Prune one thread. Return None, with nothing changed, when it does not rest, or moved on meanwhile.

    Raise ``UnknownThreadError``, ``GraphChangedError``, ``StoreCorruptError``, ``NotStorableError``.
    """
    stored = await journal.store.load(journal.key(thread_id))
    if stored is None:
        raise UnknownThreadError(thread_id)
    if stored.is_owned or stored.status == ExecutionStatus.RUNNING:
        return None
    floor, gone = await _floor(journal, thread_id, keep)
    if not gone:
        base = await journal.base(thread_id)
        return Shortened(0, base.visit if base else 0)
    survey = _Survey(floor)
    async for moment in past(journal, thread_id, whole_at=floor):
        survey.take(moment)
    cut = await _cut(journal, thread_id, stored, survey)
    return Shortened(gone, survey.visit) if cut is not None and await journal.store.prune(cut) else None


async def _floor(journal: Journal, thread_id: str, keep: Keep) -> tuple[int, int]:
    """Return the sequence of the oldest checkpoint to keep, and how many records are older."""
    found: list[tuple[int, int, float]] = []
    number = after = 0
    while page := await journal.store.read(journal.key(thread_id), after):
        for record in page:
            if record.kind not in IN_BETWEEN:
                found.append((record.sequence, number, record.at))
            number += 1
        after = page[-1].sequence
    if not found:  # it was deleted meanwhile
        return 0, 0
    index = len(found) - (keep.last or 1)
    if keep.since is not None:
        since = keep.since
        index = min(index, next((i for i, (_, _, at) in enumerate(found) if at >= since), index))
    return found[max(index, 0)][:2]


class _Survey:
    """What a thread's moments show, from the floor on."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.base: Fold | None = None
        self.head: Fold | None = None
        self.tail_bytes = 0
        self._seen = set[str]()

    @property
    def visit(self) -> int:
        """The first visit that is not done, as far as the kept records tell."""
        return self.base.run.visit if self.base else 0

    def take(self, moment: Moment) -> None:
        if moment.record.sequence < self.floor:
            return
        self.head = moment.fold
        self._seen |= {record.id for record in moment.fold.run.details.interrupts}
        if self.base is None:
            self.base = moment.fold
        else:
            self.tail_bytes += full_length(moment.record.body)

    def is_needed(self, record: InterruptRecord) -> bool:
        """Say whether the kept records tell of an interrupt, or a step that is half done may come back to it."""
        memo = self.base.run.details.memo.get(record.task or "") if self.base else None
        is_half_done = memo is not None and record.position in memo
        return record.status is InterruptStatus.OPEN or record.id in self._seen or is_half_done


def _taken(fold: Fold) -> Snapshot:
    """Take a snapshot of a thread in the version that it is of: it is migrated when it goes on, and not by this."""
    reading = fold.reading
    return (reading.snapshots if fold.is_typed else reading.untyped.snapshots).take(fold.run)


async def _cut(journal: Journal, thread_id: str, stored: Stored, survey: _Survey) -> Cut | None:
    if survey.base is None or survey.head is None:
        return None
    base = _taken(survey.base)
    closed = [record for record in await journal.interrupts(thread_id) if not survey.is_needed(record)]
    # The newest snapshot goes with the items that it may refer to: without another, all that is kept would be read.
    snapshot = None
    if survey.tail_bytes > max(SNAPSHOT_FLOOR, sum(map(full_length, base.parts))):
        with suppress(NotStorableError):  # it is only a cache
            snapshot = _taken(survey.head)
    return Cut(journal.key(thread_id), stored.born, stored.head, base, snapshot, [record.id for record in closed])
