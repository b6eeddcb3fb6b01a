"""Many at once: loops in OS threads, all on one store object."""

from __future__ import annotations

import asyncio
from enum import IntEnum

from taf.checkpointer.base import BaseCheckpointer, Cut, Known, Posted, Snapshot, ThreadKey
from taf.errors import StaleOwnerError, ThreadBusyError
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import KEY, Owner, fill, load, loops, make_record


class Form(IntEnum):
    """What somebody left behind in a thread."""

    RECORDS = 0
    SNAPSHOT = 1
    GROWING = 2
    BASE = 3
    BASE_AND_SNAPSHOT = 4
    MAIL = 5


async def _left(store: BaseCheckpointer, key: ThreadKey, form: Form, *, is_known: bool) -> Known | None:
    """Leave a thread behind, and return what a reader knows who saw the beginning of it, if one did."""
    owner = await Owner.of(store, key)
    snapshot = {
        Form.SNAPSHOT: Snapshot(3, None, (b"whole", b"")),
        Form.GROWING: Snapshot(3, 2, (b"head",)),
        Form.BASE_AND_SNAPSHOT: Snapshot(3, None, (b"newest",)),
    }.get(form)
    for number in range(1, 6):
        items = b"item %d" % number if number % 2 == 0 else None
        await owner.append(make_record(number, items=items), snapshot=snapshot if number == 3 else None)
    if form is Form.MAIL:
        await store.post(key, Posted("enqueue", "later", 7.0, b"hello"))
    await owner.release()
    stored = await load(store, key)
    if form in (Form.BASE, Form.BASE_AND_SNAPSHOT):
        newest = Snapshot(4, None, (b"newest",)) if form is Form.BASE_AND_SNAPSHOT else None
        assert await store.prune(Cut(key, stored.born, 5, Snapshot(3, None, (b"base", b"of two parts")), newest))
        stored = await load(store, key)
    return Known(stored.born, 4, stored.floor) if is_known else None


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

    async def test_what_many_hold_is_as_each_alone_would_have_it(self, store: BaseCheckpointer) -> None:
        known: dict[ThreadKey, Known | None] = {}
        for number in range(24):
            key = ThreadKey("", f"thread {number}")
            known[key] = await _left(store, key, Form(number % 6), is_known=number < 12)

        alone = [await Owner.of(store, key, known=one) for key, one in known.items()]
        for owner in alone:
            await owner.append(is_release=True, status="completed")
        at_once = await asyncio.gather(*[Owner.of(store, key, known=one) for key, one in known.items()])

        for one, other in zip(alone, at_once, strict=True):
            assert other.stored == one.stored
            assert other.grant.mail == one.grant.mail
        assert any(owner.stored.snapshot is not None and owner.stored.items for owner in at_once)
        assert any(owner.stored.floor for owner in at_once)
        assert any(owner.grant.mail.messages for owner in at_once)

    async def test_sync_callers_each_in_a_loop_of_its_own(self, store: BaseCheckpointer) -> None:
        async def go_on() -> int:
            owner = await Owner.of(store)
            await owner.step()
            await owner.release()
            return owner.head

        heads = [await asyncio.to_thread(lambda: asyncio.run(go_on())) for _ in range(5)]

        assert heads == [1, 2, 3, 4, 5]
