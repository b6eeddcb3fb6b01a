"""The port of a store: what a checkpointer has to do, in nine methods and bytes.

A thread is its journal, an append-only list of records with sequences that never repeat. A store promises:

* ``append`` is one transaction: the fence is checked, the records, the interrupts and the snapshot are written and the
  signals acknowledged, or nothing is. It refuses a writer whose epoch is not the thread's, or who expects another head.
* ``acquire`` gives a thread to one owner at a time, under an epoch that is higher than all before it. A thread is
  free when its owner released it or is dead: gone, or silent for longer than its lease.
* What was acknowledged by a returned ``append`` is there after a crash, if the store keeps anything at all.
* Signals name the run that they are for, and wake whoever watches the thread, in this process or another one.

No exception of a driver leaves a store: ``StoreUnavailableError`` stands for what failed on the way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import ClassVar, NamedTuple, Self


class ThreadKey(NamedTuple):
    """Names a thread. The tenant comes from the caller's authentication, never from a payload."""

    tenant: str
    thread: str


class Record(NamedTuple):
    """One fact as stored. ``sequence`` is that of its last event; ``items`` holds the changes of its list fields.

    ``step`` is how many steps the pass had made with this fact.
    """

    sequence: int
    kind: str
    run_id: str
    at: float
    body: bytes
    items: bytes | None = None
    step: int = 0


class Snapshot(NamedTuple):
    """The fold up to ``sequence``: a cache. Lists that only grew are completed by the items since ``items_from``."""

    sequence: int
    items_from: int | None
    parts: tuple[bytes, ...]


class Signal(NamedTuple):
    """What somebody outside wants of a run. ``id`` is given by the store."""

    kind: str
    run_id: str
    body: bytes = b""
    id: int = 0


class InterruptRow(NamedTuple):
    """An interrupt record as stored; ``changed`` is when, in seconds since 1970."""

    id: str
    status: str
    node: str
    changed: float
    body: bytes


class Known(NamedTuple):
    """What a reader already has of a thread: everything up to ``head`` of the thread born as ``born``."""

    born: str
    head: int


class Stored(NamedTuple):
    """A thread as read: a snapshot, the list items that it leaves out, and the records since.

    When the reader knew the thread already there is no snapshot, and the tail begins where its knowledge ends.
    """

    born: str
    head: int
    status: str
    run_id: str
    is_owned: bool
    is_known: bool
    snapshot: Snapshot | None
    items: Sequence[tuple[int, bytes]]
    tail: Sequence[Record]


class Grant(NamedTuple):
    """Leave to write: the thread as it is, and the epoch that every write has to carry."""

    epoch: int
    stored: Stored


class Commit(NamedTuple):
    """All that one step writes."""

    key: ThreadKey
    epoch: int
    expected: int
    records: Sequence[Record]
    status: str
    run_id: str
    interrupts: Sequence[InterruptRow] = ()
    snapshot: Snapshot | None = None
    is_release: bool = False


class Change(NamedTuple):
    """What a watcher is told: where the thread is now, and what is signalled to its run."""

    head: int
    status: str
    run_id: str
    signals: Sequence[Signal]


class ThreadRow(NamedTuple):
    """One line of a listing."""

    thread_id: str
    status: str
    head: int
    run_id: str
    updated: float


Watcher = Callable[[Change], None]
"""Called from any OS thread, and quickly."""


class BaseCheckpointer(ABC):
    """Subclass this to keep threads elsewhere; the suite in ``taf.testing`` says whether it holds."""

    is_quick: ClassVar[bool] = False
    """True for a store that also has ``append_now``: who has nothing to wait for need not await it."""

    def __init_subclass__(cls) -> None:
        if "append" in vars(cls):  # who changes that one alone is not to be passed by
            cls.is_quick = "append_now" in vars(cls)

    @abstractmethod
    async def acquire(
        self, key: ThreadKey, *, lease_seconds: float, known: Known | None = None, create: bool = True
    ) -> Grant | None:
        """Become the thread's owner. Return None when there is no such thread and ``create`` is False.

        Raise ``ThreadBusyError`` while another live owner has it.
        """

    @abstractmethod
    async def append(self, commit: Commit) -> Sequence[Signal]:
        """Write one commit; return what is signalled to its run. Raise ``StaleOwnerError`` behind the fence.

        ``is_release`` gives the thread back in the same transaction and drops the run's signals. A release of a
        thread that has no records removes it.
        """

    def append_now(self, commit: Commit) -> Sequence[Signal]:
        """Do what ``append`` does, in a store that says by ``is_quick`` that it needs no I/O for it."""
        raise NotImplementedError

    @abstractmethod
    def abandon(self, key: ThreadKey, epoch: int) -> None:
        """Say, without I/O, that the owner is gone and could not release; the thread becomes free by itself."""

    @abstractmethod
    async def load(self, key: ThreadKey, known: Known | None = None) -> Stored | None:
        """Read a thread without owning it."""

    @abstractmethod
    async def read(self, key: ThreadKey, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        """Return records whose sequence is above ``after``, oldest first."""

    @abstractmethod
    async def signal(self, key: ThreadKey, signal: Signal) -> bool:
        """Leave a signal for the run that is active on a thread. Return False when that run is not active."""

    @abstractmethod
    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool = False) -> Callable[[], None]:
        """Tell ``watcher`` whenever the thread's head moves or a signal arrives, until the returned function is called.

        ``signals_only``: an owner knows where its thread is, and need not be told of moves.
        """

    @abstractmethod
    async def interrupts(
        self, key: ThreadKey | None = None, *, interrupt_id: str | None = None, status: str | None = None
    ) -> Sequence[InterruptRow]:
        """Return interrupts, newest first: of one thread or of all, of one id, or of one status."""

    @abstractmethod
    async def threads(
        self, tenant: str = "", *, status: str | None = None, after: str = "", limit: int = 100
    ) -> Sequence[ThreadRow]:
        """List threads by name, from behind the name ``after``."""

    @abstractmethod
    async def delete(self, key: ThreadKey) -> bool:
        """Remove a thread and all that belongs to it. Return False when there is none."""

    @abstractmethod
    def close(self) -> None:
        """Write what is waiting and let go of files, connections and threads. Closing twice is no fault."""

    async def aclose(self) -> None:
        """Do what ``close`` does, without blocking the event loop for long."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
