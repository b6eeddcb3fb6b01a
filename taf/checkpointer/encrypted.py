"""Encrypts what any store keeps. What the store works with stays in clear: names, statuses, sequences and times."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

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
    Row,
    Signal,
    Snapshot,
    Stored,
    ThreadKey,
    ThreadRow,
    Watcher,
)
from taf.checkpointer.keys import Keys
from taf.checkpointer.sealing import InterruptSeal, Links, SignalSeal, ThreadSeal
from taf.errors import StaleOwnerError, StoreCorruptError

REMEMBERED = 1024
"""Of how many threads it is remembered how they were born and where they ended."""

ATTEMPTS = 3
"""How often rows are read again that seem to belong to a thread that was made anew meanwhile."""

R = TypeVar("R")


class _Owned:
    """A thread that is owned through this wrapper, and what stands before its next record."""

    __slots__ = ("links", "seal")

    def __init__(self, seal: ThreadSeal, links: Links) -> None:
        self.seal, self.links = seal, links


class EncryptedCheckpointer(BaseCheckpointer):
    """Any store, with AES-256-GCM over all that the graph puts into it.

    Reading raises ``StoreCorruptError`` for rows that are in clear, that were changed, or that stood elsewhere. Closing
    it closes the store. Raise ``ConfigError`` when the package ``cryptography`` is missing.
    """

    def __init__(self, store: BaseCheckpointer, keys: Keys) -> None:
        self.store = store
        # Whoever overrides append alone is not to be passed by, here as below.
        self.is_quick = type(self).is_quick and store.is_quick
        self._keys = keys
        self._interrupts = InterruptSeal(keys)
        self._lock = threading.Lock()
        self._owned: dict[tuple[ThreadKey, int], _Owned] = {}
        self._seen: OrderedDict[ThreadKey, tuple[ThreadSeal, Links | None]] = OrderedDict()

    # -- owning ------------------------------------------------------------------------------------

    async def acquire(
        self, key: ThreadKey, *, lease_seconds: float, known: Known | None = None, create: bool = True
    ) -> Grant | None:
        """See ``BaseCheckpointer.acquire``."""
        grant = await self.store.acquire(key, lease_seconds=lease_seconds, known=known, create=create)
        if grant is None:
            return None
        try:
            seal = self._seal(key, grant.stored.born)
            stored, links = seal.open(grant.stored, known)
            links = links or await self._links(seal, stored.head)
            mail = self._opened(key, grant.mail)
        except BaseException:
            await self._give_back(key, grant)
            raise
        self._owned[key, grant.epoch] = _Owned(seal, links)
        return Grant(grant.epoch, stored, mail)

    async def _give_back(self, key: ThreadKey, grant: Grant) -> None:
        head, status, run_id = grant.stored[1:4]
        try:
            await self.store.append(Commit(key, grant.epoch, head, (), status, run_id, is_release=True))
        except BaseException:
            self.store.abandon(key, grant.epoch)
            raise

    async def append(self, commit: Commit) -> Sequence[Signal]:
        """See ``BaseCheckpointer.append``. Raise ``StoreCorruptError``, though it is written, for a forged signal."""
        owned, sealed, links = self._sealed(commit)
        return self._written(commit, owned, links, await self.store.append(sealed))

    def append_now(self, key: ThreadKey, epoch: int, expected: int, row: Row) -> Sequence[Signal] | None:
        """See ``BaseCheckpointer.append_now``."""
        record = Record._make(row)
        commit = Commit(key, epoch, expected, (record,), "", record.run_id)
        owned, sealed, links = self._sealed(commit)
        found = self.store.append_now(key, epoch, expected, sealed.records[0][:])
        return None if found is None else self._written(commit, owned, links, found)

    def _sealed(self, commit: Commit) -> tuple[_Owned, Commit, Links]:
        owned = self._owned.get((commit.key, commit.epoch))
        # After a write of which the outcome was never learned, this does not know what the next one follows.
        if owned is None or commit.expected != owned.links.record:
            raise StaleOwnerError(commit.key.thread, commit.epoch)
        return owned, *owned.seal.seal(commit, owned.links, self._interrupts)

    def _written(self, commit: Commit, owned: _Owned, links: Links, signals: Sequence[Signal]) -> Sequence[Signal]:
        owned.links = links
        if commit.is_release:
            self._owned.pop((commit.key, commit.epoch), None)
            self._remember(owned.seal, links)
        if not signals:
            return signals
        seal = SignalSeal(self._keys, commit.key)
        return tuple([seal.open(signal) for signal in signals])

    def abandon(self, key: ThreadKey, epoch: int) -> None:
        """See ``BaseCheckpointer.abandon``."""
        self._owned.pop((key, epoch), None)
        self.store.abandon(key, epoch)

    # -- reading -----------------------------------------------------------------------------------

    async def load(self, key: ThreadKey, known: Known | None = None) -> Stored | None:
        """See ``BaseCheckpointer.load``."""
        stored = await self.store.load(key, known)
        return None if stored is None else self._seal(key, stored.born).open(stored, known)[0]

    async def read(self, key: ThreadKey, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        """See ``BaseCheckpointer.read``."""

        async def rows() -> Sequence[Record]:
            return await self.store.read(key, after, limit)

        return await self._of_one_life(key, rows, lambda seal, found: seal.open_records(found, None)[0])

    async def interrupts(
        self, key: ThreadKey | None = None, *, interrupt_id: str | None = None, status: str | None = None
    ) -> Sequence[InterruptRow]:
        """See ``BaseCheckpointer.interrupts``."""

        async def rows() -> Sequence[InterruptRow]:
            return await self.store.interrupts(key, interrupt_id=interrupt_id, status=status)

        def opened(seal: ThreadSeal | None, found: Sequence[InterruptRow]) -> Sequence[InterruptRow]:
            return [self._interrupts.open(row, seal) for row in found]

        return opened(None, await rows()) if key is None else await self._of_one_life(key, rows, opened)

    async def threads(
        self, tenant: str = "", listing: Listing = ALL_THREADS, *, after: str = "", limit: int = 100
    ) -> Sequence[ThreadRow]:
        """See ``BaseCheckpointer.threads``."""
        return await self.store.threads(tenant, listing, after=after, limit=limit)

    async def base(self, key: ThreadKey) -> Snapshot | None:
        """See ``BaseCheckpointer.base``."""

        async def rows() -> Sequence[Snapshot]:
            found = await self.store.base(key)
            return () if found is None else (found,)

        found = await self._of_one_life(key, rows, lambda seal, rows: [seal.open_snapshot(row)[0] for row in rows])
        return found[0] if found else None

    # -- signals -----------------------------------------------------------------------------------

    async def signal(self, key: ThreadKey, signal: Signal) -> bool:
        """See ``BaseCheckpointer.signal``."""
        return await self.store.signal(key, SignalSeal(self._keys, key).seal(signal))

    async def post(self, key: ThreadKey, message: Posted, signal: Signal | None = None) -> int | None:
        """See ``BaseCheckpointer.post``."""
        seal = SignalSeal(self._keys, key)
        return await self.store.post(key, seal.seal_message(message), signal and seal.seal(signal))

    async def mail(self, key: ThreadKey) -> Mail:
        """See ``BaseCheckpointer.mail``."""
        return self._opened(key, await self.store.mail(key))

    def _opened(self, key: ThreadKey, mail: Mail) -> Mail:
        if not mail.messages:
            return mail
        seal = SignalSeal(self._keys, key)
        return mail._replace(messages=tuple(seal.open_message(one) for one in mail.messages))

    async def amend(self, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        """See ``BaseCheckpointer.amend``."""
        if body is not None:
            message = next((one for one in (await self.store.mail(key)).messages if one.id == message_id), None)
            if message is None:
                return False
            body = SignalSeal(self._keys, key).seal_body(message, body)
        return await self.store.amend(key, message_id, body)

    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool = False) -> Callable[[], None]:
        """See ``BaseCheckpointer.watch``. A forged signal is not passed on: the owner's next write raises for it."""
        seal = SignalSeal(self._keys, key)

        def told(change: Change) -> None:
            signals = [signal for one in change.signals for signal in _legible(seal, one)]
            if signals or not (signals_only and change.signals):
                watcher(change._replace(signals=tuple(signals)))

        return self.store.watch(key, told, signals_only=signals_only)

    # -- ending ------------------------------------------------------------------------------------

    async def prune(self, cut: Cut) -> bool:
        """See ``BaseCheckpointer.prune``."""
        seal = self._seal(cut.key, cut.born)
        try:
            base = await self._resealed(seal, cut.base)
            snapshot = cut.snapshot and await self._resealed(seal, cut.snapshot)
        except StoreCorruptError:
            stored = await self.store.load(cut.key)
            if stored is None or (stored.born, stored.head) != (cut.born, cut.expected):
                return False
            if stored.floor >= cut.base.sequence:  # pruned meanwhile, and further
                return False
            raise
        return await self.store.prune(cut._replace(base=base, snapshot=snapshot))

    async def _resealed(self, seal: ThreadSeal, snapshot: Snapshot) -> Snapshot:
        return seal.seal_snapshot(snapshot, await self._links(seal, snapshot.sequence))

    async def delete(self, key: ThreadKey, *, expected: int | None = None) -> bool:
        """See ``BaseCheckpointer.delete``."""
        return await self.store.delete(key, expected=expected)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    async def aclose(self) -> None:
        """Close the store."""
        await self.store.aclose()

    # -- lives of threads --------------------------------------------------------------------------

    def _seal(self, key: ThreadKey, born: str) -> ThreadSeal:
        """Return what seals and opens the rows of a thread that was born so."""
        seen = self._seen.get(key)
        if seen is not None and seen[0].born == born:
            return seen[0]
        seal = ThreadSeal(self._keys, key, born)
        self._remember(seal, None)
        return seal

    def _remember(self, seal: ThreadSeal, links: Links | None) -> None:
        with self._lock:
            self._seen[seal.key] = seal, links
            self._seen.move_to_end(seal.key)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)

    async def _links(self, seal: ThreadSeal, sequence: int) -> Links:
        """Return what stands before the record that follows a record."""
        seen, links = self._seen.get(seal.key, (seal, None))
        if seen is not seal or links is None or links.record != sequence:
            _, links = seal.open_records(await self.store.read(seal.key, sequence - 1, 1), None)
        if links is None or links.record != sequence:
            raise StoreCorruptError(seal.key.thread, sequence, "it is missing")
        return links

    async def _of_one_life(
        self,
        key: ThreadKey,
        rows: Callable[[], Awaitable[Sequence[R]]],
        opened: Callable[[ThreadSeal, Sequence[R]], Sequence[R]],
    ) -> Sequence[R]:
        """Read rows that do not say of which life of a thread they are.

        That is the one known here, unless the thread was deleted and made anew: so look once more before refusing.
        """
        seen = self._seen.get(key)
        seal = seen and seen[0]
        for _ in range(ATTEMPTS):
            found = await rows()
            if not found:
                break
            refusal = None
            try:
                if seal is not None:
                    return opened(seal, found)
            except StoreCorruptError as error:
                refusal = error
            stored = await self.store.load(key)
            if refusal is not None and stored is not None and seal is not None and stored.born == seal.born:
                raise refusal
            seal = None if stored is None else self._seal(key, stored.born)
        else:
            raise StoreCorruptError(key.thread, None, "its rows belong to no thread that is there")
        return ()


def _legible(seal: SignalSeal, signal: Signal) -> Sequence[Signal]:
    try:
        return (seal.open(signal),)
    except StoreCorruptError:
        return ()
