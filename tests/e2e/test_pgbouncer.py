"""The Postgres store keeps the contract of all stores behind a pooler in transaction mode."""

from __future__ import annotations

import asyncio

import pytest

from taf.checkpointer.base import ThreadKey
from taf.checkpointer.postgres import PgCheckpointer
from taf.errors import StoreUnavailableError
from taf.testing import CheckpointerContract
from taf.testing.store.owner import fill


@pytest.mark.e2e
class TestWithAWayPastThePooler(CheckpointerContract):
    """Data goes through the pooler; the life-lock and notifications do not."""

    @pytest.fixture(autouse=True)
    def _server(self, pg_dsn: str, pooled_dsn: str) -> None:
        self.direct, self.pooled = pg_dsn, pooled_dsn

    def make_store(self) -> PgCheckpointer:
        return PgCheckpointer(self.pooled, direct_dsn=self.direct, statement_cache_size=0)

    reopen_store = make_store


@pytest.mark.e2e
class TestWithThePoolerAlone(CheckpointerContract):
    """There is no session: owners are known by their leases, and everything is found by looking."""

    @pytest.fixture(autouse=True)
    def _server(self, pooled_dsn: str) -> None:
        self.pooled = pooled_dsn

    def make_store(self) -> PgCheckpointer:
        return PgCheckpointer(self.pooled, statement_cache_size=0)

    reopen_store = make_store


@pytest.mark.e2e
async def test_prepared_statements_behind_a_pooler_are_refused_with_the_cure(pooled_dsn: str, pg_dsn: str) -> None:
    async with PgCheckpointer(pooled_dsn, direct_dsn=pg_dsn) as store:
        with pytest.raises(StoreUnavailableError, match="statement_cache_size=0"):
            await _crowd(store)


async def _crowd(store: PgCheckpointer) -> None:
    """Use all connections of a store at once, so that none of them meets the same server process again."""
    for number in range(10):
        keys = [ThreadKey("", f"thread {number} {n}") for n in range(50)]
        filled = await asyncio.gather(*(fill(store, 1, key) for key in keys), return_exceptions=True)
        for error in filled:
            if error is not None:
                raise error
