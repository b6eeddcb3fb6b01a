"""What every store has to keep, as tests to inherit. They know bytes only, no graph.

Derive a class whose name begins with ``Test`` and make your store, empty, in ``make_store``:

    class TestMyStore(StoreContract):
        def make_store(self, tmp_path: Path) -> MyStore: ...
"""

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from taf.checkpointer.base import (
    BaseCheckpointer,
    Change,
    Commit,
    InterruptRow,
    Known,
    Record,
    Signal,
    Snapshot,
    Stored,
    ThreadKey,
)
from taf.errors import CheckpointerClosedError, StaleOwnerError, ThreadBusyError

KEY = ThreadKey("", "thread")
OTHER = ThreadKey("", "other thread")
RUN = "run-1"
LEASE = 15.0
HANG = 20.0
"""Bounds what would otherwise hang; nothing is measured by it."""


def make_record(sequence: int, **facts: Any) -> Record:
    """A record that tells its sequence."""
    known: dict[str, Any] = {"kind": "step", "run_id": RUN, "at": 1000.0 + sequence, "step": sequence}
    return Record(sequence=sequence, **known | {"body": b"body %d" % sequence} | facts)


def make_interrupt(name: str, status: str = "open", **facts: Any) -> InterruptRow:
    known: dict[str, Any] = {"node": "ask", "changed": 5.0, "body": f"question {name}".encode()}
    return InterruptRow(id=name, status=status, **known | facts)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something has come true."""
    async with asyncio.timeout(HANG):
        while not condition():
            await asyncio.sleep(0.001)


class Owner:
    """One who has acquired a thread."""

    def __init__(self, store: BaseCheckpointer, key: ThreadKey, epoch: int, stored: Stored) -> None:
        self.store, self.key, self.epoch, self.stored, self.head = store, key, epoch, stored, stored.head

    @classmethod
    async def of(cls, store: BaseCheckpointer, key: ThreadKey = KEY, **options: Any) -> Self:
        grant = await store.acquire(key, **{"lease_seconds": LEASE, **options})
        assert grant is not None
        return cls(store, key, grant.epoch, grant.stored)

    def commit(self, records: Sequence[Record] = (), **facts: Any) -> Commit:
        known: dict[str, Any] = {"expected": self.head, "status": "running", "run_id": RUN}
        return Commit(self.key, self.epoch, records=records, **known | facts)

    async def append(self, *records: Record, **facts: Any) -> Sequence[Signal]:
        signals = await self.store.append(self.commit(records, **facts))
        self.head = records[-1].sequence if records else self.head
        return signals

    async def step(self, **facts: Any) -> Sequence[Signal]:
        """Append the next record."""
        return await self.append(make_record(self.head + 1), **facts)

    async def release(self, **facts: Any) -> Sequence[Signal]:
        return await self.append(**{"status": "completed"} | facts, is_release=True)


async def fill(store: BaseCheckpointer, count: int, key: ThreadKey = KEY) -> None:
    """Leave a thread with so many records."""
    owner = await Owner.of(store, key)
    await owner.append(*[make_record(number) for number in range(1, count + 1)])
    await owner.release()


async def load(store: BaseCheckpointer, key: ThreadKey = KEY, known: Known | None = None) -> Stored:
    stored = await store.load(key, known)
    assert stored is not None
    return stored


async def until_acquired(store: BaseCheckpointer) -> Owner:
    """Acquire a thread as soon as it is free."""
    async with asyncio.timeout(HANG):
        while True:
            try:
                return await Owner.of(store)
            except ThreadBusyError:
                await asyncio.sleep(0.01)


class Loops:
    """Event loops in OS threads of their own."""

    def __init__(self, count: int) -> None:
        self._loops = [asyncio.new_event_loop() for _ in range(count)]
        self._threads = [threading.Thread(target=loop.run_forever) for loop in self._loops]
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
        for loop, thread in zip(self._loops, self._threads, strict=True):
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


@contextmanager
def loops(count: int) -> Iterator[Loops]:
    running = Loops(count)
    try:
        yield running
    finally:
        running.end()


class StoreContract(ABC):
    """The promises of ``BaseCheckpointer``."""

    @abstractmethod
    def make_store(self, tmp_path: Path) -> BaseCheckpointer:
        """Make an empty store."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[BaseCheckpointer]:
        async with self.make_store(tmp_path) as store:
            yield store

    # -- the journal -------------------------------------------------------------------------------

    async def test_a_new_thread_is_granted_empty(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)

        assert owner.stored.born
        assert owner.stored[1:7] == (0, "idle", "", False, False, None)
        assert (list(owner.stored.items), list(owner.stored.tail)) == ([], [])
        assert await store.load(KEY) is None

    async def test_what_was_appended_is_read_back(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        first, second = make_record(3), make_record(4, items=b"items", run_id="run-2")
        await owner.append(first, second, status="interrupted", run_id="run-2")

        stored = await load(store)

        assert (stored.born, stored.head, stored.status, stored.run_id) == (
            owner.stored.born,
            4,
            "interrupted",
            "run-2",
        )
        assert (stored.is_owned, stored.is_known, stored.snapshot) == (True, False, None)
        assert list(stored.tail) == [first, second]
        assert list(await store.read(KEY)) == [first, second]

    async def test_an_owner_is_granted_what_is_stored(self, store: BaseCheckpointer) -> None:
        await fill(store, 3)

        owner = await Owner.of(store)

        assert (owner.head, owner.stored.status, owner.stored.is_owned) == (3, "completed", False)
        assert list(owner.stored.tail) == [make_record(1), make_record(2), make_record(3)]

    async def test_records_are_read_page_by_page(self, store: BaseCheckpointer) -> None:
        await fill(store, 5)

        assert [record.sequence for record in await store.read(KEY, limit=2)] == [1, 2]
        assert [record.sequence for record in await store.read(KEY, after=2, limit=2)] == [3, 4]
        assert [record.sequence for record in await store.read(KEY, after=4)] == [5]
        assert not await store.read(KEY, after=5)
        assert not await store.read(OTHER)

    async def test_a_commit_may_only_change_the_status(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        await owner.append(status="stopped")

        stored = await load(store)

        assert (stored.status, stored.head, len(stored.tail)) == ("stopped", 1, 1)

    @pytest.mark.parametrize(("head", "expected"), [(0, [1, 2, 3]), (2, [3]), (3, [])])
    async def test_a_reader_gets_what_it_does_not_know(
        self, store: BaseCheckpointer, head: int, expected: list[int]
    ) -> None:
        await fill(store, 3)
        known = Known((await load(store)).born, head)

        for stored in (await load(store, known=known), (await Owner.of(store, known=known)).stored):
            assert stored.is_known
            assert [record.sequence for record in stored.tail] == expected

    async def test_a_reader_that_knows_another_thread_or_more_gets_all(self, store: BaseCheckpointer) -> None:
        await fill(store, 3)
        born = (await load(store)).born

        for known in (Known("elsewhere", 2), Known(born, 4)):
            stored = await load(store, known=known)
            assert not stored.is_known
            assert len(stored.tail) == 3

    async def test_bytes_and_text_come_back_as_they_went_in(self, store: BaseCheckpointer) -> None:
        body = bytes(range(256)) + b"\xff\xfe\x00\xed\xa0\x80"
        key = ThreadKey("ten\x00ant'; --", 'thread "\U0001f600" \x00 %')
        owner = await Owner.of(store, key)
        record = make_record(1, kind="kind \x00 é", body=body, items=b"", run_id="\U0001f600")
        snapshot = Snapshot(1, 1, (b"", body, b"\x00"))
        await owner.append(record, snapshot=snapshot, interrupts=[make_interrupt("\x00i", body=body)], run_id="r\x00")

        stored = await load(store, key)

        assert (stored.snapshot, list(stored.items), stored.run_id) == (snapshot, [(1, b"")], "r\x00")
        assert list(await store.read(key)) == [record]
        assert [row.body for row in await store.interrupts(key)] == [body]
        assert [row.thread_id for row in await store.threads(key.tenant)] == [key.thread]

    async def test_a_large_record_is_kept_whole(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        body = bytes(range(256)) * 4096 * 4
        await owner.append(make_record(1, body=body, items=body[1:]))

        (found,) = await store.read(KEY)

        assert (found.body == body, found.items == body[1:]) == (True, True)

    # -- snapshots ---------------------------------------------------------------------------------

    async def test_a_snapshot_stands_for_what_was_before_it(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.append(
            *[make_record(number, items=b"i%d" % number if number % 2 else None) for number in range(1, 6)]
        )
        snapshot = Snapshot(6, 3, (b"head", b"part"))
        await owner.append(make_record(6), snapshot=snapshot)
        await owner.append(make_record(7, items=b"i7"))
        await owner.release()

        for stored in (await load(store), (await Owner.of(store)).stored):
            assert stored.snapshot == snapshot
            assert list(stored.items) == [(3, b"i3"), (5, b"i5")]
            assert [record.sequence for record in stored.tail] == [7]

        known = Known(stored.born, 6)
        assert (await load(store, known=known))[5:7] == (True, None)
        assert len(await store.read(KEY)) == 7

    async def test_only_the_newest_snapshot_counts(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step(snapshot=Snapshot(1, 1, (b"a", b"b", b"c")))
        await owner.step(snapshot=Snapshot(2, None, (b"d",)))

        stored = await load(store)

        assert (stored.snapshot, list(stored.items), list(stored.tail)) == (Snapshot(2, None, (b"d",)), [], [])

    # -- owning ------------------------------------------------------------------------------------

    async def test_an_owned_thread_is_busy_until_it_is_released(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()

        with pytest.raises(ThreadBusyError) as caught:
            await Owner.of(store)
        assert (caught.value.thread_id, caught.value.run_id) == (KEY.thread, RUN)
        assert (await load(store)).is_owned
        await Owner.of(store, OTHER)

        await owner.release()
        assert not (await load(store)).is_owned
        assert (await Owner.of(store)).epoch > owner.epoch

    async def test_no_thread_is_made_unless_it_is_wanted(self, store: BaseCheckpointer) -> None:
        assert await store.acquire(KEY, lease_seconds=LEASE, create=False) is None
        await fill(store, 1)
        assert await store.acquire(KEY, lease_seconds=LEASE, create=False) is not None

    async def test_a_thread_released_without_records_is_gone(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.release()

        assert await store.load(KEY) is None
        assert not await store.threads()
        assert await store.acquire(KEY, lease_seconds=LEASE, create=False) is None
        again = await Owner.of(store)
        assert again.stored.born != owner.stored.born
        assert again.epoch > owner.epoch
        with pytest.raises(StaleOwnerError):
            await owner.step()

    async def test_an_abandoned_thread_is_free(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        store.abandon(KEY, owner.epoch - 1)
        store.abandon(OTHER, owner.epoch)
        await owner.step()

        store.abandon(KEY, owner.epoch)
        store.abandon(KEY, owner.epoch)

        with pytest.raises(StaleOwnerError):
            await owner.step()
        heir = await Owner.of(store)
        assert (heir.head, heir.stored.status, heir.epoch > owner.epoch) == (2, "running", True)
        store.abandon(KEY, owner.epoch)
        await heir.step()

    @pytest.mark.parametrize("fault", ["epoch", "head", "released", "other thread"])
    async def test_nothing_is_written_behind_the_fence(self, store: BaseCheckpointer, fault: str) -> None:
        owner = await Owner.of(store)
        await owner.step(snapshot=Snapshot(1, None, (b"one",)), interrupts=[make_interrupt("a")])
        stale = await Owner.of(store, OTHER) if fault == "other thread" else owner
        commit = stale.commit(
            [make_record(2)],
            expected=1,
            status="stopped",
            snapshot=Snapshot(2, None, (b"two",)),
            interrupts=[make_interrupt("a", "answered"), make_interrupt("b")],
            is_release=True,
        )
        if fault == "epoch":
            await owner.release()
            await Owner.of(store)
        if fault == "released":
            await owner.release()
        before = await load(store), await store.interrupts()

        with pytest.raises(StaleOwnerError) as caught:
            await store.append(commit._replace(expected=0) if fault == "head" else commit)

        assert (caught.value.thread_id, caught.value.epoch) == (stale.key.thread, stale.epoch)
        assert (await load(store), await store.interrupts()) == before
        assert len(await store.read(KEY)) == 1

    # -- signals and watchers ----------------------------------------------------------------------

    async def test_a_signal_reaches_the_active_run_only(self, store: BaseCheckpointer) -> None:
        assert not await store.signal(KEY, Signal("stop", RUN))
        owner = await Owner.of(store)
        assert not await owner.step()
        assert not await store.signal(KEY, Signal("stop", "run-0"))
        assert await store.signal(KEY, Signal("steer", RUN, b"\x00\xff"))
        assert await store.signal(KEY, Signal("stop", RUN))

        for _ in range(2):
            steer, stop = await owner.step()
            assert steer[:3] == ("steer", RUN, b"\x00\xff")
            assert stop.kind == "stop"
            assert 0 < steer.id < stop.id

        assert not await owner.step(run_id="run-2")
        assert not await store.signal(KEY, Signal("stop", RUN))

    async def test_a_release_takes_the_last_signals_along(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        await store.signal(KEY, Signal("stop", RUN))

        assert [signal.kind for signal in await owner.release()] == ["stop"]

        assert not await store.signal(KEY, Signal("stop", RUN))
        assert not await (await Owner.of(store)).step()

    async def test_a_run_whose_owner_is_gone_takes_no_signals(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        store.abandon(KEY, owner.epoch)

        assert not await store.signal(KEY, Signal("stop", RUN))

    async def test_a_watcher_is_told_of_commits_and_signals(self, store: BaseCheckpointer) -> None:
        told: list[Change] = []
        owner = await Owner.of(store)
        unwatch = store.watch(KEY, told.append)

        await owner.step()
        await until(lambda: told == [Change(1, "running", RUN, ())])
        await store.signal(KEY, Signal("stop", RUN, b"now"))
        await until(lambda: len(told) == 2)
        assert (told[1].head, [signal.body for signal in told[1].signals]) == (1, [b"now"])
        await owner.release(status="stopped")
        await until(lambda: len(told) == 3)
        assert told[2] == Change(1, "stopped", RUN, ())

        unwatch()
        unwatch()
        await (await Owner.of(store)).step()
        assert len(told) == 3

    async def test_each_watcher_hears_of_its_thread(self, store: BaseCheckpointer) -> None:
        mine: list[Change] = []
        also: list[Change] = []
        other: list[Change] = []
        owner = await Owner.of(store)
        ends = [store.watch(KEY, mine.append), store.watch(KEY, also.append), store.watch(OTHER, other.append)]

        await owner.step()
        await until(lambda: mine and also)
        ends[0]()
        await owner.step()
        await until(lambda: also[-1].head == 2)

        assert (mine[-1].head, other) == (1, [])
        ends[1]()
        ends[2]()

    async def test_a_watcher_that_raises_harms_nobody(self, store: BaseCheckpointer) -> None:
        told: list[Change] = []

        def fail(change: Change) -> None:
            raise RuntimeError("watcher")

        owner = await Owner.of(store)
        store.watch(KEY, fail)
        store.watch(KEY, told.append)

        await owner.step()
        await store.signal(KEY, Signal("stop", RUN))
        await owner.step()

        await until(lambda: told and told[-1].head == 2)

    # -- interrupts, listing, deleting -------------------------------------------------------------

    async def test_interrupts_are_found_by_thread_id_and_status(self, store: BaseCheckpointer) -> None:
        owner, other = await Owner.of(store), await Owner.of(store, OTHER)
        await owner.step(interrupts=[make_interrupt("a"), make_interrupt("b")])
        await other.step(interrupts=[make_interrupt("c")])
        answered = make_interrupt("a", "answered", node="again", changed=9.0, body=b"answer")
        await owner.step(interrupts=[answered])

        async def found(*args: Any, **filters: Any) -> list[str]:
            return [row.id for row in await store.interrupts(*args, **filters)]

        assert await found() == ["c", "b", "a"]
        assert await found(KEY) == ["b", "a"]
        assert await found(status="open") == ["c", "b"]
        assert await found(KEY, status="open") == ["b"]
        assert await found(interrupt_id="c") == ["c"]
        assert await found(KEY, interrupt_id="c") == []
        assert await found(ThreadKey("", "unknown")) == []
        assert list(await store.interrupts(KEY, interrupt_id="a", status="answered")) == [answered]

    async def test_threads_are_listed_by_name_and_in_pages(self, store: BaseCheckpointer) -> None:
        for name in ("b", "a", "ä", "c"):
            await fill(store, 2, ThreadKey("", name))
        await (await Owner.of(store, ThreadKey("", "b"))).step(status="interrupted")
        await fill(store, 1, ThreadKey("tenant", "z"))
        await Owner.of(store, ThreadKey("", "without records"))

        async def names(*args: str, **options: Any) -> list[str]:
            return [row.thread_id for row in await store.threads(*args, **options)]

        assert await names() == ["a", "b", "c", "ä"]
        assert await names(limit=2) == ["a", "b"]
        assert await names(after="b") == ["c", "ä"]
        assert await names(status="completed", after="a") == ["c", "ä"]
        assert await names("tenant") == ["z"]
        row = (await store.threads(status="interrupted"))[0]
        assert row == ("b", "interrupted", 3, RUN, 1003.0)

    async def test_tenants_do_not_see_each_other(self, store: BaseCheckpointer) -> None:
        mine, theirs = ThreadKey("me", "t"), ThreadKey("they", "t")
        await fill(store, 1, mine)

        assert await store.load(theirs) is None
        assert not await store.read(theirs)
        assert not await store.delete(theirs)
        await fill(store, 2, theirs)
        assert [(await load(store, key)).head for key in (mine, theirs)] == [1, 2]

    async def test_a_deleted_thread_leaves_nothing(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step(interrupts=[make_interrupt("a")], snapshot=Snapshot(1, 1, (b"part",)))
        await fill(store, 1, OTHER)
        with pytest.raises(ThreadBusyError):
            await store.delete(KEY)
        await owner.release()

        assert await store.delete(KEY)

        assert not await store.delete(KEY)
        assert await store.load(KEY) is None
        assert not await store.read(KEY)
        assert not await store.interrupts()
        assert [row.thread_id for row in await store.threads()] == [OTHER.thread]
        again = await Owner.of(store, known=Known(owner.stored.born, 1))
        assert (again.stored.is_known, again.stored.snapshot, again.head) == (False, None, 0)
        assert again.stored.born != owner.stored.born
        assert again.epoch > owner.epoch
        with pytest.raises(StaleOwnerError):
            await owner.step()

    # -- many at once ------------------------------------------------------------------------------

    async def test_of_many_who_want_a_thread_one_gets_it(self, store: BaseCheckpointer) -> None:
        epochs: list[int] = []
        with loops(3) as running:
            for number in range(1, 201):
                key = ThreadKey("", f"thread {number % 7}")
                outcomes = await running.run(*[lambda key=key: Owner.of(store, key)] * 6)

                winners = [outcome for outcome in outcomes if isinstance(outcome, Owner)]
                assert len(winners) == 1, outcomes
                assert sum(isinstance(outcome, ThreadBusyError) for outcome in outcomes) == 5
                (owner,) = winners
                assert owner.head == (number - 1) // 7
                epochs.append(owner.epoch)
                await owner.step(is_release=True)

        assert epochs == sorted(set(epochs))

    async def test_of_many_who_append_at_one_head_one_does(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        with loops(3) as running:
            for number in range(1, 201):
                commits = [owner.commit([make_record(number, body=b"%d" % who)]) for who in range(6)]
                outcomes = await running.run(*[lambda commit=commit: store.append(commit) for commit in commits])

                assert sum(isinstance(outcome, StaleOwnerError) for outcome in outcomes) == 5, outcomes
                winner = [isinstance(outcome, StaleOwnerError) for outcome in outcomes].index(False)
                owner.head = number
                assert (await store.read(KEY, number - 1))[0].body == b"%d" % winner

        assert [record.sequence for record in await store.read(KEY)] == list(range(1, 201))

    async def test_many_loops_work_through_one_store(self, store: BaseCheckpointer) -> None:
        async def work(number: int) -> int:
            key = ThreadKey("", f"thread {number}")
            told: list[int] = []
            for _ in range(4):
                owner = await Owner.of(store, key)
                unwatch = store.watch(key, lambda change: told.append(change.head))
                for _ in range(5):
                    await owner.step()
                await owner.release()
                unwatch()
                assert len((await load(store, key)).tail) == owner.head
            assert told == sorted(told)
            return owner.head

        with loops(4) as running:
            assert await running.run(*[lambda number=number: work(number) for number in range(20)]) == [20] * 20

    async def test_a_cancelled_write_is_never_in_doubt(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        for attempt in range(60):
            returned: list[int] = []

            async def write(attempt: int = attempt, returned: list[int] = returned) -> None:
                await owner.append(make_record(owner.head + 1, body=b"%d" % attempt))
                returned.append(attempt)
                await asyncio.sleep(HANG)

            task = asyncio.create_task(write())
            start = time.perf_counter()
            while time.perf_counter() - start < attempt * 5e-6:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            bodies = [record.body for record in await store.read(KEY)]
            assert (b"%d" % attempt in bodies) == bool(returned)

    # -- the end -----------------------------------------------------------------------------------

    async def test_a_closed_store_takes_no_more_runs(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        owner = await Owner.of(store)
        await owner.step()
        await store.aclose()
        store.close()

        with pytest.raises(CheckpointerClosedError):
            await Owner.of(store, OTHER)
        store.abandon(KEY, owner.epoch)

    async def test_a_store_that_was_never_used_can_be_closed(self, tmp_path: Path) -> None:
        with self.make_store(tmp_path):
            pass
