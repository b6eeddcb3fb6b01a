"""Many at once: loops in OS threads, all on one store object."""

from __future__ import annotations

import asyncio

from taf.checkpointer.base import BaseCheckpointer, ThreadKey
from taf.errors import StaleOwnerError, ThreadBusyError
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import KEY, Owner, fill, load, loops, make_record


class CrowdTests(StoreTests):
    """Of many who want the same thing, one gets it."""

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

    async def test_of_many_who_delete_a_thread_one_does(self, store: BaseCheckpointer) -> None:
        with loops(3) as running:
            for _ in range(20):
                await fill(store, 1)
                assert sorted(await running.run(*[lambda: store.delete(KEY)] * 6)) == [False] * 5 + [True]

    async def test_many_loops_work_through_one_store(self, store: BaseCheckpointer) -> None:
        async def work(number: int) -> int:
            key = ThreadKey("", f"thread {number}")
            told: list[int] = []
            head = 0
            for _ in range(4):
                owner = await Owner.of(store, key)
                unwatch = store.watch(key, lambda change: told.append(change.head))
                for _ in range(5):
                    await owner.step()
                await owner.release()
                unwatch()
                head = owner.head
                assert len((await load(store, key)).tail) == head
            assert told == sorted(told)
            return head

        with loops(4) as running:
            assert await running.run(*[lambda number=number: work(number) for number in range(20)]) == [20] * 20

    async def test_sync_callers_each_in_a_loop_of_its_own(self, store: BaseCheckpointer) -> None:
        async def go_on() -> int:
            owner = await Owner.of(store)
            await owner.step()
            await owner.release()
            return owner.head

        heads = [await asyncio.to_thread(lambda: asyncio.run(go_on())) for _ in range(5)]

        assert heads == [1, 2, 3, 4, 5]
