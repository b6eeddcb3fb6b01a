"""One OS thread with one connection that does jobs for any number of event loops.

Jobs that wait together are done in one transaction: one commit for all, yet one that fails takes none with it. A job's
outcome is told after the commit only. Whoever waits for it learns it, cancelled or not: a write is never in doubt.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from taf.checkpointer.outcome import Outcome, tell
from taf.checkpointer.sqlite_file import SqliteFile, roll_back
from taf.errors import CheckpointerClosedError

BATCH = 200
"""How many jobs one transaction takes at most."""

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_DRIVER_ERRORS = (sqlite3.Error, OSError, UnicodeError, OverflowError)


class Job(Outcome[T]):
    """What is to be done in a transaction, and what became of it."""

    __slots__ = ("_after", "_undo", "is_synced", "work")

    def __init__(
        self,
        what: str,
        work: Work[T],
        after: Callable[[T], None] | None,
        loop: asyncio.AbstractEventLoop | None,
        undo: Callable[[], None] | None = None,
        *,
        is_synced: bool = True,
    ) -> None:
        super().__init__(what, loop, _DRIVER_ERRORS)
        self.work, self._after, self._undo, self.is_synced = work, after, undo, is_synced

    def attempt(self, connection: sqlite3.Connection) -> None:
        """Do the work, in the worker."""
        self.result = [self.work(connection)]

    def follow_up(self) -> None:
        """Do what has to follow the commit, or its failure, in the worker."""
        # It tells others only; what it raises must not make a commit look like a failure.
        with suppress(Exception):
            if self.error is None:
                if self._after is not None:
                    self._after(self.result[0])
            elif self._undo is not None:
                self._undo()


class Worker:
    """The thread. It starts with the first job, and ends at ``stop``."""

    def __init__(self, name: str, begin: str, file: SqliteFile, *, farewell: str = "") -> None:
        self._name, self._begin, self._file, self._farewell = name, begin, file, farewell
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._is_synced = True
        self._is_closed = False

    async def run(
        self,
        what: str,
        work: Work[T],
        after: Callable[[T], None] | None = None,
        *,
        undo: Callable[[], None] | None = None,
        is_synced: bool = True,
    ) -> T:
        """Have work done in a transaction, ``after`` it what follows from its result, and return the result.

        ``undo`` takes back, when it fails, what the work left in memory. ``is_synced=False``: it need not outlive a
        power cut, and is on disk with the next that has to.
        """
        job = Job(what, work, after, asyncio.get_running_loop(), undo, is_synced=is_synced)
        self._put(job)
        return await job.wait()

    def post(self, work: Work[None]) -> None:
        """Have work done without waiting for it, and without learning whether it succeeded."""
        with suppress(CheckpointerClosedError):
            self._put(Job("", work, None, None, is_synced=False))

    def _put(self, job: Job[Any]) -> None:
        # Under the lock, so that no job comes behind the end of the queue, where nobody would do it.
        with self._lock:
            if self._is_closed:
                raise CheckpointerClosedError
            if self._thread is None:
                thread = threading.Thread(target=self._main, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            self._queue.put(job)

    def stop(self, patience: float | None = None) -> None:
        """Take no more jobs, do those that wait, and close the connection. Wait for it, at most for so many seconds."""
        with self._lock:
            self._is_closed = True
            self._queue.put(None)
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    # -- in the thread -----------------------------------------------------------------------------

    def _main(self) -> None:
        while batch := self._next_batch():
            self._do(batch)
            tell(batch)
            # What a job refers to must not live until the next one comes.
            del batch
        if self._connection is not None:
            with suppress(sqlite3.Error):
                if self._farewell:
                    self._connection.executescript(self._farewell)
            self._connection.close()

    def _next_batch(self) -> list[Job[Any]]:
        job = self._queue.get()
        batch: list[Job[Any]] = []
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH:
                return batch
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            # The end of the queue: to be found again behind this batch.
            self._queue.put(None)
        return batch

    def _do(self, batch: Sequence[Job[Any]]) -> None:
        connection = None
        try:
            connection = self._connection = self._connection or self._file.connect()
            self._sync(connection, any([job.is_synced for job in batch]))
            connection.execute(self._begin)
            if len(batch) == 1:
                batch[0].attempt(connection)
            else:
                # Each between savepoints: to do the others anew after a failure would do twice what they keep here.
                for job in batch:
                    self._attempt(connection, job)
            connection.execute("COMMIT")
        except Exception as error:
            for job in batch:
                job.fail(error)
            if connection is not None:
                with suppress(sqlite3.Error):
                    roll_back(connection)
        for job in batch:
            job.follow_up()

    def _sync(self, connection: sqlite3.Connection, is_synced: bool) -> None:
        """Have the next commit synced as the file is, or left to the next one that is."""
        if is_synced is not self._is_synced:
            level = self._file.synchronous if is_synced else "NORMAL"
            connection.execute(f"PRAGMA synchronous={level}")
            self._is_synced = is_synced

    @staticmethod
    def _attempt(connection: sqlite3.Connection, job: Job[Any]) -> None:
        connection.execute("SAVEPOINT job")
        try:
            job.attempt(connection)
        except Exception as error:
            if not connection.in_transaction:
                # SQLite gave the whole transaction up, and with it what the jobs before wrote.
                raise
            job.fail(error)
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
