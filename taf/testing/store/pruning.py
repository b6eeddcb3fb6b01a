"""A base takes the place of old records, and what stays is as it was."""

from __future__ import annotations

from typing import Any

import pytest

from taf.checkpointer.base import BaseCheckpointer, Cut, Known, Snapshot, Stored, ThreadKey
from taf.errors import StaleOwnerError, ThreadBusyError
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import KEY, OTHER, Owner, fill, load, make_interrupt, make_record

BASE = Snapshot(4, None, (b"head", b"\x00", b""))


async def cut_of(store: BaseCheckpointer, base: Snapshot = BASE, **facts: Any) -> Cut:
    """A cut that fits the thread as it is."""
    stored = await load(store)
    return Cut(KEY, stored.born, stored.head, base, **facts)


async def everything(store: BaseCheckpointer) -> tuple[Stored, Any, Any, Any, Any]:
    """All that a store shows of the thread."""
    records, interrupts = list(await store.read(KEY)), list(await store.interrupts(KEY))
    return await load(store), records, interrupts, await store.base(KEY), list(await store.threads())


class PruningTests(StoreTests):
    """``prune``, ``base``, and ``delete`` of a thread as it was seen."""

    async def test_a_base_takes_the_place_of_the_records_below_it(self, store: BaseCheckpointer) -> None:
        await fill(store, 6)
        before = await load(store)
        assert (before.floor, await store.base(KEY), await store.base(OTHER)) == (0, None, None)
        (row,) = await store.threads()

        assert await store.prune(await cut_of(store))

        assert await store.base(KEY) == BASE
        assert [record.sequence for record in await store.read(KEY)] == [4, 5, 6]
        assert [record.sequence for record in await store.read(KEY, after=4)] == [5, 6]
        for stored in (await load(store), (await Owner.of(store)).stored):
            assert (stored.snapshot, list(stored.items), stored.floor) == (BASE, [], 4)
            assert [record.sequence for record in stored.tail] == [5, 6]
            assert stored[:5] == before[:5]
        assert (await store.threads())[0]._replace(is_owned=False) == row

    async def test_the_newest_snapshot_goes_or_is_replaced(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.append(*[make_record(number, items=b"i%d" % number) for number in range(1, 7)])
        await owner.release(snapshot=Snapshot(6, 1, (b"old",)))

        assert await store.prune(await cut_of(store, Snapshot(2, None, (b"two",))))
        assert (await load(store)).snapshot == Snapshot(2, None, (b"two",))

        newest = Snapshot(6, 5, (b"new", b"er"))
        assert await store.prune(await cut_of(store, BASE, snapshot=newest))
        stored = await load(store)
        assert (stored.snapshot, list(stored.items), list(stored.tail)) == (newest, [(5, b"i5"), (6, b"i6")], [])
        assert await store.base(KEY) == BASE

    async def test_a_thread_goes_on_behind_its_base(self, store: BaseCheckpointer) -> None:
        await fill(store, 4)
        assert await store.prune(await cut_of(store))
        assert [record.sequence for record in await store.read(KEY)] == [4]

        owner = await Owner.of(store)
        await owner.step()
        await owner.step(snapshot=Snapshot(6, 5, (b"newer",)))
        await owner.release()

        assert [record.sequence for record in await store.read(KEY)] == [4, 5, 6]
        assert ((await load(store)).snapshot, await store.base(KEY)) == (Snapshot(6, 5, (b"newer",)), BASE)

    async def test_what_was_known_before_a_pruning_is_known_no_more(self, store: BaseCheckpointer) -> None:
        await fill(store, 6)
        born = (await load(store)).born
        await store.prune(await cut_of(store))

        for known in (Known(born, 6), Known(born, 5, 3), Known("elsewhere", 6, 4)):
            stored = await load(store, known=known)
            assert (stored.is_known, stored.snapshot) == (False, BASE)
        for stored in (
            await load(store, known=Known(born, 5, 4)),
            (await Owner.of(store, known=Known(born, 5, 4))).stored,
        ):
            assert (stored.is_known, stored.snapshot) == (True, None)
            assert [record.sequence for record in stored.tail] == [6]

    @pytest.mark.parametrize("fault", ["gone", "owned", "head", "born", "lower base", "same base"])
    async def test_nothing_is_pruned_of_a_thread_that_is_not_as_it_was(
        self, store: BaseCheckpointer, fault: str
    ) -> None:
        await fill(store, 6)
        owner = await Owner.of(store)
        await owner.release(interrupts=[make_interrupt("a", "answered")], snapshot=Snapshot(6, None, (b"six",)))
        assert await store.prune(await cut_of(store))
        higher = Snapshot(5, None, (b"five",))
        cut = await cut_of(store, higher, interrupts=["a"], snapshot=Snapshot(6, None, (b"other",)))
        if fault == "owned":
            await Owner.of(store)
        elif fault == "gone":
            cut = cut._replace(key=OTHER)
        else:
            place = {"lower base": 3, "same base": 4}.get(fault, 5)
            expected, born = 5 if fault == "head" else cut.expected, "elsewhere" if fault == "born" else cut.born
            cut = cut._replace(base=higher._replace(sequence=place), expected=expected, born=born)
        before = await everything(store)

        assert not await store.prune(cut)

        assert await everything(store) == before

    async def test_a_thread_whose_owner_is_gone_can_be_pruned(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.append(*[make_record(number) for number in range(1, 6)])
        store.abandon(KEY, owner.epoch)

        assert await store.prune(await cut_of(store))

        with pytest.raises(StaleOwnerError):
            await owner.step()
        assert (await Owner.of(store)).stored.status == "running"

    async def test_the_interrupts_that_are_named_go(self, store: BaseCheckpointer) -> None:
        owner, other = await Owner.of(store), await Owner.of(store, OTHER)
        await owner.append(*[make_record(number) for number in range(1, 6)])
        await owner.release(interrupts=[make_interrupt(name, "answered") for name in "abc"])
        await other.step(interrupts=[make_interrupt("d")])

        assert await store.prune(await cut_of(store, interrupts=["a", "c", "d", "unknown"]))

        assert [row.id for row in await store.interrupts()] == ["d", "b"]

    async def test_a_thread_that_is_made_anew_has_no_base(self, store: BaseCheckpointer) -> None:
        await fill(store, 5)
        await store.prune(await cut_of(store))
        assert await store.delete(KEY)
        assert await store.base(KEY) is None

        await fill(store, 2)

        assert (await store.base(KEY), (await load(store)).floor, len(await store.read(KEY))) == (None, 0, 2)

    async def test_only_the_thread_that_was_seen_is_deleted(self, store: BaseCheckpointer) -> None:
        await fill(store, 3)
        assert not await store.delete(KEY, expected=2)
        assert not await store.delete(ThreadKey("", "unknown"), expected=0)
        assert len(await store.read(KEY)) == 3

        owner = await Owner.of(store)
        with pytest.raises(ThreadBusyError):
            await store.delete(KEY, expected=3)
        await owner.release()
        assert await store.delete(KEY, expected=3)
        assert await store.load(KEY) is None
