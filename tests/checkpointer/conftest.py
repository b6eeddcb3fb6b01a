"""Stores that are tested in several ways."""

import sqlite3
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from taf.checkpointer import PgCheckpointer, postgres_loops
from tests.checkpointer.watched_sqlite import Connection
from tests.pg.proxy import Proxy

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
