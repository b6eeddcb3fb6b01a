"""The port of a store: what a checkpointer has to do, in some methods and bytes.

A thread is its journal, an append-only list of records with sequences that never repeat. A store promises:

* ``append`` is one transaction: the fence is checked, the records, the interrupts and the snapshot are written and the
  signals acknowledged, or nothing is. It refuses a writer whose epoch is not the thread's, or who expects another head.
* ``acquire`` gives a thread to one owner at a time, under an epoch that is higher than all before it. A thread is
  free when its owner released it or is dead: gone, or silent for longer than its lease.
* What was acknowledged by a returned ``append`` is there after a crash, if the store keeps anything at all.
* Signals name the run that they are for, and wake whoever watches the thread, in this process or another one. One that
  names no run is for whoever owns the thread now.
* Messages that wait for their turn (``post``) stay until a commit takes them or somebody takes them back, whoever owns
  the thread meanwhile. One is accepted only while somebody who lives owns the thread: so a poster either becomes the
  owner, or has left word with one.
* ``prune`` puts a base in the place of old records, and never touches a thread that is owned or has moved on. What
  a reader knew before is worth nothing then: the floor is part of what it says that it knows.

No exception of a driver leaves a store: ``StoreUnavailableError`` stands for what failed on the way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from taf.errors import ConfigError
from taf.tuples import NamedTuple


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


Row: TypeAlias = tuple[int, str, str, float, bytes, bytes | None, int]
"""A record as a plain tuple: it is quickly made, and soon the garbage collector stops looking at it."""


class Snapshot(NamedTuple):
    """The fold up to ``sequence``: a cache. Lists that only grew are completed by the items since ``items_from``."""

    sequence: int
    items_from: int | None
    parts: tuple[bytes, ...]


class Signal(NamedTuple):
    """What somebody outside wants of a run, or of whoever owns the thread (``run_id`` ""). ``id``: from the store."""

    kind: str
    run_id: str
    body: bytes = b""
    id: int = 0


class Posted(NamedTuple):
    """A message that waits for its turn. ``run_id`` is that of the run that it will begin; ``id``: from the store.

    The ids of a thread's messages grow in the order of their coming. ``at``: when, in seconds since 1970.
    """

    kind: str
    run_id: str
    at: float
    body: bytes
    id: int = 0


class Mail(NamedTuple):
    """All messages that wait on a thread, oldest first. ``amendments`` counts how often one was changed or removed."""

    messages: Sequence[Posted] = ()
    amendments: int = 0


NO_MAIL = Mail()


class Taken(NamedTuple):
    """The ids of the messages that a commit takes, and the mail's amendments when they were read.

    ``amendments`` is None for messages of a kind that nobody amends.
    """

    ids: Sequence[int]
    amendments: int | None = None


class InterruptRow(NamedTuple):
    """An interrupt record as stored; ``changed`` is when, in seconds since 1970."""

    id: str
    status: str
    node: str
    changed: float
    body: bytes


class Known(NamedTuple):
    """What a reader already has of a thread: everything up to ``head`` of the thread born as ``born``.

    It counts only while the thread's ``floor`` is the one that it was read with.
    """

    born: str
    head: int
    floor: int = 0

    def holds(self, born: str, floor: int, head: int) -> bool:
        """Say whether this is knowledge of the thread as it is."""
        return self.born == born and self.floor == floor and self.head <= head


class Stored(NamedTuple):
    """A thread as read: a snapshot, the list items that it leaves out, and the records since.

    When the reader knew the thread already there is no snapshot, and the tail begins where its knowledge ends.
    ``snapshot`` is the newest one, or the base when there is none since. ``floor`` is the sequence of the base, or 0.
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
    floor: int = 0


class Grant(NamedTuple):
    """Leave to write: the thread as it is, the epoch that every write has to carry, and the messages that wait.

    ``has_begun``: a first commit was written with it. See ``Begins``.
    """

    epoch: int
    stored: Stored
    mail: Mail = NO_MAIL
    has_begun: bool = False


class Commit(NamedTuple):
    """All that one step writes. ``graph`` names the graph that writes; an empty one leaves the thread's as it is.

    ``taken``: messages that are gone with it. When they were amended meanwhile, the commit is refused.
    """

    key: ThreadKey
    epoch: int
    expected: int
    records: Sequence[Record]
    status: str
    run_id: str
    interrupts: Sequence[InterruptRow] = ()
    snapshot: Snapshot | None = None
    is_release: bool = False
    graph: str = ""
    taken: Taken | None = None


class Cut(NamedTuple):
    """What takes the place of a thread's old records.

    ``base`` is the fold up to its sequence and refers to no items (``items_from`` is None). The record of that
    sequence stays, those below it go. ``snapshot``, at or above the base, replaces the newest one, which goes in any
    case, as it may refer to items that go. ``interrupts`` are the ids of the interrupts that go.
    """

    key: ThreadKey
    born: str
    expected: int
    base: Snapshot
    snapshot: Snapshot | None = None
    interrupts: Sequence[str] = ()


