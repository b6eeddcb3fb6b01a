"""One OS thread with an event loop and a pool of connections, which works for any number of event loops and threads.

What fails on the way is tried again while there is time: a piece of work is told the how many-th attempt it is, and
has to find out itself whether an earlier one was made. Its outcome is told to whoever waits, cancelled or not. The
first attempt is made in the caller's own event loop where that has a connection at hand.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import asyncpg

from taf.checkpointer.outcome import tell
from taf.checkpointer.postgres_connections import Connections, Settings, close
from taf.checkpointer.postgres_loops import LoopConnections
from taf.checkpointer.postgres_schema import migrate
from taf.checkpointer.postgres_work import LOST, Call, Kind, Piece, Work, leaves_whole
from taf.errors import CheckpointerClosedError, StoreUnavailableError

T = TypeVar("T")

_UNPREPARED = (asyncpg.exceptions.InvalidSQLStatementNameError, asyncpg.exceptions.DuplicatePreparedStatementError)
_POOLER = "There is a pooler in between: pass statement_cache_size=0, and direct_dsn= past it."


class Session(Protocol):
    """What runs in the thread from its beginning to its end."""

    @property
    def is_ready(self) -> bool:
        """True once it has begun; no piece of work may be done elsewhere before."""
        ...

    async def keep(self) -> None:
        """Go on until it is cancelled."""


class Service:
    """The thread. It starts with the first piece of work, and ends at ``stop``."""

    def __init__(self, settings: Settings, tables: dict[str, str], schema: str, session: Session) -> None:
        self.settings, self._tables, self._schema, self._session = settings, tables, schema, session
        # Reentrant: a store that was forgotten is stopped wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._calls: list[Callable[[], None]] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self._loops = LoopConnections(settings, lambda: self._connections is not None and session.is_ready, self._take)
        # Only the thread changes these.
        self._connections: Connections | None = None
        self._opening: asyncio.Lock | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- from any thread ---------------------------------------------------------------------------

    async def run(self, what: str, work: Work[T], after: Callable[[T], None] | None = None) -> T:
        """Have work done, ``after`` it what follows from its result, and return the result."""
        return await self.have_done(Call(what, asyncio.get_running_loop(), work, after))

    def have_done(self, piece: Piece[T]) -> Coroutine[Any, Any, T]:
        """Have a piece of work done, and return what waits for its outcome."""
        if not self.begin_here(piece):
            self.call(lambda: self.begin(self.do(piece)))
        return piece.wait()

    def begin_here(self, piece: Piece[Any], kind: Kind | None = None) -> bool:
        """Have a piece of work done in the caller's event loop; False when it has to be done by the thread."""
        return self._loops.begin(piece, kind)

    def _take(self, piece: Piece[Any], first: int) -> None:
        """Do a piece of work of an event loop's, of which so many attempts were made there."""
        self.call(lambda: self.begin(self.do(piece, first=first)))

    def post(self, work: Work[Any]) -> None:
        """Have work done without waiting for it, and without learning whether it succeeded."""
        piece = Call("", None, work)
        with suppress(CheckpointerClosedError):
            self.call(lambda: self.begin(self.do(piece)))

    @property
    def is_here(self) -> bool:
        """True in the thread itself."""
        return threading.current_thread() is self._thread

    def call(self, call: Callable[[], None]) -> None:
        """Have something called in the thread."""
        # Under the lock, so that nothing comes behind the end.
        with self._lock:
            if self._is_closed:
                raise CheckpointerClosedError
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._main, args=(self.loop,), name="taf-postgres", daemon=True)
                self._thread.start()
            self._calls.append(call)
            if len(self._calls) == 1:  # to wake the thread costs more than most calls
                self.loop.call_soon_threadsafe(self._do_calls)

    def _do_calls(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def stop(self, farewell: Callable[[], Awaitable[None]], patience: float | None = None) -> None:
        """Take no more work, do what waits, and close all connections. Wait for it, at most for so many seconds."""
        self._loops.close()
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            loop, thread = self.loop, self._thread
            if loop is None or thread is None:
                return
            self._calls.append(lambda: self.begin(self._end(farewell)))
            loop.call_soon_threadsafe(self._do_calls)
        if thread is not threading.current_thread():
            thread.join(patience)

    # -- in the thread -----------------------------------------------------------------------------

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(_unless_left_behind)
        self._opening = asyncio.Lock()
        session = loop.create_task(self._session.keep())
        try:
            loop.run_forever()
        finally:
            session.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(session)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside whatever else is being done."""
        assert self.loop is not None
        task: asyncio.Task[None] = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, farewell: Callable[[], Awaitable[None]]) -> None:
        assert self.loop is not None
        others = self._tasks - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
        with suppress(Exception):
            async with asyncio.timeout(self.settings.attempt_seconds):
                await farewell()
        if self._connections is not None:
            await self._connections.close(2.0)
        self.loop.stop()

    async def do(self, piece: Piece[T], *, first: int = 0) -> None:
        """Do a piece of work. ``first``: how many attempts were made before, by others than this."""
        try:
            result = await self.attempt(piece.work, first=first)
        except Exception as error:
            piece.failed(error)
        else:
            piece.succeeded(result)
        tell([piece])

    async def attempt(self, work: Work[T], *, first: int = 0) -> T:
        """Do a piece of work, again and again while the server cannot be reached. Raise what is left in the end."""
        assert self.loop is not None
        patience = self.settings.patience - (self.settings.attempt_seconds if first else 0.0)
        deadline, pause, number = self.loop.time() + patience, 0.02, first
        while True:
            try:
                return await self.once(work, number)
            except _UNPREPARED as error:
                raise StoreUnavailableError("use the connection", f"{error} {_POOLER}") from error
            except (asyncpg.exceptions.DiskFullError, asyncpg.exceptions.InvalidAuthorizationSpecificationError):
                raise
            except LOST:
                if self._is_closed or self.loop.time() + pause > deadline:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause, number = min(pause * 2, 0.5), number + 1

    async def once(self, work: Work[T], number: int) -> T:
        """Make one attempt, the one of that number."""
        async with asyncio.timeout(self.settings.attempt_seconds):
            return await self._attempt(work, number)

    async def _attempt(self, work: Work[T], number: int) -> T:
        connections = self._connections or await self.open()
        connection = await connections.take()
        try:
            if not self.settings.is_pooled:
                return await work(connection, number)
            async with connection.transaction():
                return await work(connection, number)
        except BaseException as error:
            if not leaves_whole(error):
                connection.terminate()
            raise
        finally:
            await connections.give_back(connection)

    async def open(self) -> Connections:
        """Return the connections. At first, make the tables where they are missing."""
        assert self._opening is not None
        async with self._opening:
            if self._connections is None:
                direct = await self.settings.connect(self.settings.direct_dsn or self.settings.dsn)
                try:
                    await migrate(direct, self._tables, self._schema)
                finally:
                    await close(direct)
                size = self.settings.pool_size - self.settings.loop_connections
                pool = await asyncpg.create_pool(
                    self.settings.dsn,
                    min_size=0,
                    max_size=size,
                    init=self.settings.configure,
                    reset=_nothing,
                    timeout=self.settings.attempt_seconds,
                    command_timeout=self.settings.attempt_seconds,
                    statement_cache_size=self.settings.statement_cache_size,
                )
                if not self.settings.is_pooled:
                    await self._refuse_pooler(pool)
                self._connections = Connections(pool, size)
            return self._connections

    async def _refuse_pooler(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        """Raise behind a pooler: another client's prepared statement may have the name of one of ours."""
        async with pool.acquire() as connection:
            if connection.get_server_pid() != await connection.fetchval("SELECT pg_backend_pid()"):
                pool.terminate()
                raise StoreUnavailableError("use the connection", _POOLER)


def _unless_left_behind(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say what is wrong, but for a future that the driver leaves behind when it is cancelled as it connects."""
    if not isinstance(context.get("exception"), ConnectionError) or isinstance(context.get("future"), asyncio.Task):
        loop.default_exception_handler(context)


async def _nothing(_: Any) -> None:
    """No statement leaves anything behind in a session, so nothing has to be reset."""
