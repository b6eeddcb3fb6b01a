"""A commit is one transaction: all of it or nothing, behind the fence, at the expected head."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

import pytest

from taf.checkpointer.base import BaseCheckpointer, Change, Commit, InterruptRow, Record, Signal, Snapshot, Stored
from taf.errors import StaleOwnerError, TafError
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import HANG, KEY, OTHER, RUN, Owner, load, loops, make_interrupt, make_record


async def all_of(store: BaseCheckpointer) -> tuple[Stored, list[Record], list[InterruptRow]]:
    """Return all that is stored of the thread."""
    return await load(store), list(await store.read(KEY)), list(await store.interrupts())


async def appended(store: BaseCheckpointer, commit: Commit) -> Sequence[Signal]:
    """Append a record at once, or wait for it where that has to be waited for."""
    key, epoch, expected, (record,) = commit[:4]
    signals = store.append_now(key, epoch, expected, record[:])
    return await store.append(commit) if signals is None else signals


class CommitTests(StoreTests):
    """``append`` writes all or nothing."""

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

    @pytest.mark.parametrize("expected", [0, 1, 3])
    async def test_who_expects_another_head_is_refused(self, store: BaseCheckpointer, expected: int) -> None:
        owner = await Owner.of(store)
        await owner.append(make_record(1), make_record(2))
        before = await all_of(store)

        for records in ([make_record(9)], []):
            with pytest.raises(StaleOwnerError):
                await store.append(owner.commit(records, expected=expected, status="stopped"))

        assert await all_of(store) == before
        await owner.step()

    async def test_a_commit_sent_twice_is_written_once(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        commit = owner.commit([make_record(1)])
        await store.append(commit)

        with pytest.raises(StaleOwnerError):
            await store.append(commit)

        assert len(await store.read(KEY)) == 1

    async def test_a_record_can_be_appended_without_waiting_where_the_store_says_so(
        self, store: BaseCheckpointer
    ) -> None:
        owner = await Owner.of(store)
        await owner.step(graph="drawn")
        before, told = await load(store), list[Change]()
        row = make_record(2, items=b"items")[:]
        if not store.is_quick:
            with pytest.raises(NotImplementedError):
                store.append_now(KEY, owner.epoch, 1, row)
            assert await load(store) == before
            return
        store.watch(KEY, told.append)
        await store.signal(KEY, Signal("stop", RUN, b"now"))
        assert told[-1].signals
        begun = len(told)  # a new watcher may have been told how the thread stood, too

        signals = await appended(store, owner.commit([Record._make(row)]))

        assert [signal.body for signal in signals] == [b"now"]
        assert list(await store.read(KEY)) == [make_record(1), Record._make(row)]
        [listed] = await store.threads()
        assert (listed.head, listed.status, listed.run_id, listed.updated, listed.graph) == (
            *(2, "running", RUN, make_record(2).at),
            "drawn",
        )
        assert told[begun:] == [Change(2, "running", RUN, signals)]
        for key, epoch, expected in ((KEY, owner.epoch, 1), (KEY, owner.epoch - 1, 2), (OTHER, owner.epoch, 2)):
            with pytest.raises(StaleOwnerError):
                await appended(store, Commit(key, epoch, expected, [make_record(3)], "running", RUN))
        owner.head = 2
        await owner.release()
        with pytest.raises(StaleOwnerError):
            await appended(store, owner.commit([make_record(3)]))
        assert len(await store.read(KEY)) == 2

    @pytest.mark.parametrize("place", ["kind", "sequence", "moment", "interrupt", "second interrupt"])
    async def test_a_commit_of_which_a_part_cannot_be_stored_leaves_nothing_half_written(
        self, store: BaseCheckpointer, place: str
    ) -> None:
        owner = await Owner.of(store)
        await owner.step(snapshot=Snapshot(1, None, (b"one",)), interrupts=[make_interrupt("a")])
        before = await all_of(store)
        odd: dict[str, dict[str, Any]] = {"kind": {"kind": "\ud800"}, "moment": {"at": math.nan}}
        last = make_record(2**63 if place == "sequence" else 3, **odd.get(place, {}))
        rows = [make_interrupt("a", "answered"), make_interrupt("b"), make_interrupt("c")]
        if "interrupt" in place:
            rows[2 if "second" in place else 1] = make_interrupt("b", node="\ud800")
        try:
            await store.append(owner.commit([make_record(2), last], status="stopped", interrupts=rows, is_release=True))
        except TafError:
            assert await all_of(store) == before
            await owner.step()
        else:  # there are stores that keep everything
            stored, records, kept = await all_of(store)
            assert (stored.head, stored.status, stored.is_owned) == (last.sequence, "stopped", False)
            assert [record.sequence for record in records] == [1, 2, last.sequence]
            assert sorted(row.id for row in kept) == sorted({row.id for row in rows})

    async def test_what_is_read_is_of_one_moment(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.append(make_record(1), make_record(2), status="at 2")
        is_done = False

        async def write() -> None:
            nonlocal is_done
            try:
                for head in range(4, 404, 2):
                    snapshot = Snapshot(head, None, (b"%d" % head,)) if not head % 20 else None
                    records = make_record(head - 1), make_record(head)
                    await owner.append(*records, status=f"at {head}", snapshot=snapshot)
            finally:
                is_done = True

        async def read() -> None:
            while not is_done:
                stored = await load(store)
                start = stored.snapshot.sequence if stored.snapshot else 0
                assert stored.status == f"at {stored.head}"
                assert [record.sequence for record in stored.tail] == list(range(start + 1, stored.head + 1))
                await asyncio.sleep(0)

        with loops(2) as running:
            assert await running.run(write, read, read, read) == [None] * 4

    async def test_a_pause_and_its_question_are_seen_together(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        is_done = False

        async def write() -> None:
            nonlocal is_done
            try:
                for number in range(100):
                    await owner.step(status="paused", interrupts=[make_interrupt(f"{number}")])
                    await owner.step(interrupts=[make_interrupt(f"{number}", "answered")])
            finally:
                is_done = True

        async def read() -> None:
            while not is_done:
                before = (await load(store)).head
                asked = len(await store.interrupts(KEY))
                after = (await load(store)).head
                assert before // 2 <= asked <= after // 2
                await asyncio.sleep(0)

        with loops(2) as running:
            assert await running.run(write, read) == [None] * 2

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
