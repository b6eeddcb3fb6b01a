"""What Postgres keeps of a thread grows with what its steps change; one that is paused costs nobody anything."""

from __future__ import annotations

import gc
import threading
from typing import Any

import asyncpg

from taf import AgentState, PgCheckpointer, StateGraph
from taf.checkpointer.base import Listing
from tests.crash.test_storage import CONFIG, ITEM, STEPS, growing

PAUSED, POOL = 300, 10


async def asked(dsn: str, query: str) -> Any:
    """Ask the server for one value."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def stored_bytes(dsn: str) -> int:
    """Return what the store's tables take, with their indexes and what is kept beside them."""
    return int(
        await asked(
            dsn,
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'taf'::regnamespace",
        )
    )


async def test_a_list_that_grows_takes_less_than_three_times_its_size(pg_dsn: str) -> None:
    async with PgCheckpointer(pg_dsn) as store, growing().compile(store) as app:
        done = await app.ainvoke({}, CONFIG)
        assert (len(done.state.items), done.step) == (STEPS, STEPS)
    assert await stored_bytes(pg_dsn) < 3 * STEPS * ITEM


async def test_a_commit_moves_no_index_of_the_threads(pg_dsn: str) -> None:
    async with PgCheckpointer(pg_dsn) as store, growing().compile(store) as app:
        await app.ainvoke({}, CONFIG)
    connection = await asyncpg.connect(pg_dsn)
    await connection.execute("SELECT pg_stat_force_next_flush()")
    found = await connection.fetchrow(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_all_tables WHERE relname = 'threads'"
    )
    await connection.close()
    assert found is not None
    assert found["n_tup_upd"] >= STEPS
    assert found["n_tup_hot_upd"] >= 0.9 * found["n_tup_upd"]


async def test_threads_that_are_paused_cost_a_process_nothing(pg_dsn: str) -> None:
    async def publish(state: AgentState) -> None:
        pass

    graph = StateGraph().add_node("publish", publish)
    async with PgCheckpointer(pg_dsn) as store, graph.compile(store, interrupt_before=["publish"]) as app:
        for number in range(PAUSED):
            await app.ainvoke({}, {"thread_id": f"{number:04}"})
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )

    async with PgCheckpointer(pg_dsn) as store, graph.compile(store, interrupt_before=["publish"]) as app:
        await app.ainvoke({}, {"thread_id": "warm"})
        before = (gc.collect(), threading.active_count(), len(gc.get_objects()))
        assert len(await store.threads(listing=Listing(("interrupted_before",)), limit=PAUSED + 9)) == PAUSED + 1
        assert (await app.ainvoke(None, {"thread_id": f"{PAUSED // 2:04}"})).status == "completed"
        gc.collect()

        assert threading.active_count() == before[1]
        assert len(gc.get_objects()) - before[2] < PAUSED
        assert int(await asked(pg_dsn, query)) <= POOL + 1
