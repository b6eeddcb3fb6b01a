"""The proxy, seen by a bare driver: what it cuts, and when."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.pg.proxy import Action, Proxy, running_proxy

HANG = 20.0
"""Bounds what would otherwise hang; nothing is measured by it."""

LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


@asynccontextmanager
async def connected(dsn: str) -> AsyncGenerator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(dsn, timeout=HANG)
    try:
        yield connection
    finally:
        connection.terminate()


@pytest.fixture
async def marks(pg_dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection that does not go by the proxy, and a table ``marks``."""
    async with connected(pg_dsn) as direct:
        await direct.execute("CREATE TABLE marks (n int)")
        yield direct


async def count(direct: asyncpg.Connection[Any]) -> int:
    return int(await direct.fetchval("SELECT count(*) FROM marks"))


async def add(through: asyncpg.Connection[Any], *, prepared: bool = True) -> None:
    """Add a mark, by the extended protocol or by the simple one."""
    if prepared:
        await through.fetch("INSERT INTO marks VALUES ($1)", 1)
    else:
        await through.execute("INSERT INTO marks VALUES (1)")


async def test_everything_passes_while_nothing_is_ordered(pg_proxy: Proxy, marks: asyncpg.Connection[Any]) -> None:
    async with connected(pg_proxy.dsn) as through:
        rows = [(number,) for number in range(1000)]
        await through.copy_records_to_table("marks", records=rows)
        await through.executemany("INSERT INTO marks VALUES ($1)", rows)
        async with through.transaction():
            seen = [row["n"] async for row in through.cursor("SELECT n FROM marks ORDER BY n", prefetch=7)]
        assert seen == sorted([*range(1000)] * 2)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await through.fetch("SELECT 1 / 0")
        assert await through.fetchval("SELECT repeat('x', 1000000)") == "x" * 1_000_000
        heard: asyncio.Queue[object] = asyncio.Queue()

        def ring(*told: object) -> None:
            heard.put_nowait(told[-1])

        await through.add_listener("bell", ring)
        await marks.execute("NOTIFY bell, 'rung'")
        async with asyncio.timeout(HANG):
            assert await heard.get() == "rung"
    assert pg_proxy.cuts == 0


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(("action", "kept"), [("cut request", 0), ("cut answer", 1)])
async def test_a_cut_statement_is_lost_or_done_as_ordered(
    pg_proxy: Proxy, marks: asyncpg.Connection[Any], action: Action, kept: int, prepared: bool, resets: bool
) -> None:
    pg_proxy.resets = resets
    fault = pg_proxy.fault(action, "insert into")
    async with connected(pg_proxy.dsn) as through:
        with pytest.raises(LOST):
            await add(through, prepared=prepared)
    assert await count(marks) == kept
    assert (fault.hits, pg_proxy.cuts) == (1, 1)


@pytest.mark.parametrize(("action", "kept"), [("cut request", 0), ("cut answer", 1)])
async def test_a_cut_commit_is_lost_or_done_as_ordered(
    pg_proxy: Proxy, marks: asyncpg.Connection[Any], action: Action, kept: int
) -> None:
    pg_proxy.fault(action, "COMMIT")
    async with connected(pg_proxy.dsn) as through:
        with pytest.raises(LOST):
            async with through.transaction():
                await add(through)
    assert await count(marks) == kept


async def test_every_cut_answer_of_many_was_committed(pg_proxy: Proxy, marks: asyncpg.Connection[Any]) -> None:
    fault = pg_proxy.fault("cut answer", "insert", times=50)
    for _ in range(50):
        async with connected(pg_proxy.dsn) as through:
            with pytest.raises(LOST):
                await add(through)
    assert (await count(marks), fault.hits, pg_proxy.connections) == (50, 50, 50)


async def test_a_statement_prepared_earlier_is_hit_too(pg_proxy: Proxy, marks: asyncpg.Connection[Any]) -> None:
    async with connected(pg_proxy.dsn) as through:
        insert = await through.prepare("INSERT INTO marks VALUES ($1)")
        await insert.fetch(1)
        pg_proxy.fault("cut answer", "marks")
        with pytest.raises(LOST):
            await insert.fetch(2)
    assert await count(marks) == 2


async def test_skipped_statements_pass_and_so_do_those_after_the_last(
    pg_proxy: Proxy, marks: asyncpg.Connection[Any]
) -> None:
    fault = pg_proxy.fault("cut request", "insert", skip=2)
    async with connected(pg_proxy.dsn) as through:
        await add(through)
        await add(through)
        with pytest.raises(LOST):
            await add(through)
    async with connected(pg_proxy.dsn) as through:
        await add(through)
    assert (await count(marks), fault.hits) == (3, 1)


async def test_a_swallowed_answer_leaves_the_client_waiting(pg_proxy: Proxy, marks: asyncpg.Connection[Any]) -> None:
    fault = pg_proxy.fault("swallow answer", "insert")
    async with connected(pg_proxy.dsn) as through:
        waiting = asyncio.create_task(add(through))
        async with asyncio.timeout(HANG):
            while not fault.hits:
                await asyncio.sleep(0.001)
        assert not waiting.done()
        assert await count(marks) == 1
        through.terminate()
        with pytest.raises(LOST):
            await waiting


async def test_a_black_hole_answers_nobody_and_ends_when_told(pg_proxy: Proxy, pg_dsn: str) -> None:
    async with connected(pg_proxy.dsn) as before:
        pg_proxy.is_black_hole = True
        with pytest.raises(TimeoutError):
            await before.fetch("SELECT 1", timeout=0.05)
        with pytest.raises(TimeoutError):
            await asyncpg.connect(pg_proxy.dsn, timeout=0.05)
        pg_proxy.heal()
        async with connected(pg_proxy.dsn) as after:
            assert await after.fetchval("SELECT 1") == 1


async def test_latency_is_added_each_way(pg_proxy: Proxy) -> None:
    loop = asyncio.get_running_loop()
    async with connected(pg_proxy.dsn) as through:
        pg_proxy.latency = 0.05
        before = loop.time()
        await through.execute("SELECT 1")
        assert loop.time() - before >= 0.09


async def test_all_connections_can_be_cut_at_once(pg_proxy: Proxy) -> None:
    async with connected(pg_proxy.dsn) as one, connected(pg_proxy.dsn) as other:
        assert pg_proxy.open_links == 2
        assert pg_proxy.cut_all() == 2
        for through in (one, other):
            with pytest.raises(LOST):
                await through.execute("SELECT 1")


async def test_statements_are_counted_by_their_text(pg_proxy: Proxy, marks: asyncpg.Connection[Any]) -> None:
    async with connected(pg_proxy.dsn) as through:
        for _ in range(3):
            await add(through)
    assert pg_proxy.statements["INSERT INTO marks VALUES ($1)"] == 3


async def test_a_client_that_leaves_frees_its_backend(pg_proxy: Proxy, marks: asyncpg.Connection[Any]) -> None:
    async with connected(pg_proxy.dsn) as through:
        backend = through.get_server_pid()
    async with asyncio.timeout(HANG):
        while await marks.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", backend):
            await asyncio.sleep(0.005)


def test_a_proxy_that_ends_just_as_clients_come_leaves_none_open() -> None:
    """What is left open is told by a warning, which is an error here."""
    for _ in range(30):
        with running_proxy("postgresql://nobody@127.0.0.1:1/nothing") as proxy:
            clients = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(3)]
        for client in clients:
            client.close()
    gc.collect()
    assert proxy.open_links == 0