class Change(NamedTuple):
    """What a watcher is told: where the thread is now, and what is signalled to its run."""

    head: int
    status: str
    run_id: str
    signals: Sequence[Signal]


class ThreadRow(NamedTuple):
    """One line of a listing. ``cursor``, given as ``after``, continues the same listing behind this line.

    ``updated`` is when the thread was last written to, in seconds since 1970. ``is_owned``: by an owner who lives, as
    far as that can be told without waiting.
    """

    thread_id: str
    status: str
    head: int
    run_id: str
    updated: float
    graph: str = ""
    is_owned: bool = False
    cursor: str = ""


class Listing(NamedTuple):
    """Which threads a listing shows, and in which order.

    ``status``: any of these (empty: all). ``graph``: of this name (None: any; "" is that of a graph without one).
    ``since`` ≤ ``updated`` < ``before``, in seconds since 1970. ``is_newest_first``: ordered by ``(updated, thread)``
    from the last to the first, otherwise by the code points of their names. ``has_mail``: only those where messages
    wait.
    """

    status: Sequence[str] = ()
    graph: str | None = None
    since: float | None = None
    before: float | None = None
    is_newest_first: bool = False
    has_mail: bool = False


ALL_THREADS = Listing()


def cursor_of(listing: Listing, thread_id: str, updated: float) -> str:
    """Return what names a line of a listing: its name, where that is the order."""
    return f"{updated!r} {thread_id}" if listing.is_newest_first else thread_id


def place_of(cursor: str) -> tuple[float, str]:
    """Return when the thread of a newest-first listing's cursor was updated, and its name. Raise ``ConfigError``."""
    updated, space, name = cursor.partition(" ")
    try:
        if space:
            return float(updated), name
    except ValueError:
        pass
    raise ConfigError(f"after={cursor!r} is no cursor of a listing that begins with the newest thread.")


Watcher = Callable[[Change], None]
"""Called from any OS thread, and quickly."""


class BaseCheckpointer(ABC):
    """Subclass this to keep threads elsewhere; the suite in ``taf.testing`` says whether it holds."""

    is_quick: bool = False
    """True for a store that also has ``append_now``: who may have nothing to wait for need not await it."""

    wants_short_rows: bool = False
    """True for a store that rows are compressed for. Not where that would take longer, or tell what is encrypted."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
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

        ``is_release`` gives the thread back in the same transaction and drops all signals. A release of a thread that
        has neither records nor mail removes it.
        """

    def append_now(self, key: ThreadKey, epoch: int, expected: int, row: Row) -> Sequence[Signal] | None:
        """Do what ``append`` does for one record, in a store that says by ``is_quick`` that it often can at once.

        The record is of the run that wrote last; its status stays as it is, and so does all else of the thread. None,
        with nothing done: it has to be waited for.
        """
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
    async def post(self, key: ThreadKey, message: Posted, signal: Signal | None = None) -> int | None:
        """Leave a message, and in the same transaction a signal. Return its id, or None when nobody owns the thread.

        A message of a run that has one there already is not left again: its id is returned, owner or not.
        """

    @abstractmethod
    async def mail(self, key: ThreadKey) -> Mail:
        """Return the messages that wait on a thread."""

    @abstractmethod
    async def amend(self, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        """Change a message that waits, or (None) remove it. Return False when it does not wait any more."""

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
        self, tenant: str = "", listing: Listing = ALL_THREADS, *, after: str = "", limit: int = 100
    ) -> Sequence[ThreadRow]:
        """List threads that have records, from behind the line whose cursor is ``after``. See ``Listing``.

        A thread that nobody writes to meanwhile is shown exactly once by whoever pages on. Listed by name, every
        thread is that is there all the time; newest first, one that is written to moves to the front.
        """

    @abstractmethod
    async def base(self, key: ThreadKey) -> Snapshot | None:
        """Return what stands in the place of the thread's pruned records, or None when it has all of them."""

    @abstractmethod
    async def prune(self, cut: Cut) -> bool:
        """Put a base in the place of old records, in one transaction. The thread need not be, and is not, acquired.

        Return False, with nothing changed, when the thread is gone or owned by somebody who lives, when its birth or
        its head is not as expected, or when it has a base at that place or a later one.
        The head, the status and the time of the last change stay as they are.
        """

    @abstractmethod
    async def delete(self, key: ThreadKey, *, expected: int | None = None) -> bool:
        """Remove a thread and all that belongs to it. Return False when there is none, or it had no records.

        With ``expected``, also when its head is another. Raise ``ThreadBusyError`` while a live owner has it.
        """

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
