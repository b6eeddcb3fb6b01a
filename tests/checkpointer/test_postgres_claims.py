"""A thread that is being acquired belongs to who asked for it, however long the database takes to commit that."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from taf.checkpointer import PgCheckpointer
from taf.checkpointer.base import Commit, Grant, Record, ThreadKey
from taf.errors import StoreUnavailableError, ThreadBusyError

BUSY = ThreadKey("", "busy")


async def write(store: PgCheckpointer, key: ThreadKey, grant: Grant | None) -> None:
    """Write one record, and give the thread back."""
    assert grant is not None
    head = grant.stored.head + 1
    record = Record(head, "step", "run", 1.0, b"")
    await store.append(Commit(key, grant.epoch, head - 1, [record], "idle", "run", is_release=True))


async def test_a_renewal_does_not_drop_what_is_not_committed_yet(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = asyncpg.Connection.execute

    async def late(connection: Any, statement: str, *given: Any, **options: Any) -> Any:
        if statement == "COMMIT;" and connection._proxy is not None:
            await asyncio.sleep(0.05)
        return await execute(connection, statement, *given, **options)

    async with PgCheckpointer(pg_dsn, statement_cache_size=0, direct_dsn=pg_dsn) as store:
        await store.acquire(BUSY, lease_seconds=0.03)  # so that the heartbeat renews all the time
        monkeypatch.setattr(asyncpg.Connection, "execute", late)
        for number in range(3):
            key = ThreadKey("", str(number))
            await write(store, key, await store.acquire(key, lease_seconds=15))


def break_commits(monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Have so many transactions of acquisitions lose their connection at the end, by turns before and behind it."""
    broken, execute = list[str](), asyncpg.Connection.execute

    async def breaking(connection: Any, statement: str, *given: Any, **options: Any) -> Any:
        if statement != "COMMIT;" or connection._proxy is None or len(broken) >= times:
            return await execute(connection, statement, *given, **options)
        broken.append(statement)
        if len(broken) % 2:
            await execute(connection, statement, *given, **options)
        connection.terminate()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(asyncpg.Connection, "execute", breaking)
    return broken


async def test_an_acquisition_whose_commit_was_not_answered_is_made_again(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ThreadKey("", "t")
    async with PgCheckpointer(pg_dsn, statement_cache_size=0, direct_dsn=pg_dsn) as store:
        await store.setup()
        broken = break_commits(monkeypatch, 4)
        async with asyncio.timeout(10):
            grant = await store.acquire(key, lease_seconds=15)
        assert len(broken) == 4
        with pytest.raises(ThreadBusyError):
            await store.acquire(key, lease_seconds=15)
        await write(store, key, grant)


async def test_an_acquisition_that_failed_leaves_the_thread_free(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ThreadKey("", "t")
    async with PgCheckpointer(pg_dsn, statement_cache_size=0, direct_dsn=pg_dsn, command_timeout=0.6) as store:
        await store.setup()
        with monkeypatch.context() as patch:
            break_commits(patch, 1000)
            with pytest.raises(StoreUnavailableError):
                await store.acquire(key, lease_seconds=15)
        async with asyncio.timeout(10):
            await write(store, key, await store.acquire(key, lease_seconds=15))
