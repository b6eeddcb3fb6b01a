"""How the server is reached; and the connections of a pool, kept at hand between pieces of work that follow each other.

To give one back to the pool and take it again costs more than most statements do. What was not needed for a while goes
back, so that the pool can close it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NamedTuple, TypeAlias

import asyncpg

Direct: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pooled: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Connection: TypeAlias = "Direct | Pooled"

SPARE_SECONDS = 5.0
"""How often connections that nobody uses go back to the pool."""

RELEASE_SECONDS = 1.0
"""How long the pool may take to have one back."""

MOST_LOOPS = 4
"""How many event loops may have a connection of their own."""


class Settings(NamedTuple):
    """How to reach the server. ``patience`` is how many seconds a piece of work is tried for."""

    dsn: str
    direct_dsn: str | None
    pool_size: int
    statement_cache_size: int
    patience: float

    @property
    def is_pooled(self) -> bool:
        """True behind a pooler in transaction mode, where no two statements need meet the same server process."""
        return self.statement_cache_size == 0

    @property
    def session_dsn(self) -> str | None:
        """Where a session of its own is to be had, for the life-lock and for notifications."""
        return self.direct_dsn or (None if self.is_pooled else self.dsn)

    @property
    def attempt_seconds(self) -> float:
        """How long one attempt may take, so that there is time for another."""
        return max(self.patience / 3, 0.05)

    @property
    def loop_connections(self) -> int:
        """How many of the connections may be lent to callers' event loops for good."""
        return 0 if self.is_pooled else min(self.pool_size // 2, MOST_LOOPS)

    async def connect(self, dsn: str, *, times_out: bool = True) -> Direct:
        """Open a connection beside the pool. ``times_out``: whether the driver bounds each statement."""
        connection = await asyncpg.connect(
            dsn,
            timeout=self.attempt_seconds,
            command_timeout=self.attempt_seconds if times_out else None,
            statement_cache_size=self.statement_cache_size,
        )
        try:
            async with asyncio.timeout(self.attempt_seconds):
                await self.configure(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def configure(self, connection: Connection) -> None:
        """Have each row found by its key, however small its table is now: plans are kept while the table grows."""
        if not self.is_pooled:  # there, no plan is kept
            await connection.execute("SET enable_seqscan = off; SET jit = off")


async def close(connection: Direct) -> None:
    """Close a connection, or drop it when that takes long."""
    try:
        await connection.close(timeout=1.0)
    except Exception:
        connection.terminate()


class Connections:
    """Lends connections to one event loop, never more than ``size`` at a time."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], size: int) -> None:
        self._pool, self._free = pool, asyncio.Semaphore(size)
        self._spare: list[Pooled] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._releasing: set[asyncio.Task[None]] = set()

    async def take(self) -> Pooled:
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

    async def give_back(self, connection: Pooled) -> None:
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

    async def _release(self, connection: Pooled) -> None:
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


def _is_open(connection: Pooled) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has it back already, since it was terminated
        return False
