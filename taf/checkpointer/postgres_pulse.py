"""The heartbeat of a Postgres store: renews leases, holds the life-lock, hears signals, looks for what others wrote.

It has a connection of its own, apart from any event loop of the user's, so that a busy node does not make its owner
look dead. With a session (no transaction pooler in between) it holds an advisory lock, which the server lets go of the
moment that this process dies, and it is notified of signals. Without one there is the lease, and polling.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, NamedTuple
from zlib import crc32

from taf.checkpointer.base import Change, ThreadKey, Watcher
from taf.checkpointer.postgres_connections import Direct, Settings, close
from taf.checkpointer.postgres_rows import Statements, decode_name, encode_name, signals_of
from taf.checkpointer.postgres_service import Service
from taf.checkpointer.watches import NOWHERE, Place, Watches
from taf.errors import CheckpointerClosedError
from taf.ids import new_id

POLL_SECONDS = 0.02
"""How often threads are looked at that others own and somebody here watches."""

BACKUP_POLL_SECONDS = 0.025
"""How often own threads are looked at all the same, in case that a notification was lost."""

BACKUP_SECONDS_PER_THREAD = 0.0005
"""So much longer for each thread, so that thousands of runs cost the server no more than a few."""

IDLE_SECONDS = 1.0
"""How long it sleeps at most while nothing is due."""

RETRY_SECONDS = 0.05
"""After what time a lost session is sought again, at first."""

_log = logging.getLogger("taf.checkpointer")


class Lease(NamedTuple):
    """One thread that is owned. It lasts so many seconds without renewal; ``seen`` is where the thread was then."""

    thread: int
    epoch: int
    seconds: float
    seen: Place


class Pulse:
    """The leases, the watchers, and the task that serves both in the service's thread."""

    def __init__(self, settings: Settings, statements: Statements) -> None:
        self.watches = Watches()
        self.owner = new_id()
        self.channel = f"taf_{crc32(statements.tables['threads'].encode()):08x}"
        self.life_lock: int | None = None
        self.service: Service | None = None
        self._settings, self._statements = settings, statements
        self._lock = threading.Lock()
        self._leases: dict[ThreadKey, Lease] = {}
        self._keys: dict[int, ThreadKey] = {}
        self._claims: set[ThreadKey] = set()
        self._is_closed = False
        self._renewal_due = self._backup_due = self._wakes_at = math.inf
        # Only the service's thread uses these.
        self._wake, self._has_tried = asyncio.Event(), asyncio.Event()
        self._poll_due = math.inf
        self._notified: set[int] = set()
        self._is_listening = False

    # -- leases ------------------------------------------------------------------------------------

    def hold(self, key: ThreadKey, lease: Lease) -> None:
        """Renew a lease from now on."""
        due = time.monotonic() + _period(lease)
        with self._lock:
            self._leases[key], self._keys[lease.thread] = lease, key
            self._renewal_due = min(self._renewal_due, due)
        self._wake_by(due)

    def lease(self, key: ThreadKey, epoch: int | None = None) -> Lease | None:
        """Return a lease, if it is still held, under that epoch or any."""
        lease = self._leases.get(key)
        return lease if lease is not None and epoch in (None, lease.epoch) else None

    def drop(self, key: ThreadKey, epoch: int) -> Lease | None:
        """Stop renewing a lease, and return it if it was held."""
        with self._lock:
            lease = self.lease(key, epoch)
            if lease is not None:
                del self._leases[key]
                self._keys.pop(lease.thread, None)
            return lease

    def claim(self, key: ThreadKey) -> bool:
        """Be the only one in this process who asks for a thread; False when another does, or has it."""
        with self._lock:
            if key in self._claims or key in self._leases:
                return False
            self._claims.add(key)
            return True

    def unclaim(self, key: ThreadKey) -> None:
        """Undo ``claim``."""
        with self._lock:
            self._claims.discard(key)

    def is_claiming(self, key: ThreadKey) -> bool:
        """Say whether somebody in this process is asking for a thread."""
        return key in self._claims

    def all_leases(self) -> Sequence[tuple[ThreadKey, Lease]]:
        """Return what is held now."""
        with self._lock:
            return list(self._leases.items())

    # -- watchers ----------------------------------------------------------------------------------

    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool) -> Callable[[], None]:
        """Tell ``watcher`` of changes from now on; return what ends it."""
        if self._is_closed:
            raise CheckpointerClosedError
        lease = self._leases.get(key)
        unwatch = self.watches.add(key, watcher, lease.seen if lease else NOWHERE, signals_only)
        if lease is not None and signals_only:
            self._back_up_soon()  # what was signalled before is told to an owner by its next commit
        else:
            self._call(self._poll_soon)
        return unwatch

    def close(self) -> None:
        """Take no more watchers."""
        self._is_closed = True

    @property
    def is_ready(self) -> bool:
        """True once the life-lock is held, or was sought in vain."""
        return self._has_tried.is_set()

    def _back_up_soon(self) -> None:
        now = time.monotonic()
        with self._lock:
            if self._backup_due < now:  # nobody watched for a while
                self._backup_due = now + BACKUP_POLL_SECONDS
            due = self._backup_due
        self._wake_by(due)

    def _wake_by(self, due: float) -> None:
        """Have it awake when something is due that it may not have known of when it went to sleep."""
        if due < self._wakes_at:
            self._call(self._wake.set)

    def _call(self, what: Callable[[], None]) -> None:
        service = self.service
        if service is not None and service.is_here:
            what()
        elif service is not None:
            with suppress(CheckpointerClosedError):
                service.call(what)

    # -- in the service's thread -------------------------------------------------------------------

    def _poll_soon(self) -> None:
        self._poll_due = self._backup_due = time.monotonic()
        self._wake.set()

    async def until_ready(self) -> None:
        """Wait until the life-lock is held, or was sought in vain."""
        await self._has_tried.wait()

    async def keep(self) -> None:
        """Serve until the end, over one connection after another."""
        settings, pause = self._settings, RETRY_SECONDS
        if settings.session_dsn is None:
            _log.warning(
                "Behind a pooler in transaction mode, without direct_dsn=: an owner that was killed is noticed when "
                "its lease ends, and stops are found by polling."
            )
        while True:
            try:
                assert self.service is not None
                connection = await settings.connect(settings.session_dsn or settings.dsn)
                try:
                    await self._serve(connection)
                finally:
                    self.life_lock, self._is_listening = None, False
                    await close(connection)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # without this task all leases would end, so nothing at all ends it
                _log.info("The heartbeat lost its connection: %r", error)
            self._has_tried.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _serve(self, connection: Direct) -> None:
        if self._settings.session_dsn is not None:
            # Anew for each session: the server may not have noticed yet that the last one is gone.
            life_lock = random.getrandbits(62)
            await connection.fetchval("SELECT pg_advisory_lock($1)", life_lock)
            await connection.add_listener(self.channel, self._on_notify)
            self.life_lock, self._is_listening = life_lock, True
        connection.add_termination_listener(lambda _: self._wake.set())
        self._has_tried.set()
        with self._lock:
            self._renewal_due = self._poll_due = self._backup_due = (
                time.monotonic()
            )  # leases name the lock of the last session
        while not connection.is_closed():
            await self._sleep()
            if time.monotonic() >= self._renewal_due:
                await self._renew(connection)
            keys = self._to_look_at()
            if keys:
                await self._look(connection, keys)
        raise ConnectionError("it was closed")

    def _on_notify(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        with suppress(ValueError):
            self._notified.add(int(str(payload)))
            self._wake.set()

    async def _sleep(self) -> None:
        """Wait until something is due."""
        with self._lock:
            watched = self.watches.threads()
            polling = self._backup_due if watched else math.inf
            if any(map(self._may_change_unheard, watched)):
                polling = min(polling, self._poll_due)
            now = time.monotonic()
            self._wakes_at = min(self._renewal_due, polling, now + IDLE_SECONDS)
        seconds = self._wakes_at - now
        if seconds > 0 and not self._notified:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        self._wake.clear()

    def _to_look_at(self) -> Sequence[ThreadKey]:
        """Return the watched threads whose turn it is."""
        now, watched = time.monotonic(), self.watches.threads()
        notified, self._notified = self._notified, set()
        is_backup_due, is_due = now >= self._backup_due, now >= self._poll_due
        if is_backup_due:
            self._backup_due = now + max(BACKUP_POLL_SECONDS, BACKUP_SECONDS_PER_THREAD * len(watched))
        if is_due:
            self._poll_due = now + POLL_SECONDS
        told = {self._keys.get(thread) for thread in notified}
        return [key for key in watched if is_backup_due or key in told or (is_due and self._may_change_unheard(key))]

    def _may_change_unheard(self, key: ThreadKey) -> bool:
        """Say whether a thread has to be looked at often.

        Nobody else writes to one that is owned here, so a signal is all that could be new, and that is heard.
        """
        return not self._is_listening or key not in self._leases

    async def _look(self, connection: Direct, keys: Sequence[ThreadKey]) -> None:
        assert self.service is not None
        await self.service.open()  # nobody may have asked for anything yet
        tenants, threads = ([encode_name(name) for name in names] for names in zip(*keys, strict=True))
        async with AsyncExitStack() as stack:
            if self._settings.is_pooled:
                await stack.enter_async_context(connection.transaction())
            rows = await connection.fetch(self._statements.look, tenants, threads)
        for row in rows:
            with suppress(ValueError):  # one bad row must not hide the others
                key = ThreadKey(decode_name(row["tenant"]), decode_name(row["thread"]))
                place, run_id = Place(row["id"], row["revision"]), decode_name(row["run_id"])
                if self.watches.is_new(key, place):
                    # A release leaves them in the row, for whoever looks whether its signal had come in.
                    signals = () if row["is_released"] else signals_of(row["signals"], run_id)
                    self.watches.tell(key, place, Change(row["head"], decode_name(row["status"]), run_id, signals))

    async def _renew(self, connection: Direct) -> None:
        """Renew all leases, and drop those that were lost."""
        claims = set(self._claims)  # these may not be committed yet, so that nothing is found here
        with self._lock:
            held = list(self._leases.items())
            self._renewal_due = time.monotonic() + min((_period(lease) for _, lease in held), default=math.inf)
        if not held:
            return
        # In the order of their rows, as others do who take several: so that none waits for one who waits for it.
        threads, epochs, seconds, _ = zip(*sorted(lease for _, lease in held), strict=True)
        async with AsyncExitStack() as stack:
            if self._settings.is_pooled:
                await stack.enter_async_context(connection.transaction())
            rows = await connection.fetch(self._statements.renew, threads, epochs, seconds, self.owner, self.life_lock)
        kept = {(row["id"], row["epoch"]) for row in rows}
        for key, lease in held:
            if (lease.thread, lease.epoch) not in kept and key not in claims:
                self.drop(key, lease.epoch)


def _period(lease: Lease) -> float:
    return max(lease.seconds / 3, 0.01)
