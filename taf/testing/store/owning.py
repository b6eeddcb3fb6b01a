"""A thread has one owner at a time, under an epoch that is higher than all before it."""

from __future__ import annotations

import pytest

from taf.checkpointer.base import BaseCheckpointer, Known, Snapshot, ThreadKey
from taf.errors import StaleOwnerError, ThreadBusyError
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import KEY, LEASE, OTHER, RUN, Owner, fill, load, make_interrupt


class OwningTests(StoreTests):
    """``acquire``, ``abandon``, release and ``delete``."""

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

    async def test_a_thread_whose_owner_has_not_written_is_busy_too(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)

        with pytest.raises(ThreadBusyError) as caught:
            await Owner.of(store)

        assert (caught.value.thread_id, caught.value.run_id) == (KEY.thread, None)
        await owner.step()

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

    async def test_epochs_only_grow(self, store: BaseCheckpointer) -> None:
        epochs: list[int] = []
        for ending in ("release", "abandon", "delete") * 2:
            owner = await Owner.of(store)
            await owner.step()
            epochs.append(owner.epoch)
            if ending == "abandon":
                store.abandon(KEY, owner.epoch)
            else:
                await owner.release()
            if ending == "delete":
                assert await store.delete(KEY)

        assert epochs == sorted(set(epochs))

    async def test_each_thread_has_an_owner_of_its_own(self, store: BaseCheckpointer) -> None:
        owners = [await Owner.of(store, ThreadKey("", f"t{number}")) for number in range(20)]
        for owner in owners:
            await owner.step(status=owner.key.thread)

        for owner in owners:
            assert (await load(store, owner.key)).status == owner.key.thread

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

    async def test_what_is_deleted_may_be_deleted_again(self, store: BaseCheckpointer) -> None:
        assert not await store.delete(KEY)
        for _ in range(2):
            await fill(store, 1)
            assert [await store.delete(KEY) for _ in range(3)] == [True, False, False]
