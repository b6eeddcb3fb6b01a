"""What was appended is read back: records, pages, snapshots, and what a reader does not know yet."""

from __future__ import annotations

import pytest

from taf.checkpointer.base import BaseCheckpointer, Known, Snapshot
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import KEY, OTHER, Owner, fill, load, make_record


class JournalTests(StoreTests):
    """Records in, records out."""

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

    async def test_a_reader_that_knows_an_older_part_is_given_the_rest_past_a_snapshot(
        self, store: BaseCheckpointer
    ) -> None:
        owner = await Owner.of(store)
        await owner.append(*[make_record(number) for number in range(1, 5)], snapshot=Snapshot(4, None, (b"four",)))

        stored = await load(store, known=Known(owner.stored.born, 2))

        assert (stored.is_known, stored.snapshot) == (True, None)
        assert [record.sequence for record in stored.tail] == [3, 4]

    async def test_a_commit_may_hold_many_records(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.append(*[make_record(number) for number in range(1, 1201)])

        assert len((await load(store)).tail) == 1200
        assert [record.sequence for record in await store.read(KEY)] == list(range(1, 1001))
        assert [record.sequence for record in await store.read(KEY, after=1000)] == list(range(1001, 1201))

    async def test_sequences_may_leave_numbers_out(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.append(make_record(3), make_record(7))
        await owner.append(make_record(20))

        assert [record.sequence for record in (await load(store)).tail] == [3, 7, 20]
        assert [record.sequence for record in await store.read(KEY, after=4)] == [7, 20]

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

    @pytest.mark.parametrize("count", [1, 300])
    async def test_a_snapshot_keeps_its_parts_in_order(self, store: BaseCheckpointer, count: int) -> None:
        parts = tuple(b"%d " % number * (number % 7) for number in range(count))
        owner = await Owner.of(store)
        await owner.step(snapshot=Snapshot(1, None, parts))

        assert (await load(store)).snapshot == Snapshot(1, None, parts)

    async def test_a_thread_taken_again_goes_on_where_it_was(self, store: BaseCheckpointer) -> None:
        births: set[str] = set()
        for _ in range(3):
            owner = await Owner.of(store)
            births.add(owner.stored.born)
            await owner.step()
            await owner.release()

        assert [record.sequence for record in (await load(store)).tail] == [1, 2, 3]
        assert births == {(await load(store)).born}
