"""What a process holds of the simulated database: the port of a store, with leases, a heartbeat and watchers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from taf.checkpointer.base import (
    ALL_THREADS,
    BaseCheckpointer,
    Change,
    Commit,
    Cut,
    Grant,
    InterruptRow,
    Known,
    Listing,
    Mail,
    Posted,
    Record,
    Signal,
    Snapshot,
    Stored,
    ThreadKey,
    ThreadRow,
    Watcher,
)
from taf.checkpointer.watches import NOWHERE, Place, Watches
from taf.errors import CheckpointerClosedError, StaleOwnerError, StoreUnavailableError, ThreadBusyError
from tests.simulation.database import Caller, Database

T = TypeVar("T")

BEAT_SECONDS = 0.5
"""How often leases are renewed, and watched threads are looked at, in case that word of a change was lost."""


class Wire(Protocol):
    """The way to the database."""

    async def call(
        self, what: str, work: Callable[[], T], after: Callable[[T], object] | None = None, *, may_double: bool = False
    ) -> T: ...

    def send(self, what: str, work: Callable[[], object]) -> None: ...


class Direct:
    """A way without delay or fault, for callers in any OS thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    async def call(
        self, what: str, work: Callable[[], T], after: Callable[[T], object] | None = None, *, may_double: bool = False
    ) -> T:
        with self._lock:
            result = work()
            if after is not None:
                after(result)
            return result

    def send(self, what: str, work: Callable[[], object]) -> None:
        with self._lock:
            work()


