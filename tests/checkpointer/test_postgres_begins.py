"""What is claimed and begun in one go takes one statement, or one for many, and is made once when an answer is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from taf.checkpointer import PgCheckpointer
from taf.checkpointer.base import Grant, ThreadKey
from taf.testing.store.owner import KEY, LEASE, Owner, fill
from tests.checkpointer.test_begins import begin, sequences
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
