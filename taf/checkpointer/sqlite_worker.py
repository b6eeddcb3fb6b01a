"""One connection that does jobs for any number of event loops, in an OS thread of its own or in theirs.

Jobs that wait together are done in one transaction: one commit for all, yet one that fails takes none with it. Most of
those that fail have written nothing; where one has, all are done anew, each between savepoints. A job's outcome is told
after the commit only. Whoever waits for it learns it, cancelled or not: a write is never in doubt.

To cross into another thread and back costs more than a quick disk does. So what one run alone asks for is done on the
spot, and the few jobs of one turn of an event loop at its end, in its thread, as long as that is quick and nobody else
has the database. All else is left to the thread: what a crowd asks for, a slow disk, and to wait for other processes.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from taf.checkpointer.outcome import tell
from taf.checkpointer.sqlite_file import SqliteFile, fit_log, is_busy, roll_back
from taf.checkpointer.sqlite_work import Errand, Job, Work
from taf.errors import CheckpointerClosedError

BATCH = 200
"""How many jobs one transaction takes at most."""

CROWD = 16
"""How many jobs of one turn of an event loop are too many to hold it up for."""

PROMPT_SECONDS = 0.001
"""How long a transaction may take, in the mean of late, to be done in the thread of an event loop."""

TURN_SECONDS = 0.001
"""After what time of one job behind the other the event loop has to get its turn."""

LOOK_EVERY = 128
"""After how many transactions it is looked how large the file has become."""

_MEMORY = 8
"""How many transactions "of late" are."""

FEW = 8
"""How many jobs of a kind are few enough to be done one behind the other."""

T = TypeVar("T")


class Worker:
    """The connection, and the thread. Both start with the first job, and end at ``stop``.

    ``writes``: it takes the lock of all who write; otherwise it reads, which waits for nobody. ``is_alone`` says that
    nobody is likely to have jobs that could share a transaction with the next one.
    """

    def __init__(self, name: str, file: SqliteFile, *, writes: bool, is_alone: Callable[[], bool]) -> None:
        self._name, self._file, self._writes, self._is_alone = name, file, writes, is_alone
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        # Reentrant: a store that was forgotten is stopped wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._gathered: dict[asyncio.AbstractEventLoop, list[Job[Any]]] = {}
        self._left = 0  # to the thread, and not done yet: none that comes later overtakes them
        self._is_closed = False
        # Whoever uses the connection holds this, and what follows with it.
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._level, self._is_patient = file.synchronous, True
        self._seconds = self._turned_at = 0.0
        self._done = 0

    async def run(
        self, what: str, work: Work[T], after: Callable[[T], None] | None = None, *, is_synced: bool = True
    ) -> T:
        """Have work done in a transaction, ``after`` it what follows from its result, and return the result."""
        return await self.do(Errand(what, asyncio.get_running_loop(), work, after, is_synced=is_synced))

    def do(self, job: Job[T]) -> Awaitable[T]:
        """Have a job of the running loop done in a transaction; await its result."""
        if self.has_done(job):
            job.wake()
        else:
            self._put(job)
        return job.wait()

    def post(self, work: Work[None]) -> None:
        """Have work done without waiting for it, and without learning whether it succeeded."""
        with suppress(CheckpointerClosedError):
            self._put(Errand("", None, work, is_synced=False))

    def _put(self, job: Job[Any]) -> None:
        with self._lock:
            if self._is_closed:
                raise CheckpointerClosedError
            if job.loop is None or self._left or self._connection is None or self._seconds > PROMPT_SECONDS:
                self._hand_over_gathered()
                self._hand_over([job])
            elif job.loop in self._gathered:
                self._gathered[job.loop].append(job)
            else:
                self._gathered[job.loop] = [job]
                job.loop.call_soon(self._do_here, job.loop)

    def _hand_over(self, jobs: Sequence[Job[Any]]) -> None:
        """Give jobs to the thread. Under the lock, so that none comes behind the end of the queue, for nobody."""
        if self._thread is None:
            thread = threading.Thread(target=self._main, name=self._name, daemon=True)
            thread.start()
            self._thread = thread
        self._left += len(jobs)
        for job in jobs:
            self._queue.put(job)

    def _hand_over_gathered(self) -> None:
        for jobs in self._gathered.values():
            self._hand_over(jobs)
        self._gathered.clear()

    def stop(self, patience: float | None = None) -> None:
        """Take no more jobs, do those that wait, and close the connection. Wait for it, at most for so many seconds."""
        with self._lock:
            self._is_closed = True
            self._hand_over_gathered()
            self._queue.put(None)
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    # -- in the thread of an event loop ------------------------------------------------------------

    def has_done(self, job: Job[Any]) -> bool:
        """Do a job on the spot. Return False, with nothing done, where it has to wait, or the loop waits too long."""
        if self._left or self._gathered or self._connection is None or self._seconds > PROMPT_SECONDS:
            return False
        if time.perf_counter() - self._turned_at > TURN_SECONDS or not self._is_alone():
            return False
        if not self._turn.acquire(blocking=False):
            return False
        try:
            return not (self._left or self._is_closed) and self._do([job], is_patient=False)
        finally:
            self._turn.release()

    def _do_here(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do what was asked for in this turn of the loop, or leave it to the thread."""
        has_turn = self._turn.acquire(blocking=False)
        try:
            with self._lock:
                jobs = self._gathered.pop(loop, [])
                is_mine = has_turn and not self._left and 0 < len(jobs) <= CROWD
                if not is_mine:
                    self._hand_over(jobs)
            if is_mine:
                self._do_or_leave(jobs)
                self._turned_at = time.perf_counter()
        finally:
            if has_turn:
                self._turn.release()

    def _do_or_leave(self, jobs: Sequence[Job[Any]]) -> None:
        is_done = True
        try:
            is_done = self._do(jobs, is_patient=False)
        finally:
            if is_done:
                for job in jobs:
                    job.wake()
        if not is_done:
            with self._lock:
                self._hand_over(jobs)

    # -- in the thread -----------------------------------------------------------------------------

    def _main(self) -> None:
        while batch := self._next_batch():
            with self._turn:
                self._do(batch)
                with self._lock:
                    self._left -= len(batch)
            tell(batch)
            # What a job refers to must not live until the next one comes.
            del batch
        if self._connection is not None:
            with suppress(sqlite3.Error):
                if self._writes:
                    self._connection.executescript("PRAGMA busy_timeout=0; PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()

    def _next_batch(self) -> list[Job[Any]]:
        """Wait for jobs. None are left at the end."""
        job = self._queue.get()
        if job is None:
            with self._turn:  # whoever has it may leave jobs behind the end of the queue
                self._queue.put(None)
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

    # -- in either, with the turn ------------------------------------------------------------------

    def _do(self, batch: Sequence[Job[Any]], *, is_patient: bool = True) -> bool:
        """Do jobs in one transaction. Return False, with nothing done, where others write and it is not to wait."""
        connection, interruption, begun = None, None, 0.0
        try:
            connection = self._connection = self._connection or self._file.connect()
            begun = time.perf_counter()
            self._set(connection, any([job.is_synced for job in batch]), is_patient)
            if not self._begin(connection, is_patient):
                return False
            if len(batch) == 1:
                batch[0].attempt(connection)
            else:
                self._do_all(connection, batch)
            connection.execute("COMMIT")
        except BaseException as error:
            for job in batch:
                job.fail(error)
            if connection is not None:
                with suppress(sqlite3.Error):
                    roll_back(connection)
            interruption = None if isinstance(error, Exception) else error  # Ctrl-C strikes in an event loop's thread
        self._done += 1
        if connection is not None and self._writes and self._done % LOOK_EVERY == 0:
            with suppress(sqlite3.Error):
                fit_log(connection)
        if begun:  # to open the file is another matter
            self._seconds += (time.perf_counter() - begun - self._seconds) / _MEMORY
        for job in batch:
            job.follow_up()
        if interruption is not None:
            raise interruption
        return True

    def _set(self, connection: sqlite3.Connection, is_synced: bool, is_patient: bool) -> None:
        """Have the next commit synced, or left to the next one that is; and others waited for, or not."""
        level = self._file.synchronous if is_synced else "NORMAL"
        if level != self._level:
            connection.execute(f"PRAGMA synchronous={level}")
            self._level = level
        if self._writes and is_patient is not self._is_patient:
            milliseconds = int(self._file.busy_timeout * 1000) if is_patient else 0
            connection.execute(f"PRAGMA busy_timeout={milliseconds}")
            self._is_patient = is_patient

    def _begin(self, connection: sqlite3.Connection, is_patient: bool) -> bool:
        try:
            connection.execute("BEGIN IMMEDIATE" if self._writes else "BEGIN")
        except sqlite3.OperationalError as error:
            if is_patient or not is_busy(error):
                raise
            return False
        return True

    def _do_all(self, connection: sqlite3.Connection, batch: Sequence[Job[Any]]) -> None:
        """Do jobs in one go or one behind the other, and all anew when one failed with something written."""
        connection.execute("SAVEPOINT batch")
        done: list[Job[Any]] = []
        if not self._have_done(connection, batch, done):
            for job in reversed(done):
                job.take_back()
            connection.execute("ROLLBACK TO batch")
            self._do_each(connection, batch)

    def _have_done(self, connection: sqlite3.Connection, batch: Sequence[Job[Any]], done: list[Job[Any]]) -> bool:
        """Do jobs, and list them as ``done``, until one fails with something written. Return False then."""
        kinds: dict[type, list[Job[Any]]] = {}
        for job in batch if len(batch) > FEW else ():
            if job.is_plain:
                kinds.setdefault(type(job), []).append(job)
        for plain in kinds.values():
            if len(plain) > FEW:
                try:
                    done += plain[0].do_together(connection, plain)
                except Exception:
                    if not connection.in_transaction:
                        raise
                    return False
        is_done = {*done}
        for job in batch:
            if job not in is_done:
                done.append(job)
                if not self._leaves_whole(connection, job):
                    return False
        return True

    def _do_each(self, connection: sqlite3.Connection, batch: Sequence[Job[Any]]) -> None:
        for job in batch:
            connection.execute("SAVEPOINT job")
            if not self._leaves_whole(connection, job):
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")

    @staticmethod
    def _leaves_whole(connection: sqlite3.Connection, job: Job[Any]) -> bool:
        """Do a job. Return False when it failed with something written."""
        written = connection.total_changes
        try:
            job.attempt(connection)
        except Exception as error:
            if not connection.in_transaction:
                # SQLite gave the whole transaction up, and with it what the jobs before wrote.
                raise
            job.fail(error)
            return connection.total_changes == written
        return True
