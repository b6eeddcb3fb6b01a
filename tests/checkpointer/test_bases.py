"""What stands for pruned records, where the thread has none."""

from __future__ import annotations

from taf.checkpointer import BaseCheckpointer
from taf.checkpointer.base import Cut, Posted, Snapshot
from taf.testing.store.owner import KEY, Owner
from tests.pg.stores import place, shared_database  # noqa: F401  # on Postgres, too


async def test_a_base_is_shown_though_only_messages_wait_behind_it(store: BaseCheckpointer) -> None:
    owner = await Owner.of(store)
    assert await store.post(KEY, Posted("enqueue", "r2", 1.0, b"body"))
    await owner.release()

    base = Snapshot(1, None, (b"",))
    assert await store.prune(Cut(KEY, owner.stored.born, 0, base))
    assert await store.base(KEY) == base
    assert (await Owner.of(store)).stored.snapshot == base
