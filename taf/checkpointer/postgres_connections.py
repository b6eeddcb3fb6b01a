"""The connections of a pool, kept at hand between pieces of work that follow each other.

To give one back to the pool and take it again costs more than most statements do. What was not needed for a while goes
back, so that the pool can close it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

SPARE_SECONDS = 5.0
"""How often connections that nobody uses go back to the pool."""

RELEASE_SECONDS = 1.0
"""How long the pool may take to have one back."""


class Connections:
    """Lends connections to one event loop, never more than ``size`` at a time."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], size: int) -> None:
        self._pool, self._free = pool, asyncio.Semaphore(size)
        self._spare: list[Connection] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._releasing: set[asyncio.Task[None]] = set()

    async def take(self) -> Connection:
        """Lend a connection. Wait until there is one."""
        await self._free.acquire()
        try:
            while self._spare:
                connection = self._spare.pop()
                if _is_open(connection):
                    return connection
                await self._release(connection)
            return await self._pool.acquire()
        except BaseException:
            self._free.release()
            raise

    async def give_back(self, connection: Connection) -> None:
        """Take a connection back."""
        try:
            if not _is_open(connection):
                await self._release(connection)
                return
            self._spare.append(connection)
            if self._sweep is None:
                self._sweep = asyncio.get_running_loop().call_later(SPARE_SECONDS, self._release_spare)
        finally:
            self._free.release()

    async def _release(self, connection: Connection) -> None:
        with suppress(Exception):  # the pool has closed it then
            await self._pool.release(connection, timeout=RELEASE_SECONDS)

    def _release_spare(self) -> None:
        self._sweep, spare, self._spare = None, self._spare, []
        for connection in spare:
            releasing = asyncio.get_running_loop().create_task(self._release(connection))
            self._releasing.add(releasing)
            releasing.add_done_callback(self._releasing.discard)

    async def close(self, seconds: float) -> None:
        """Close all connections, in so many seconds or by force."""
        if self._sweep is not None:
            self._sweep.cancel()
        self._release_spare()
        with suppress(Exception):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*self._releasing)
                await self._pool.close()
        self._pool.terminate()


def _is_open(connection: Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has it back already, since it was terminated
        return False
