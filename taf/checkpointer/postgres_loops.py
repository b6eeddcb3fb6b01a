"""The connections of callers' own event loops: what comes one after another need not pass through another OS thread.

A loop gets one when it has asked for a while, and loses it when it asks no more. What comes while it is in use waits,
and goes together; what cannot is done by the service, and so is what fails here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any

from taf.checkpointer.postgres_connections import Direct, Settings, close
from taf.checkpointer.postgres_work import MOST, Alone, Kind, Piece, leaves_whole, were_done, were_not_done
from taf.errors import CheckpointerClosedError, TafError

WARM = 10
"""How many pieces of work a loop has asked for when it gets a connection."""

UNUSED_SECONDS = 60.0
"""How often a connection that nobody has used since is closed."""

TICK_SECONDS = 0.025
"""How often a connection in use is looked at. A loop that is too busy to look loses no time by that."""

LATE_TICKS = 4
"""After how many looks nothing waits any more behind a statement, which others may hold up."""


class LoopConnections:
    """One for each event loop, while there are few. ``may_open`` says whether the service has found its server."""

    def __init__(self, settings: Settings, may_open: Callable[[], bool], take: Alone) -> None:
        self._settings, self._may_open, self._take = settings, may_open, take
        self._lock = threading.Lock()
        self._of: dict[asyncio.AbstractEventLoop, LoopConnection] = {}
        self._most = settings.loop_connections

    def begin(self, piece: Piece[Any], kind: Kind | None) -> bool:
        """Have a piece of work done in its caller's loop, which is running here; False when it cannot be done there."""
        loop = piece.loop
        own = None if loop is None else self._of.get(loop) or self._add(loop)
        return own is not None and own.begin(piece, kind)

    def _add(self, loop: asyncio.AbstractEventLoop) -> LoopConnection | None:
        with self._lock:
            for other in [other for other in self._of if other.is_closed()]:
                self._of.pop(other).end()
            if len(self._of) >= self._most:
                return None
            self._of[loop] = LoopConnection(loop, self._settings, self._may_open, self._take)
            return self._of[loop]

    def close(self) -> None:
        """Close all. What is under way is handed to the service, so that it is known what came of it."""
        with self._lock:
            self._most, own = 0, list(self._of.values())
            self._of.clear()
        for one in own:
            one.end()


