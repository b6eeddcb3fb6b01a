"""A job in SQLite: what is done in a transaction, what follows from it, and who is told."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from taf.checkpointer.outcome import Outcome

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Job(Outcome[T]):
    """What is to be done in a transaction, and what became of it."""

    __slots__ = ("is_synced",)

    drivers = (sqlite3.Error, OSError, UnicodeError, OverflowError)

    def __init__(self, what: str, loop: asyncio.AbstractEventLoop | None, *, is_synced: bool = True) -> None:
        super().__init__(what, loop)
        self.is_synced = is_synced
        """Whether it has to outlive a power cut. Otherwise it is on disk with the next job that has to."""

    def work(self, connection: sqlite3.Connection) -> T:
        """Do it, in the transaction, and return the result."""
        raise NotImplementedError

    def after(self, result: T) -> None:
        """Do what follows from the result, behind the commit."""

    def undo(self) -> None:
        """Take back what the work left in memory, since it failed or is done anew."""

    @property
    def is_plain(self) -> bool:
        """True, in the worker, for one that may be done in one go with others of its kind."""
        return False

    def do_together(self, connection: sqlite3.Connection, jobs: Sequence[Any]) -> Sequence[Job[Any]]:
        """Do plain jobs of its kind in one go; return those that are done. Of the others, nothing may be written.

        When it raises, all that was written is taken back, and each job done by itself.
        """
        raise NotImplementedError

    def attempt(self, connection: sqlite3.Connection) -> None:
        """Do the work, in the worker."""
        self.result = self.work(connection)

    def take_back(self) -> None:
        """Forget that it was done: it is done anew."""
        self.error = None
        self.undo()

    def follow_up(self) -> None:
        """Do what has to follow the commit, or its failure, in the worker."""
        try:
            if self.error is None:
                self.after(self.result)
            else:
                self.undo()
        except Exception:  # it tells others only, and must not make a commit look like a failure
            pass


class Errand(Job[T]):
    """A job made of functions, for all that is not asked for by crowds."""

    __slots__ = ("_after", "_work")

    def __init__(
        self,
        what: str,
        loop: asyncio.AbstractEventLoop | None,
        work: Work[T],
        after: Callable[[T], None] | None = None,
        *,
        is_synced: bool = True,
    ) -> None:
        super().__init__(what, loop, is_synced=is_synced)
        self._work, self._after = work, after

    def work(self, connection: sqlite3.Connection) -> T:
        """See ``Job.work``."""
        return self._work(connection)

    def after(self, result: T) -> None:
        """See ``Job.after``."""
        if self._after is not None:
            self._after(result)
