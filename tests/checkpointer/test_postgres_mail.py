"""Messages on Postgres while somebody else holds the thread's row."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from taf.checkpointer import PgCheckpointer
from taf.checkpointer.base import Listing, Taken
from taf.testing.store.mail import message, names
from taf.testing.store.owner import KEY, Owner

WITHDRAW = (
    "UPDATE taf.threads SET revision = revision + 1, amendments = amendments + 1, messages = messages - 1",
    "DELETE FROM taf.messages WHERE id = $1",
)
POST = (
    "UPDATE taf.threads SET revision = revision + 1, messages = messages + 1",
    "INSERT INTO taf.messages (thread, kind, run_id, at, body) SELECT thread, kind, 'c', at, body FROM taf.messages"
    " WHERE id = $1",
)


@pytest.mark.parametrize(("meanwhile", "left"), [(WITHDRAW, ["b"]), (POST, ["b", "c"])], ids=["withdrawn", "posted"])
async def test_what_comes_while_a_commit_waits_for_the_row_is_counted(
    pg_dsn: str, meanwhile: tuple[str, str], left: list[str]
) -> None:
    async with PgCheckpointer(pg_dsn) as store:
        owner = await Owner.of(store)
        await owner.step()
        first, _ = [await store.post(KEY, message(name)) or 0 for name in ("a", "b")]

        database = await asyncpg.connect(pg_dsn)
        async with database.transaction():
            update, change = meanwhile
            await database.execute(update)
            await database.execute(change, first)
            commit = asyncio.ensure_future(owner.step(taken=Taken([first], None)))
            while not await waits_for_a_lock(pg_dsn):
                await asyncio.sleep(0.01)
        await commit
        await database.close()

        assert await names(store) == left


async def waits_for_a_lock(pg_dsn: str) -> bool:
    connection = await asyncpg.connect(pg_dsn)
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    finally:
        await connection.close()


async def test_a_count_that_is_too_high_is_right_again_with_the_next_message_taken(pg_dsn: str) -> None:
    async with PgCheckpointer(pg_dsn) as store:
        owner = await Owner.of(store)
        await owner.step()
        first = await store.post(KEY, message("a")) or 0
        database = await asyncpg.connect(pg_dsn)
        await database.execute("UPDATE taf.threads SET messages = messages + 1")
        await database.close()

        await owner.step(taken=Taken([first], None))

        assert await store.threads(listing=Listing(has_mail=True)) == []
