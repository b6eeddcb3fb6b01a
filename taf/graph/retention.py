"""Lets go of what is old: records that no checkpoint to keep needs, and threads that nobody came back to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from taf.checkpointer.base import Listing, ThreadRow
from taf.checkpointer.journal import Journal
from taf.checkpointer.retention import Keep, shorten
from taf.errors import ConfigError, StoreUnavailableError, TafError, ThreadBusyError, UnknownThreadError
from taf.graph.subgraph import delete_inner
from taf.state.execution import ExecutionStatus
from taf.state.interrupts import InterruptStatus


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning did.

    ``threads``: how many were looked at. ``records``: how many went, of threads that stay. ``deleted``: the threads
    that went wholly. ``skipped``: those that were running, or went on meanwhile. ``failed``: why others were left as
    they were, by thread. ``cursor`` continues behind them, as ``after``; None when there is no more.
    """

    threads: int
    records: int
    deleted: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: dict[str, TafError]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What ``prune`` was told to keep. Raise ``ConfigError`` for what makes no sense."""

    keep_last: int | None
    older_than: timedelta | None
    delete: bool

    def __post_init__(self) -> None:
        last, age = cast("object", self.keep_last), cast("object", self.older_than)
        if last is None and age is None:
            raise ConfigError("Say what to keep: prune(keep_last=10), prune(older_than=timedelta(days=30)) or both.")
        if last is not None and (isinstance(last, bool) or not isinstance(last, int) or last < 1):
            raise ConfigError(f"keep_last has to be a whole number of at least 1, not {last!r}.")
        if age is not None and (not isinstance(age, timedelta) or age < timedelta()):
            raise ConfigError(f"older_than has to be a timedelta of at least 0, not {age!r}.")
        if self.delete and age is None:
            raise ConfigError("delete=True needs older_than: for how long a thread has to have been at rest.")

    def since(self, now: float) -> float | None:
        """Return where what is young begins, in seconds since 1970."""
        return None if self.older_than is None else now - self.older_than.total_seconds()


class Pruning:
    """One pass over some threads, and what came of it."""

    def __init__(self, journal: Journal, policy: Policy) -> None:
        self._journal, self._policy = journal, policy
        self._since = policy.since(journal.clock())
        self._threads = self._records = 0
        self._deleted: list[str] = []
        self._skipped: list[str] = []
        self._failed: dict[str, TafError] = {}

    async def one(self, thread_id: str) -> Pruned:
        """Prune a thread. Raise ``UnknownThreadError``, or why it cannot be read."""
        self._threads = 1
        await self._shorten(thread_id)
        return self.outcome(None)

    async def many(self, after: str, limit: int) -> Pruned:
        """Prune the next threads of this graph, by name."""
        journal = self._journal
        rows = await journal.store.threads(journal.tenant, Listing(graph=journal.graph), after=after, limit=limit)
        for row in rows:
            await self._look_at(row)
        return self.outcome(rows[-1].cursor if len(rows) == limit else None)

    def outcome(self, cursor: str | None) -> Pruned:
        """Say what was done."""
        deleted, skipped = tuple(self._deleted), tuple(self._skipped)
        return Pruned(self._threads, self._records, deleted, skipped, self._failed, cursor)

    async def _look_at(self, row: ThreadRow) -> None:
        self._threads += 1
        try:
            if row.is_owned or row.status == ExecutionStatus.RUNNING:
                self._skipped.append(row.thread_id)
            elif not await self._delete(row):
                await self._shorten(row.thread_id)
        except ThreadBusyError:
            self._skipped.append(row.thread_id)
        except UnknownThreadError:  # somebody deleted it meanwhile
            pass
        except StoreUnavailableError:
            raise
        except TafError as error:  # one that cannot be read must not keep the others
            self._failed[row.thread_id] = error

    async def _delete(self, row: ThreadRow) -> bool:
        """Delete a thread that nobody came back to, unless it still asks something."""
        if not self._policy.delete or self._since is None or row.updated >= self._since:
            return False
        journal, key = self._journal, self._journal.key(row.thread_id)
        if await journal.store.interrupts(key, status=InterruptStatus.OPEN):
            return False
        journal.forget(row.thread_id)
        if await journal.store.delete(key, expected=row.head):
            await delete_inner(journal, row.thread_id)
            self._deleted.append(row.thread_id)
        else:
            self._skipped.append(row.thread_id)
        return True

    async def _shorten(self, thread_id: str) -> None:
        journal = self._journal
        done = await shorten(journal, thread_id, Keep(self._policy.keep_last, self._since))
        if done is None:
            self._skipped.append(thread_id)
            return
        self._records += done.records
        if done.visit:  # what its subgraphs did in visits before is told by the records that went
            await delete_inner(journal, thread_id, before=done.visit)
