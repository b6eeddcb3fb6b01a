"""A thread is claimed and the first record of a run written in one go, where the thread is as it was supposed to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from taf.checkpointer import PgCheckpointer
from taf.checkpointer.base import Change, Commit, Grant, Known, Posted, ThreadKey
from taf.errors import ThreadBusyError
from taf.testing.store.owner import KEY, LEASE, Owner, fill, load, make_record
from tests.pg.proxy import Action, Proxy

KEYS = [ThreadKey("", f"thread {number}") for number in range(40)]
BEGIN, BEGIN_MANY = "WITH claimed", "WITH g AS"


@pytest.fixture
async def store(pg_proxy: Proxy) -> AsyncIterator[PgCheckpointer]:
    """A store that reaches its server by way of the proxy."""
    async with PgCheckpointer(pg_proxy.dsn) as store:
        await store.setup()
        yield store


def first(key: ThreadKey = KEY, after: int = 0) -> Commit:
    return Commit(key, 0, after, (make_record(after + 1, run_id="new"),), "running", "new", graph="g")


async def begin(store: PgCheckpointer, key: ThreadKey = KEY, known: Known | None = None) -> Grant:
    return await store.begin(first(key, 0 if known is None else known.head), lease_seconds=LEASE, known=known)


async def sequences(store: PgCheckpointer, key: ThreadKey = KEY) -> list[int]:
    return [record.sequence for record in await store.read(key)]


async def known_of(store: PgCheckpointer) -> Known:
    stored = await load(store)
    return Known(stored.born, stored.head, stored.floor)


async def test_a_new_thread_begins_with_one_statement(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    await begin(store, KEYS[0])
    pg_proxy.statements.clear()
    grant = await begin(store)
    assert grant.has_begun
    assert [count for text, count in pg_proxy.statements.items() if "journal" in text] == [1]
    stored = await load(store)
    assert (stored.head, stored.status, stored.run_id, stored.is_owned) == (1, "running", "new", True)
    assert (stored.born, stored.tail[0]) == (grant.stored.born, make_record(1, run_id="new"))
    assert {row.thread_id: row.graph for row in await store.threads()}[KEY.thread] == "g"
    owner = Owner(store, KEY, grant.epoch, grant.stored)
    await owner.step(run_id="new")
    await owner.release()
    assert await sequences(store) == [1, 2]


async def test_a_thread_that_is_known_begins_behind_its_records(store: PgCheckpointer) -> None:
    await fill(store, 3)
    grant = await begin(store, known=await known_of(store))
    assert grant.has_begun
    assert grant.stored.head == 4
    assert await sequences(store) == [1, 2, 3, 4]


async def test_one_that_went_on_meanwhile_is_granted_with_what_is_new(store: PgCheckpointer) -> None:
    await fill(store, 2)
    known = await known_of(store)
    await (await Owner.of(store)).step(is_release=True)
    grant = await begin(store, known=known)
    assert not grant.has_begun
    assert [record.sequence for record in grant.stored.tail] == [3]
    assert await sequences(store) == [1, 2, 3]
    await Owner(store, KEY, grant.epoch, grant.stored).step()


async def test_one_that_is_not_new_after_all_is_granted_as_it_is(store: PgCheckpointer) -> None:
    await fill(store, 2)
    grant = await begin(store)
    assert not grant.has_begun
    assert [record.sequence for record in grant.stored.tail] == [1, 2]
    assert await sequences(store) == [1, 2]


async def test_one_that_was_removed_and_made_anew_does_not_begin(store: PgCheckpointer) -> None:
    await fill(store, 2)
    known = await known_of(store)
    assert await store.delete(KEY)
    gone = await begin(store, known=known)
    assert (gone.has_begun, gone.stored.head) == (False, 0)
    await Owner(store, KEY, gone.epoch, gone.stored).release()
    await fill(store, 2)
    grant = await begin(store, known=known)
    assert (grant.has_begun, grant.stored.is_known, await sequences(store)) == (False, False, [1, 2])


@pytest.mark.parametrize("records", [0, 2])
async def test_one_where_messages_wait_does_not_begin(store: PgCheckpointer, records: int) -> None:
    await fill(store, records)
    owner = await Owner.of(store)
    assert await store.post(KEY, Posted("enqueue", "waits", 1.0, b"body")) is not None
    await owner.release()
    grant = await begin(store, known=await known_of(store) if records else None)
    assert (grant.has_begun, [one.run_id for one in grant.mail.messages]) == (False, ["waits"])
    assert len(await sequences(store)) == records


async def test_one_that_somebody_owns_is_busy_and_stays_as_it_is(store: PgCheckpointer) -> None:
    owner = await Owner.of(store)
    await owner.step()
    with pytest.raises(ThreadBusyError):
        await begin(store)
    await owner.step()
    assert await sequences(store) == [1, 2]


async def test_whoever_watches_is_told(store: PgCheckpointer) -> None:
    told: list[Change] = []
    store.watch(KEY, told.append)
    await begin(store)
    assert told == [Change(1, "running", "new", ())]


async def test_many_begin_with_few_statements_and_each_as_it_is(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    """Every fourth has records already, every fourth is only claimed."""
    await asyncio.gather(*[fill(store, 1, key) for key in KEYS[::4]])
    pg_proxy.statements.clear()
    grants: Sequence[Grant | None] = await asyncio.gather(
        *[
            store.acquire(key, lease_seconds=LEASE) if number % 4 == 1 else begin(store, key)
            for number, key in enumerate(KEYS)
        ]
    )
    assert sum(pg_proxy.statements.values()) < len(KEYS) * 3 / 4
    assert [grant is not None and grant.has_begun for grant in grants] == [n % 4 > 1 for n in range(len(KEYS))]
    assert [await sequences(store, key) for key in KEYS] == [[] if n % 4 == 1 else [1] for n in range(len(KEYS))]
    for key, grant in zip(KEYS, grants, strict=True):
        assert grant is not None
        await Owner(store, key, grant.epoch, grant.stored).step()


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_one_that_is_cut_begins_once(pg_proxy: Proxy, store: PgCheckpointer, action: Action) -> None:
    fault = pg_proxy.fault(action, BEGIN)
    grant = await begin(store)
    assert (fault.hits, grant.has_begun, grant.stored.head) == (1, True, 1)
    await Owner(store, KEY, grant.epoch, grant.stored).step()
    assert await sequences(store) == [1, 2]


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_many_that_are_cut_together_begin_once_each(
    pg_proxy: Proxy, store: PgCheckpointer, action: Action
) -> None:
    fault = pg_proxy.fault(action, BEGIN_MANY)
    grants = await asyncio.gather(*[begin(store, key) for key in KEYS])
    assert fault.hits == 1
    assert all(grant.has_begun for grant in grants)
    assert len({grant.epoch for grant in grants}) == len(KEYS)
    await asyncio.gather(*[Owner(store, key, g.epoch, g.stored).step() for key, g in zip(KEYS, grants, strict=True)])
    assert [await sequences(store, key) for key in KEYS] == [[1, 2]] * len(KEYS)


async def test_a_claim_that_was_cut_does_not_pass_for_another_runs_beginning(store: PgCheckpointer) -> None:
    grant = await begin(store)
    await Owner(store, KEY, grant.epoch, grant.stored).release(run_id="new")
    again = await begin(store)  # the same record by somebody who supposes that nothing is there
    assert not again.has_begun
    assert await sequences(store) == [1]


def test_whoever_changes_append_alone_is_not_passed_by() -> None:
    class Counting(PgCheckpointer):
        async def append(self, commit: Commit) -> Sequence[object]:  # type: ignore[override]
            return await super().append(commit)

    class Both(Counting):
        async def begin(self, first: Commit, *, lease_seconds: float, known: Known | None = None) -> Grant:
            return await super().begin(first, lease_seconds=lease_seconds, known=known)

    assert (PgCheckpointer.can_begin, Counting.can_begin, Both.can_begin) == (True, False, True)
