"""A thread as it was after each of its records: from the beginning, or from the base that stands for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from copy import copy

from taf.checkpointer.base import Record
from taf.checkpointer.changes import Mismatch
from taf.checkpointer.encoding import KINDS
from taf.checkpointer.fold import Fold, changed
from taf.checkpointer.journal import Journal
from taf.errors import StoreCorruptError, TafError
from taf.state.facts import Answered, Fact, HandedOver, Reopened, RolledBack, TaskRecorded, Upgraded
from taf.state.growing import Growing
from taf.state.run import Run, width
from taf.tuples import NamedTuple

IN_BETWEEN = frozenset(KINDS[kind] for kind in (TaskRecorded, Answered, Reopened, HandedOver, RolledBack, Upgraded))
"""The kinds of records that leave the thread where it was."""


class Moment(NamedTuple):
    """A record, the fact that it holds, and the thread after it."""

    record: Record
    fact: Fact
    fold: Fold

    @property
    def run(self) -> Run:
        """The thread, in the types of its state model.

        Raise ``GraphChangedError`` where it does not fit them, ``StoreCorruptError``.
        """
        thread_id = self.fold.run.thread_id
        try:
            return self.fold.shown().run
        except Mismatch as error:
            raise changed(thread_id, error) from error
        except TafError:
            raise
        except Exception as error:  # of an older version, so that not all of it has been looked at
            raise StoreCorruptError(thread_id, self.record.sequence, error) from error

    @property
    def is_checkpoint(self) -> bool:
        """True where the thread was somewhere: such a moment is shown, and can be forked."""
        return self.record.kind not in IN_BETWEEN


async def past(journal: Journal, thread_id: str, *, whole_at: int = 0) -> AsyncGenerator[Moment, None]:
    """Yield a thread's moments, oldest first.

    From the record ``whole_at`` on its lists refer to no record at or before that one. Where records are pruned while
    this reads, it goes on at the new base. Raise ``StoreCorruptError``, ``GraphChangedError``.
    """
    fold = await journal.beginning(thread_id)
    after = max(fold.run.sequence - 1, 0)  # the base's own record is there
    while page := await journal.store.read(journal.key(thread_id), after):
        for record in page:
            fact = _followed(fold, record)
            if fact is None:
                fold = await _later_base(journal, fold.run, record)
                after = fold.run.sequence - 1
                break
            after = record.sequence
            if after == whole_at:
                fold.run = whole(fold.run)
            yield Moment(record, fact, copy(fold))


def _followed(fold: Fold, record: Record) -> Fact | None:
    """Take one more record and return its fact, or None when some are missing before it."""
    thread_id, sequence = fold.run.thread_id, record.sequence
    try:
        if sequence == fold.run.sequence:
            return fold.reading.fact_to_show(thread_id, record)
        fact = fold.read(record)
        if sequence != fold.run.sequence + width(fact):
            return None
        fold.take(record, fact)
    except Mismatch as error:
        raise changed(thread_id, error) from error
    except TafError:
        raise
    except Exception as error:  # a store may hold anything
        raise StoreCorruptError(thread_id, sequence, error) from error
    return fact


async def _later_base(journal: Journal, run: Run, record: Record) -> Fold:
    base = await journal.beginning(run.thread_id)
    if base.run.sequence <= run.sequence:
        why = f"it follows record {run.sequence}, so one is missing between them"
        raise StoreCorruptError(run.thread_id, record.sequence, why)
    return base


def whole(run: Run) -> Run:
    """Return a run whose lists are complete in themselves."""
    lists = {name: Growing(value.to_list()) for name, value in run.values.items() if isinstance(value, Growing)}
    return run._replace(values={**run.values, **lists})
