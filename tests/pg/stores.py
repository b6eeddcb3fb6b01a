"""The fixture ``place`` with Postgres among the places, for the tests that take it from here.

They share one database. It is emptied for each of them by DELETE: at a handful of rows that takes a millisecond, where
TRUNCATE and a schema of one's own take twenty, and a database of one's own a hundred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taf.checkpointer import PgCheckpointer
from tests.pg.admin import Admin
from tests.pg.fixtures import GivenServer
from tests.pg.server import PostgresServer

_EMPTY = "; ".join(
    f"DELETE FROM taf.{table}" for table in ("threads", "journal", "snapshots", "interrupts", "messages")
)


async def _make_tables(dsn: str) -> None:
    async with PgCheckpointer(dsn) as store:
        await store.setup()


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer | GivenServer) -> Iterator[tuple[str, Admin]]:
    """A database with the store's tables, and who may empty them."""
    name = postgres_server.admin.create_database()
    dsn = postgres_server.dsn(name)
    with ThreadPoolExecutor(1) as pool:  # this thread's loop is the tests'
        pool.submit(asyncio.run, _make_tables(dsn)).result()
    admin = Admin(lambda: dsn)
    yield dsn, admin
    admin.close()
    postgres_server.admin.drop_database(name)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store keeps its threads; nowhere is in memory."""
    if request.param == "postgres":
        dsn, admin = request.getfixturevalue("shared_database")
        admin.execute(_EMPTY)
        return str(dsn)
    return str(tmp_path / "t.db") if request.param == "sqlite" else ""
