"""What the contract's tests are written with: records that tell who they are, an owner, and loops in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from taf.checkpointer.base import (
    BaseCheckpointer,
    Commit,
    Grant,
    InterruptRow,
    Known,
    Record,
    Signal,
    Stored,
    ThreadKey,
)
from taf.errors import ThreadBusyError

KEY = ThreadKey("", "thread")
OTHER = ThreadKey("", "other thread")
RUN = "run-1"
LEASE = 15.0
HANG = 20.0
"""Bounds what would otherwise hang, in seconds; nothing is measured by it."""


def make_record(sequence: int, **facts: Any) -> Record:
    """Return a record that tells its sequence."""
    known: dict[str, Any] = {"kind": "step", "run_id": RUN, "at": 1000.0 + sequence, "step": sequence}
    known["body"] = b"body %d" % sequence
    return Record(sequence=sequence, **known | facts)


def make_interrupt(name: str, status: str = "open", **facts: Any) -> InterruptRow:
    """Return an interrupt that tells its name."""
    known: dict[str, Any] = {"node": "ask", "changed": 5.0, "body": f"question {name}".encode(errors="replace")}
    return InterruptRow(id=name, status=status, **known | facts)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something has come true."""
    async with asyncio.timeout(HANG):
        while not condition():
            await asyncio.sleep(0.001)


class Owner:
    """One who has acquired a thread."""

    def __init__(self, store: BaseCheckpointer, key: ThreadKey, grant: Grant) -> None:
        self.store, self.key, self.grant, self.epoch = store, key, grant, grant.epoch
        self.stored, self.head = grant.stored, grant.stored.head

    @classmethod
    async def of(cls, store: BaseCheckpointer, key: ThreadKey = KEY, **options: Any) -> Self:
        """Acquire a thread."""
        given: dict[str, Any] = {"lease_seconds": LEASE, **options}
        grant = await store.acquire(key, **given)
        assert grant is not None
        return cls(store, key, grant)

    def commit(self, records: Sequence[Record] = (), **facts: Any) -> Commit:
        """Return a commit that fits where the owner stands."""
        known: dict[str, Any] = {"expected": self.head, "status": "running", "run_id": RUN}
        return Commit(self.key, self.epoch, records=records, **known | facts)

    async def append(self, *records: Record, **facts: Any) -> Sequence[Signal]:
        """Write a commit."""
        signals = await self.store.append(self.commit(records, **facts))
        self.head = records[-1].sequence if records else self.head
        return signals

    async def step(self, **facts: Any) -> Sequence[Signal]:
        """Append the next record."""
        return await self.append(make_record(self.head + 1), **facts)

    async def release(self, **facts: Any) -> Sequence[Signal]:
        """Give the thread back."""
        return await self.append(**{"status": "completed"} | facts, is_release=True)


async def fill(store: BaseCheckpointer, count: int, key: ThreadKey = KEY) -> None:
    """Leave a thread with so many records."""
    owner = await Owner.of(store, key)
    await owner.append(*[make_record(number) for number in range(1, count + 1)])
    await owner.release()


async def load(store: BaseCheckpointer, key: ThreadKey = KEY, known: Known | None = None) -> Stored:
    """Read a thread that is there."""
    stored = await store.load(key, known)
    assert stored is not None
    return stored


async def until_acquired(store: BaseCheckpointer, key: ThreadKey = KEY) -> Owner:
    """Acquire a thread as soon as it is free."""
    async with asyncio.timeout(HANG):
        while True:
            try:
                return await Owner.of(store, key)
            except ThreadBusyError:
                await asyncio.sleep(0.01)


class Loops:
    """Event loops in OS threads of their own."""

    def __init__(self, count: int) -> None:
        self._loops = [asyncio.new_event_loop() for _ in range(count)]
        self._threads = [threading.Thread(target=_serve, args=(loop,)) for loop in self._loops]
        for thread in self._threads:
            thread.start()

    async def run(self, *work: Callable[[], Awaitable[Any]]) -> list[Any]:
        """Start pieces of work, spread over the loops; return results and errors, as they are."""

        async def call(function: Callable[[], Awaitable[Any]]) -> Any:
            return await function()

        futures = [
            asyncio.run_coroutine_threadsafe(call(one), self._loops[number % len(self._loops)])
            for number, one in enumerate(work)
        ]
        async with asyncio.timeout(HANG):
            return await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)

    def end(self) -> None:
        """End the loops and their threads."""
        for loop, thread in zip(self._loops, self._threads, strict=True):
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@contextmanager
def loops(count: int) -> Generator[Loops]:
    """Run loops for as long as the block lasts."""
    running = Loops(count)
    try:
        yield running
    finally:
        running.end()
