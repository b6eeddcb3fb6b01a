"""What is claimed and begun in one go takes one statement, or one for many, and is made once when an answer is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from taf.checkpointer import PgCheckpointer
from taf.checkpointer.base import Grant, Known, ThreadKey
from taf.testing.store.owner import KEY, LEASE, Owner, fill, load
from tests.checkpointer.test_begins import begin, going_on, sequences
from tests.pg.proxy import Action, Proxy

KEYS = [ThreadKey("", f"thread {number}") for number in range(40)]
BEGIN, BEGIN_MANY = "WITH claimed", "WITH g AS"


@pytest.fixture
def store(proxied: PgCheckpointer) -> PgCheckpointer:
    return proxied


async def test_a_new_thread_begins_with_one_statement(pg_proxy: Proxy, store: PgCheckpointer) -> None:
    await begin(store, KEYS[0])
    pg_proxy.statements.clear()
    assert (await begin(store)).has_begun
    assert [count for text, count in pg_proxy.statements.items() if "journal" in text] == [1]


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
        await Owner(store, key, grant).step()


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_one_that_is_cut_begins_once(pg_proxy: Proxy, store: PgCheckpointer, action: Action) -> None:
    fault = pg_proxy.fault(action, BEGIN)
    grant = await begin(store)
    assert (fault.hits, grant.has_begun, grant.stored.head) == (1, True, 1)
    await Owner(store, KEY, grant).step()
    assert await sequences(store) == [1, 2]


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_one_that_goes_on_and_is_cut_goes_on_once(pg_proxy: Proxy, store: PgCheckpointer, action: Action) -> None:
    await fill(store, 2)
    stored = await load(store)
    known = Known(stored.born, stored.head, stored.floor)
    fault = pg_proxy.fault(action, BEGIN)
    grant = await store.begin(going_on(known), lease_seconds=LEASE, known=known)
    assert (fault.hits, grant.has_begun, grant.stored.head) == (1, True, 4)
    await Owner(store, KEY, grant).step()
    assert await sequences(store) == [1, 2, 3, 4, 5]
    assert [(row.id, row.status) for row in await store.interrupts(KEY)] == [("1", "answered")]


async def test_many_that_go_on_go_on_each_as_it_is(store: PgCheckpointer) -> None:
    """Every third has gone on meanwhile."""
    await asyncio.gather(*[fill(store, 1, key) for key in KEYS])
    stored = [await load(store, key) for key in KEYS]
    known = [Known(one.born, one.head, one.floor) for one in stored]
    await asyncio.gather(*[step_once(store, key) for key in KEYS[::3]])
    grants = await asyncio.gather(
        *[
            store.begin(going_on(one)._replace(key=key), lease_seconds=LEASE, known=one)
            for key, one in zip(KEYS, known, strict=True)
        ]
    )
    for number, (key, grant) in enumerate(zip(KEYS, grants, strict=True)):
        head = 2 if number % 3 == 0 else 3 if grant.has_begun else 1
        assert grant.stored.head == head
        assert await sequences(store, key) == [*range(1, head + 1)]


async def step_once(store: PgCheckpointer, key: ThreadKey) -> None:
    await (await Owner.of(store, key)).step(is_release=True)


@pytest.mark.parametrize("action", ["cut request", "cut answer"])
async def test_many_that_are_cut_together_begin_once_each(
    pg_proxy: Proxy, store: PgCheckpointer, action: Action
) -> None:
    fault = pg_proxy.fault(action, BEGIN_MANY)
    grants = await asyncio.gather(*[begin(store, key) for key in KEYS])
    assert fault.hits == 1
    assert all(grant.has_begun for grant in grants)
    assert len({grant.epoch for grant in grants}) == len(KEYS)
    await asyncio.gather(*[Owner(store, key, g).step() for key, g in zip(KEYS, grants, strict=True)])
    assert [await sequences(store, key) for key in KEYS] == [[1, 2]] * len(KEYS)
