"""Two objects on the same data, as two processes hold them: they read each other, and exclude each other."""

from __future__ import annotations

import asyncio

import pytest

from taf.checkpointer.base import BaseCheckpointer, Change, Known, Listing, Signal, Snapshot, ThreadKey
from taf.errors import StaleOwnerError, ThreadBusyError
from taf.testing.store.base import StoreTests, needs_two_objects
from taf.testing.store.owner import (
    KEY,
    LEASE,
    OTHER,
    RUN,
    Owner,
    fill,
    load,
    loops,
    make_interrupt,
    make_record,
    until,
    until_acquired,
)

SHORT = 0.2
"""A lease, in seconds, that may be waited for."""


@needs_two_objects
class ReopeningTests(StoreTests):
    """What holds across objects."""

    async def test_threads_outlive_the_store(self, store: BaseCheckpointer, second: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.append(make_record(1, items=b"i"), make_record(2), snapshot=Snapshot(2, 1, (b"a", b"b")))
        await owner.append(make_record(3), status="interrupted", interrupts=[make_interrupt("a")], is_release=True)
        before = await load(store), list(await store.read(KEY))
        await store.aclose()

        assert (await load(second), list(await second.read(KEY))) == before
        assert list(await second.interrupts(status="open")) == [make_interrupt("a")]
        assert [row.thread_id for row in await second.threads(listing=Listing(("interrupted",)))] == [KEY.thread]
        heir = await Owner.of(second)
        assert (heir.head, heir.epoch > owner.epoch) == (3, True)

    async def test_what_one_wrote_the_other_reads_at_once(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        owner = await Owner.of(store)
        for head in range(1, 30):
            await owner.step(status=f"at {head}")
            stored = await load(second, known=Known(owner.stored.born, head - 1))
            assert (stored.is_known, stored.is_owned, stored.status) == (True, True, f"at {head}")
            assert [record.sequence for record in stored.tail] == [head]

    async def test_a_thread_that_one_owns_is_busy_for_the_other(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        owner = await Owner.of(store)
        await owner.step()

        with pytest.raises(ThreadBusyError):
            await Owner.of(second)
        with pytest.raises(ThreadBusyError):
            await second.delete(KEY)
        await owner.release()

        assert (await Owner.of(second)).epoch > owner.epoch
        with pytest.raises(ThreadBusyError):
            await Owner.of(store)

    async def test_of_many_in_both_who_want_a_thread_one_gets_it(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        epochs: list[int] = []
        with loops(2) as running:
            for head in range(40):
                wanting = [lambda one=one: Owner.of(one) for one in (store, second, second, store)]
                outcomes = await running.run(*wanting)

                (owner,) = [outcome for outcome in outcomes if isinstance(outcome, Owner)]
                assert sum(isinstance(outcome, ThreadBusyError) for outcome in outcomes) == 3, outcomes
                assert owner.head == head
                epochs.append(owner.epoch)
                await owner.step(is_release=True)

        assert epochs == sorted(set(epochs))

    async def test_both_write_threads_of_their_own_at_once(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        async def work(one: BaseCheckpointer, name: str) -> int:
            owner = await Owner.of(one, ThreadKey("", name))
            for _ in range(15):
                await owner.step()
            await owner.release()
            return owner.head

        both = [(one, f"{place} {number}") for number in range(4) for place, one in enumerate((store, second))]
        with loops(2) as running:
            heads = await running.run(*[lambda one=one, name=name: work(one, name) for one, name in both])

        assert heads == [15] * 8
        assert [row.head for row in await store.threads()] == [15] * 8

    async def test_who_lost_the_thread_to_the_other_is_refused(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        owner = await Owner.of(store, lease_seconds=SHORT)
        await owner.step()
        store.abandon(KEY, owner.epoch)
        heir = await until_acquired(second)
        assert heir.epoch > owner.epoch

        for late in (owner.step(interrupts=[make_interrupt("late")]), owner.release()):
            with pytest.raises(StaleOwnerError):
                await late

        await heir.step()
        assert ((await load(store)).head, (await load(store)).is_owned) == (2, True)
        assert not await second.interrupts()

    async def test_a_store_that_is_closed_leaves_its_threads_to_others(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        owner = await Owner.of(store, lease_seconds=SHORT)
        await owner.step()

        await store.aclose()

        assert (await until_acquired(second)).head == 1

    async def test_a_silent_owner_that_lives_keeps_its_thread(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        owner = await Owner.of(store, lease_seconds=1.5)
        await owner.step()

        await asyncio.sleep(2)

        with pytest.raises(ThreadBusyError):
            await Owner.of(second)
        await owner.step()

    async def test_closing_one_leaves_the_other_open(self, store: BaseCheckpointer, second: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await fill(second, 1, OTHER)

        await second.aclose()

        await owner.step()
        assert (await load(store, OTHER)).head == 1

    async def test_what_was_acknowledged_before_the_end_is_there(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        owners = [await Owner.of(store, ThreadKey("", f"t{number}")) for number in range(30)]
        writes = [asyncio.create_task(owner.step()) for owner in owners]
        await asyncio.sleep(0)
        await store.aclose()

        outcomes = await asyncio.gather(*writes, return_exceptions=True)

        for owner, outcome in zip(owners, outcomes, strict=True):
            is_there = await second.load(owner.key) is not None
            assert is_there or isinstance(outcome, BaseException)

    async def test_a_signal_reaches_the_owner_in_the_other(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        told: list[Change] = []
        owner = await Owner.of(store)
        await owner.step()
        unwatch = store.watch(KEY, told.append, signals_only=True)
        assert not await second.signal(KEY, Signal("stop", "run-0"))

        assert await second.signal(KEY, Signal("stop", RUN, b"now"))

        await until(lambda: any(change.signals for change in told))
        assert [(signal.kind, signal.body) for signal in await owner.step()] == [("stop", b"now")]
        await owner.release()
        assert not await second.signal(KEY, Signal("stop", RUN))
        assert not await (await Owner.of(second)).step()
        unwatch()

    async def test_who_watches_in_the_other_hears_of_moves(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        told: list[Change] = []
        owner = await Owner.of(store)
        unwatch = second.watch(KEY, told.append)

        await owner.step()
        await until(lambda: told and told[-1].head == 1)
        await owner.append(make_record(2), status="completed", is_release=True)
        await until(lambda: told[-1][:2] == (2, "completed"))

        assert [change.head for change in told] == sorted(change.head for change in told)
        unwatch()

    async def test_who_watches_in_the_other_hears_of_no_signals_past_a_release(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        told: list[Change] = []
        owner = await Owner.of(store)
        await owner.step()
        unwatch = second.watch(KEY, told.append)
        await store.signal(KEY, Signal("stop", RUN, b"now"))
        await until(lambda: told and told[-1].signals)

        await owner.release(status="stopped")

        await until(lambda: told[-1].status == "stopped")
        assert told[-1] == Change(1, "stopped", RUN, ())
        unwatch()

    async def test_what_one_deleted_is_gone_for_the_other(
        self, store: BaseCheckpointer, second: BaseCheckpointer
    ) -> None:
        await fill(store, 3)
        stored = await load(second)
        assert await store.delete(KEY)

        assert await second.load(KEY) is None
        assert not await second.delete(KEY)
        assert await second.acquire(KEY, lease_seconds=LEASE, create=False) is None
        again = await Owner.of(second, known=Known(stored.born, 3))
        assert (again.head, again.stored.is_known) == (0, False)
        assert again.stored.born != stored.born