class SimulatedCheckpointer(BaseCheckpointer):
    """The store of one process. ``owner`` names the process, ``wall`` is its own clock, which nothing may depend on."""

    def __init__(self, database: Database, wire: Wire, owner: str, wall: Callable[[], float]) -> None:
        self._database, self._wire, self._owner, self._wall = database, wire, owner, wall
        self._leases: dict[ThreadKey, tuple[int, Place]] = {}
        self._claims: set[ThreadKey] = set()
        self._lock = threading.Lock()
        self.watches = Watches()
        self._is_closed = False

    def _caller(self, key: ThreadKey | None = None) -> Caller:
        return Caller(self._owner, key in self._leases or key in self._claims, self._wall())

    async def _call(
        self, what: str, work: Callable[[], T], after: Callable[[T], object] | None = None, *, may_double: bool = False
    ) -> T:
        if self._is_closed:
            raise CheckpointerClosedError
        return await self._wire.call(what, work, after, may_double=may_double)

    # -- owning ------------------------------------------------------------------------------------

    async def acquire(
        self, key: ThreadKey, *, lease_seconds: float, known: Known | None = None, create: bool = True
    ) -> Grant | None:
        database = self._database
        if not self._claim(key):
            stored = await self.load(key)
            raise ThreadBusyError(key.thread, (stored.run_id or None) if stored else None)
        caller = self._caller()

        def hold(claimed: tuple[Grant, Place] | None) -> None:
            if claimed is not None:
                self._leases[key] = (claimed[0].epoch, claimed[1])

        try:
            claimed = await self._call(
                f"acquire {_named(key)}",
                lambda: database.claim(key, caller, lease_seconds, known, create),
                hold,
            )
        finally:
            self._claims.discard(key)
        return None if claimed is None else claimed[0]

    def _claim(self, key: ThreadKey) -> bool:
        with self._lock:
            if key in self._leases or key in self._claims:
                return False
            self._claims.add(key)
            return True

    def abandon(self, key: ThreadKey, epoch: int) -> None:
        if self._drop(key, epoch):
            caller = self._caller()
            self._wire.send(f"abandon {_named(key)} e{epoch}", lambda: self._database.release(key, epoch, caller))

    def _drop(self, key: ThreadKey, epoch: int) -> bool:
        if self._leases.get(key, (0, NOWHERE))[0] != epoch:
            return False
        del self._leases[key]
        return True

    # -- writing -----------------------------------------------------------------------------------

    async def append(self, commit: Commit) -> Sequence[Signal]:
        key, epoch = commit.key, commit.epoch
        if self._leases.get(key, (0, NOWHERE))[0] != epoch:
            raise StaleOwnerError(key.thread, epoch)
        caller = self._caller(key)

        def written(made: tuple[Place, Sequence[Signal]]) -> None:
            if commit.is_release:
                self._drop(key, epoch)
            head = commit.records[-1].sequence if commit.records else commit.expected
            told = () if commit.is_release else made[1]
            self.watches.tell(key, made[0], Change(head, commit.status, commit.run_id, told))

        kinds = "+".join(record.kind for record in commit.records) or "nothing"
        what = f"append {_named(key)} e{epoch} {commit.expected}+{kinds}{' release' if commit.is_release else ''}"
        made = await self._call(what, lambda: self._database.append(commit, caller), written, may_double=True)
        return made[1]

    async def signal(self, key: ThreadKey, signal: Signal) -> bool:
        caller = self._caller(key)

        def told(made: tuple[Place, Change] | None) -> None:
            if made is not None:
                self.watches.tell(key, *made)

        what = f"signal {_named(key)} {signal.kind} {signal.run_id}"
        work = partial(self._database.signal, key, signal, caller)
        return await self._call(what, work, told, may_double=True) is not None

    async def post(self, key: ThreadKey, message: Posted, signal: Signal | None = None) -> int | None:
        caller = self._caller(key)

        def told(made: tuple[int, Place, Change] | None) -> None:
            if made is not None:
                self.watches.tell(key, *made[1:])

        what = f"post {_named(key)} {message.kind} {message.run_id}"
        work = partial(self._database.post, key, message, signal, caller)
        made = await self._call(what, work, told)
        return None if made is None else made[0]

    async def mail(self, key: ThreadKey) -> Mail:
        return await self._call(f"mail {_named(key)}", lambda: self._database.mail(key))

    async def amend(self, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        what = f"amend {_named(key)} {message_id}"
        return await self._call(what, lambda: self._database.amend(key, message_id, body))

    async def delete(self, key: ThreadKey, *, expected: int | None = None) -> bool:
        caller = self._caller(key)
        return await self._call(f"delete {_named(key)}", lambda: self._database.delete(key, expected, caller))

    async def prune(self, cut: Cut) -> bool:
        caller = self._caller(cut.key)
        return await self._call(f"prune {_named(cut.key)}", lambda: self._database.prune(cut, caller))

    # -- reading -----------------------------------------------------------------------------------

    async def load(self, key: ThreadKey, known: Known | None = None) -> Stored | None:
        caller = self._caller(key)
        return await self._call(f"load {_named(key)}", lambda: self._database.load(key, known, caller))

    async def read(self, key: ThreadKey, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        return await self._call(f"read {_named(key)}", lambda: self._database.read(key, after, limit))

    async def base(self, key: ThreadKey) -> Snapshot | None:
        return await self._call(f"base {_named(key)}", lambda: self._base(key))

    def _base(self, key: ThreadKey) -> Snapshot | None:
        row = self._database.rows.get(key)
        return None if row is None else row.base

    async def interrupts(
        self, key: ThreadKey | None = None, *, interrupt_id: str | None = None, status: str | None = None
    ) -> Sequence[InterruptRow]:
        return await self._call("interrupts", lambda: self._database.interrupts(key, interrupt_id, status))

    async def threads(
        self, tenant: str = "", listing: Listing = ALL_THREADS, *, after: str = "", limit: int = 100
    ) -> Sequence[ThreadRow]:
        caller = self._caller()
        return await self._call("threads", lambda: self._database.threads(tenant, listing, after, limit, caller))

    # -- watching ----------------------------------------------------------------------------------

    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool = False) -> Callable[[], None]:
        if self._is_closed:
            raise CheckpointerClosedError
        return self.watches.add(key, watcher, self._leases.get(key, (0, NOWHERE))[1], signals_only)

    async def beat(self) -> None:
        """Renew the leases and look at what is watched, for as long as the process lives."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._renew()
                await self._look()
            except StoreUnavailableError:
                continue

    async def _renew(self) -> None:
        held, caller = [(key, lease[0]) for key, lease in self._leases.items()], self._caller()
        if held:
            kept = await self._call("renew", lambda: self._database.renew(held, caller), may_double=True)
            for key, epoch in held:
                if (key, epoch) not in kept:
                    self._drop(key, epoch)

    async def _look(self) -> None:
        keys = self.watches.threads()
        if keys:
            for key, place, change in await self._call("look", lambda: self._database.look(keys)):
                self.watches.tell(key, place, change)

    def close(self) -> None:
        """Give back what is held."""
        for key, (epoch, _) in list(self._leases.items()):
            self.abandon(key, epoch)
        self._is_closed = True


def _named(key: ThreadKey) -> str:
    return key.thread.replace("\x1f", "/")