class LoopConnection:
    """The connection of one event loop. All but ``end`` is called in that loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, settings: Settings, may_open: Callable[[], bool], take: Alone
    ) -> None:
        self._loop, self._settings, self._may_open, self._take = loop, settings, may_open, take
        # Reentrant: a store that was forgotten is closed wherever the garbage collector finds it.
        self._lock = threading.RLock()
        self._under_way: Sequence[Piece[Any]] = ()
        self._waiting: dict[Kind, list[Piece[Any]]] = {}
        self._tick: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._in_use: Direct | None = None
        self._connection: Direct | None = None
        self._keeper: AsyncGenerator[None, None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._asked = self._swept = 0
        self._is_over = False

    # -- work --------------------------------------------------------------------------------------

    def begin(self, piece: Piece[Any], kind: Kind | None) -> bool:
        """Begin a piece of work, or let it wait; False while there is no connection, or none that it may wait for."""
        self._asked += 1
        connection = self._connection
        if connection is None:
            if self._asked >= WARM and self._task is None and self._may_open():
                self._start(self._open())
            return False
        with self._lock:
            if self._is_over:
                return False
            if self._under_way:
                if kind is None or self._ticks >= LATE_TICKS:
                    return False
                self._waiting.setdefault(kind, []).append(piece)
                return True
            if connection.is_closed():
                self._close()
                return False
            self._under_way = (piece,)
        self._drive(self._do(connection, self._under_way, None))
        return True

    def _drive(self, work: Coroutine[asyncio.Future[Any] | None, None, None]) -> None:
        # Not as a task: the end of a loop cancels those, and nobody would know what was written.
        def go_on(_: object = None) -> None:
            try:
                awaited = work.send(None)
            except StopIteration:
                return
            if awaited is None:
                self._loop.call_soon(go_on)
            else:
                awaited.add_done_callback(go_on)

        go_on()

    async def _do(self, connection: Direct, pieces: Sequence[Piece[Any]], kind: Kind | None) -> None:
        self._in_use, self._ticks = connection, 0
        if self._tick is None:
            self._tick = self._loop.call_later(TICK_SECONDS, self._look)
        try:
            if kind is None:
                results: Sequence[Any] = (await pieces[0].work(connection, 0),)
            else:
                results = await kind.together(connection, pieces)
        except BaseException as error:
            if not leaves_whole(error):
                _terminate(connection)
            if self._get_back(pieces):
                self._failed(pieces, error)
            if not isinstance(error, (Exception, asyncio.CancelledError)):
                raise
        else:
            if self._get_back(pieces):
                self._succeeded(pieces, results)
        finally:
            if self._waiting:
                self._go_on(connection)

    def _succeeded(self, pieces: Sequence[Piece[Any]], results: Sequence[Any]) -> None:
        for piece in were_done(pieces, results, self._hand_over):
            piece.wake()

    def _failed(self, pieces: Sequence[Piece[Any]], error: BaseException) -> None:
        if isinstance(error, TafError) and len(pieces) == 1:
            _fail(pieces[0], error)
        else:
            were_not_done(pieces, self._hand_over)

    def _look(self) -> None:
        # The driver's own timer is one for each statement, and opens another connection to cancel by.
        self._tick, self._ticks = None, self._ticks + 1
        if not self._under_way or self._in_use is None:
            return
        if self._ticks >= LATE_TICKS:
            self._let_nobody_wait()
        if self._ticks * TICK_SECONDS >= self._settings.attempt_seconds:
            self._in_use.terminate()
        else:
            self._tick = self._loop.call_later(TICK_SECONDS, self._look)

    def _get_back(self, pieces: Sequence[Piece[Any]]) -> bool:
        """Take pieces of work that have ended; False when they were handed to the service meanwhile."""
        with self._lock:
            are_here, self._under_way = self._under_way is pieces, ()
            return are_here

    def _go_on(self, connection: Direct) -> None:
        """Do together what came meanwhile, the kind that has waited longest first."""
        if connection.is_closed():
            self._let_nobody_wait()
        with self._lock:
            kind = None if self._under_way else next(iter(self._waiting), None)
            waiting = [] if kind is None else self._waiting.pop(kind, [])
            if kind is None or not waiting:
                return
            if waiting[MOST:]:
                self._waiting[kind] = waiting[MOST:]
            self._under_way = pieces = waiting[:MOST]
        self._drive(self._do(connection, pieces, kind if len(pieces) > 1 else None))

    def _let_nobody_wait(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for kind, pieces in waiting.items():
            try:
                kind.take(pieces)
            except CheckpointerClosedError as error:
                for piece in pieces:
                    _fail(piece, error)

    def _hand_over(self, piece: Piece[Any], attempts: int) -> None:
        try:
            self._take(piece, attempts)
        except CheckpointerClosedError as error:
            _fail(piece, error)

    # -- the connection ----------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # In no context: nothing of the run that happened to ask is kept alive by a connection.
        self._task = self._loop.create_task(work, context=Context())

    async def _open(self) -> None:
        try:
            connection = await self._settings.connect(self._settings.dsn, times_out=False)
        except Exception:
            return  # the service does the work, or says why it cannot be done
        finally:
            self._task, self._asked = None, 0
        self._connection, self._keeper = connection, self._keep(connection)
        await anext(self._keeper)
        self._sweep = self._loop.call_later(UNUSED_SECONDS, self._close_unused)
        if self._is_over:
            self._close()

    async def _keep(self, connection: Direct) -> AsyncGenerator[None, None]:
        """Close a connection with its loop, whose last act is to end all asynchronous generators."""
        try:
            yield
        finally:
            self._connection = None
            await close(connection)

    def _close_unused(self) -> None:
        is_used, self._swept = bool(self._under_way) or self._asked != self._swept, self._asked
        if is_used:
            self._sweep = self._loop.call_later(UNUSED_SECONDS, self._close_unused)
        else:
            self._close()

    def _close(self) -> None:
        self._connection, keeper, self._keeper = None, self._keeper, None
        if self._sweep is not None:
            self._sweep.cancel()
        if keeper is not None:
            self._start(self._end_keeper(keeper))

    async def _end_keeper(self, keeper: AsyncGenerator[None, None]) -> None:
        try:
            await keeper.aclose()
        finally:
            self._task, self._asked = None, 0

    def end(self) -> None:
        """Close it for ever. Called by any thread."""
        with self._lock:
            self._is_over = True
            under_way, self._under_way = self._under_way, ()
        for piece in under_way:
            self._hand_over(piece, 1)
        self._let_nobody_wait()
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._close)


def _fail(piece: Piece[Any], error: TafError) -> None:
    piece.failed(error)
    piece.wake()


def _terminate(connection: Direct) -> None:
    with suppress(RuntimeError):  # the loop is closed
        connection.terminate()
