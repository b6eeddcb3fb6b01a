"""Stores that each break one promise, under the contract. ``test_broken_stores`` runs them, and looks at what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from taf.checkpointer import InMemoryCheckpointer
from taf.checkpointer.base import ALL_THREADS, Commit, Listing, Record, Signal, ThreadKey, ThreadRow
from taf.errors import StoreUnavailableError
from taf.testing import CheckpointerContract
from taf.testing.store import owner

owner.HANG = 1.0  # what never comes need not be waited for


class Memory(CheckpointerContract):
    reopen = None
    kind: type[InMemoryCheckpointer] = InMemoryCheckpointer

    def make_store(self) -> InMemoryCheckpointer:
        return self.kind()


class NoFence(InMemoryCheckpointer):
    async def append(self, commit: Commit) -> Sequence[Signal]:
        thread = self._threads.get(commit.key)
        if thread is not None:
            thread.is_owned = True
            commit = commit._replace(epoch=thread.epoch)
        return await super().append(commit)


class NoHeadCheck(InMemoryCheckpointer):
    async def append(self, commit: Commit) -> Sequence[Signal]:
        thread = self._threads.get(commit.key)
        return await super().append(commit._replace(expected=thread.head if thread else 0))


class ForgetsPauses(InMemoryCheckpointer):
    async def append(self, commit: Commit) -> Sequence[Signal]:
        return await super().append(commit._replace(interrupts=()))


class HalfWritten(InMemoryCheckpointer):
    """Writes the first record by itself, and only then looks whether the others are text."""

    async def append(self, commit: Commit) -> Sequence[Signal]:
        first, *others = commit.records or [None]
        if first is not None and others:
            await super().append(commit._replace(records=[first], interrupts=(), snapshot=None, is_release=False))
            commit = commit._replace(records=others, expected=first.sequence)
            await asyncio.sleep(0)
        try:
            for text in (*[record.kind for record in others], *[row.node for row in commit.interrupts]):
                text.encode()
        except UnicodeEncodeError as error:
            raise StoreUnavailableError("write", error) from error
        return await super().append(commit)


class LosesSignals(InMemoryCheckpointer):
    """Keeps the last one only."""

    async def signal(self, key: ThreadKey, signal: Signal) -> bool:
        is_taken = await super().signal(key, signal)
        if is_taken:
            self._threads[key].signals = self._threads[key].signals[-1:]
        return is_taken


class UnorderedRead(InMemoryCheckpointer):
    async def read(self, key: ThreadKey, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        return [*await super().read(key, after, limit)][::-1]


class ClosesLate(InMemoryCheckpointer):
    def close(self) -> None:
        pass


class ListsAsInSchool(InMemoryCheckpointer):
    """Takes no notice of capitals."""

    async def threads(
        self, tenant: str = "", listing: Listing = ALL_THREADS, *, after: str = "", limit: int = 100
    ) -> Sequence[ThreadRow]:
        rows = [*await super().threads(tenant, listing, limit=1000)]
        rows.sort(key=lambda row: row.thread_id.casefold())
        names = [row.thread_id for row in rows]
        return rows[names.index(after) + 1 if after in names else 0 :][:limit]


class TestSound(Memory):
    pass


class TestNoFence(Memory):
    kind = NoFence


class TestNoHeadCheck(Memory):
    kind = NoHeadCheck


class TestForgetsPauses(Memory):
    kind = ForgetsPauses


class TestHalfWritten(Memory):
    kind = HalfWritten


class TestLosesSignals(Memory):
    kind = LosesSignals


class TestUnorderedRead(Memory):
    kind = UnorderedRead


class TestClosesLate(Memory):
    kind = ClosesLate


class TestListsAsInSchool(Memory):
    kind = ListsAsInSchool


class TestForgetsItsFile(CheckpointerContract):
    def make_store(self) -> InMemoryCheckpointer:
        return InMemoryCheckpointer()

    async def reopen_store(self) -> InMemoryCheckpointer:
        return InMemoryCheckpointer()
