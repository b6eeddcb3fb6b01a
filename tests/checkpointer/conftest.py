"""Stores that are tested in several ways."""

import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from taf.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer, SqliteCheckpointer, postgres_loops
from tests.checkpointer.watched_sqlite import Connection
from tests.pg.proxy import Proxy
from tests.places import open_store

pytest.register_assert_rewrite("taf.testing.store")


@pytest.fixture(params=["in the service", "in the loop"])
async def proxied(
    pg_proxy: Proxy, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PgCheckpointer]:
    """A store that reaches its server by way of the proxy, and where its work is done."""
    async with PgCheckpointer(pg_proxy.dsn) as store:
        await store.setup()
        if request.param == "in the loop":
            from tests.checkpointer.test_postgres_loops import own_process  # behind the rewriting of its asserts

            await own_process(store)
        else:
            monkeypatch.setattr(postgres_loops, "WARM", sys.maxsize)
        yield store


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The connections to SQLite that are opened, all of which are watched."""
    connect: Any = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Connection, **options))
    monkeypatch.setattr(Connection, "opened", [])
    return Connection.opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "threads.db"


@pytest.fixture
async def watched_sqlite(path: Path, connections: list[Connection]) -> AsyncIterator[SqliteCheckpointer]:
    """A store all of whose connections are watched."""
    async with SqliteCheckpointer(path) as store:
        yield store


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def inner(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseCheckpointer]:
    """A store of each kind, to be wrapped or looked into."""
    if request.param == "memory":
        store: BaseCheckpointer = InMemoryCheckpointer()
    else:
        place = tmp_path / "t.db" if request.param == "sqlite" else request.getfixturevalue("pg_dsn")
        store = open_store(str(place))
    async with store:
        yield store
