"""The heartbeat of a checkpointer: an OS thread that renews leases and looks for what other processes wrote.

It has a connection of its own, so that neither a busy node nor a long write makes the own owner look dead. It sleeps
while nothing is owned and nobody watches.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from taf.checkpointer import sqlite_rows as rows
from taf.checkpointer.base import Change, ThreadKey, Watcher
from taf.checkpointer.sqlite_file import SqliteFile, roll_back
from taf.checkpointer.sqlite_writing import renew
from taf.checkpointer.watches import NOWHERE, Place, Watches
from taf.errors import CheckpointerClosedError, StoreCorruptError

POLL_SECONDS = 0.005
"""How often the database is asked whether anybody wrote to it."""

SHARE, LONGEST_PAUSE = 0.02, 0.05
"""How much of a processor is spent on that: where many watch it is asked less often, at least every so many seconds."""

RETRY_SECONDS = 0.05
"""After what time a renewal that failed is tried again."""

SHORTEST_PERIOD = 0.01
"""Leases are not renewed more often than that."""


class Lease(NamedTuple):
    """One thread that is owned. It lasts so many seconds without renewal; ``seen`` is where the thread was then."""

    thread: int
    epoch: int
    owner: str
    seconds: float
    seen: Place


def lease_end(seconds: float) -> int:
    """Return when a lease ends that begins now, in nanoseconds of the monotonic clock."""
    return time.monotonic_ns() + int(seconds * 1e9)


class Pulse:
    """The thread, the leases that it renews and the watchers that it tells."""

    def __init__(self, file: SqliteFile) -> None:
        self.watches = Watches()
        self._file = file
        self._condition = threading.Condition()
        self._leases: dict[ThreadKey, Lease] = {}
        self._renewal_due = math.inf
        self._looks_at = self._wakes_at = math.inf
        self._pause = POLL_SECONDS
        self._has_watched = False
        self._thread: threading.Thread | None = None
        self._is_closed = False
        # Only the thread uses these.
        self._connection: sqlite3.Connection | None = None
        self._seen = (0, 0)
        self._last_signal = 0

    # -- leases ------------------------------------------------------------------------------------

    def hold(self, key: ThreadKey, lease: Lease) -> Lease | None:
        """Renew a lease from now on; return the one that was held before."""
        with self._condition:
            before = self._leases.get(key)
            self._leases[key] = lease
            self._renewal_due = min(self._renewal_due, time.monotonic() + _period(lease))
            self._wake_by(self._renewal_due)
            return before

    def put_back(self, key: ThreadKey, lease: Lease, before: Lease | None) -> None:
        """Undo ``hold``, of that very lease."""
        with self._condition:
            if self._leases.get(key) is not lease:
                return
            if before is None:
                del self._leases[key]
            else:
                self._leases[key] = before

    def lease(self, key: ThreadKey, epoch: int) -> Lease | None:
        """Return a lease, if it is still held."""
        lease = self._leases.get(key)
        return lease if lease is not None and lease.epoch == epoch else None

    def drop(self, key: ThreadKey, epoch: int) -> Lease | None:
        """Stop renewing a lease, and return it if it was held."""
        with self._condition:
            lease = self.lease(key, epoch)
            if lease is not None:
                del self._leases[key]
            return lease

    def has_one_at_most(self) -> bool:
        """Say whether no more than one thread is owned here."""
        return len(self._leases) <= 1

    # -- watchers ----------------------------------------------------------------------------------

    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool) -> Callable[[], None]:
        """Tell ``watcher`` of changes from now on; return what ends it."""
        with self._condition:
            if self._is_closed:
                raise CheckpointerClosedError
            lease = self._leases.get(key)
            unwatch = self.watches.add(key, watcher, lease.seen if lease else NOWHERE, signals_only)
            self._has_watched = True
            self._looks_at = min(self._looks_at, time.monotonic() + self._pause)
            self._wake_by(self._looks_at)
        return unwatch

    # -- the thread --------------------------------------------------------------------------------

    def _wake_by(self, due: float) -> None:
        if self._is_closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name="taf-sqlite-pulse", daemon=True)
            self._thread.start()
        elif due < self._wakes_at:
            self._condition.notify()

    def stop(self, patience: float | None = None) -> None:
        """End the thread; nothing is renewed or told any more. Wait for it, at most for ``patience`` seconds."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def _main(self) -> None:
        while self._sleep():
            if self._is_renewal_due():
                self._attempt(self._renew)
            if self.watches:
                before = time.thread_time()
                self._attempt(self._look)
                self._pause = min(max(POLL_SECONDS, (time.thread_time() - before) / SHARE), LONGEST_PAUSE)
            else:
                self._pause = POLL_SECONDS
        if self._connection is not None:
            self._connection.close()

    def _sleep(self) -> bool:
        """Wait until something is due; return False at the end."""
        with self._condition:
            # Short runs follow each other: where one has just watched the next is near, and need not wake this.
            is_watched = self.watches or self._has_watched
            self._looks_at = time.monotonic() + self._pause if is_watched else math.inf
            self._has_watched = False
            while not self._is_closed:
                self._wakes_at = min(self._renewal_due, self._looks_at)
                seconds = self._wakes_at - time.monotonic()
                if seconds <= 0:
                    return True
                self._condition.wait(seconds if seconds < threading.TIMEOUT_MAX else None)
        return False

    def _is_renewal_due(self) -> bool:
        with self._condition:
            if time.monotonic() < self._renewal_due:
                return False
            # In case that it fails.
            self._renewal_due = time.monotonic() + RETRY_SECONDS
            return True

    def _attempt(self, work: Callable[[sqlite3.Connection], None]) -> None:
        # Nobody waits for this, and it is tried again; whoever writes meets the same trouble and is told. Without this
        # thread all leases would end, so nothing at all ends it.
        with suppress(Exception):
            self._connection = self._connection or self._file.connect()
            try:
                work(self._connection)
            finally:
                roll_back(self._connection)

    def _renew(self, connection: sqlite3.Connection) -> None:
        """Renew all leases."""
        with self._condition:
            leases = list(self._leases.items())
        connection.execute("BEGIN IMMEDIATE")
        lost = [
            (key, lease)
            for key, lease in leases
            if not renew(connection, lease.thread, lease.epoch, lease.owner, lease_end(lease.seconds))
        ]
        connection.execute("COMMIT")
        for key, lease in lost:
            self.drop(key, lease.epoch)
        with self._condition:
            periods = [_period(lease) for lease in self._leases.values()]
            self._renewal_due = time.monotonic() + min(periods, default=math.inf)

    def _look(self, connection: sqlite3.Connection) -> None:
        """Tell watchers what changed, if anybody wrote since the last look."""
        # The version comes first: what is written in between is seen now, and once more.
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        generation = self.watches.generation
        if (version, generation) == self._seen:
            return
        connection.execute("BEGIN")
        signalled, self._last_signal = rows.signalled(connection, self._last_signal)
        for key in self.watches.threads():
            lease = self._leases.get(key)
            # Nobody else writes to a thread that is owned here, so a signal is all that could be new.
            if lease is None or lease.thread in signalled or generation != self._seen[1]:
                with suppress(StoreCorruptError):  # one bad row must not hide the other threads
                    self._look_at(connection, key)
        self._seen = (version, generation)

    def _look_at(self, connection: sqlite3.Connection, key: ThreadKey) -> None:
        state = rows.find(connection, key)
        if state is not None and self.watches.is_new(key, place := Place(state.thread, state.revision)):
            waiting = rows.signals(connection, state.thread, state.run_id)
            self.watches.tell(key, place, Change(state.head, state.status, state.run_id, waiting))


def _period(lease: Lease) -> float:
    return max(lease.seconds / 3, SHORTEST_PERIOD)
