"""Orders for a server: make a database, drop it, cut connections. Sync, and at home in a running loop too."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

T = TypeVar("T")
PATIENCE = 60.0  # seconds for one order


class Admin:
    """A connection to the server that ``address()`` names, on a thread with a loop of its own; opened when used."""

    def __init__(self, address: Callable[[], str]) -> None:
        self._address = address
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connection: asyncpg.Connection[Any] | None = None

    def create_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"taf_test_{uuid.uuid4().hex[:16]}"
        # template0: nobody is ever connected to it, and connections to a template are in the way of a copy.
        self._order(lambda c: c.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, with whoever is still connected to it."""
        self._order(lambda c: c.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def terminate_backends(self, database: str | None = None) -> int:
        """Cut every client's connection but this one, and return how many there were."""
        query = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND ($1::text IS NULL OR datname = $1)
        """
        return int(self._order(lambda c: c.fetchval(query, database)))

    def execute(self, statements: str) -> None:
        """Give any order, of one statement or several."""
        self._order(lambda c: c.execute(statements))

    def fetch_value(self, query: str) -> Any:
        """Return the one value that a query leads to."""
        return self._order(lambda c: c.fetchval(query))

    def close(self) -> None:
        """Close the connection and end the thread."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def _order(self, order: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="taf-test-postgres", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._give(order), self._loop).result(PATIENCE)

    async def _give(self, order: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
        if self._connection is not None:
            try:
                await self._connection.execute("SELECT 1")  # the server may have been restarted since
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self._connection.terminate()
                self._connection = None
        if self._connection is None:
            self._connection = await asyncpg.connect(self._address(), timeout=PATIENCE)
        return await order(self._connection)

    async def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def with_database(dsn: str, database: str) -> str:
    """Return ``dsn`` with another database's name."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))
