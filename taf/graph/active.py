"""A run while it is under way, as its app holds it: to wait for it, from any loop or thread, and to stop it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from taf.events import Event
from taf.graph.config import RunConfig
from taf.graph.context import running_loop
from taf.graph.door import RUN_NAME
from taf.graph.engine import Engine
from taf.graph.intake import Call
from taf.graph.runtime import Runtime
from taf.graph.serving import Reader
from taf.graph.turn import OnBehalf, Turn
from taf.state.execution import ExecutionStatus
from taf.state.run import Run

Waiter = TypeVar("Waiter", concurrent.futures.Future[None], asyncio.Future[None])

_waiting = threading.Lock()
"""Held for the moment in which somebody begins to wait for a run, or a run tells those who do."""


class Board(Protocol):
    """Where it is known which runs are under way."""

    def begin(self, active: ActiveRun) -> None:
        """Make a run the one that is stopped and waited for on its thread."""
        ...

    def land(self, active: ActiveRun) -> None:
        """Forget a run that is over."""
        ...


class ActiveRun:
    """One run in a task of its own."""

    def __init__(
        self,
        runtime: Runtime,
        config: RunConfig,
        call: Call,
        *,
        board: Board,
        reader: Reader | None = None,
        create: bool = True,
        turn: Turn | OnBehalf | None = None,
    ) -> None:
        self.config, self.turn, self._reader = config, turn, reader
        self._runtime, self._board = runtime, board
        self.engine = self._engine()
        self.loop = self.engine.loop
        self.outcome: asyncio.Future[Run | None] = self.loop.create_future()
        self._waiters: tuple[concurrent.futures.Future[None] | asyncio.Future[None], ...] = ()
        self._has_landed = False
        self.task = self.loop.create_task(self._fly(call, create), name=f"{RUN_NAME} {config.run_id}")

    def _engine(self) -> Engine:
        return Engine(self._runtime, self.config, reader=self._reader, flight=self)

    async def _fly(self, call: Call, create: bool) -> None:
        try:
            if self.turn is not None:
                run = await self.turn.fly(self)
            else:
                ledger = await self.engine.acquired(call, self.config.thread_id, create=create)
                run = None if ledger is None else await self.engine.conduct(call, ledger)
        except asyncio.CancelledError as error:  # its loop ends: who waits in another thread gets how it was stopped
            is_stopped = self.engine.is_at_rest and self.engine.run.status is ExecutionStatus.STOPPED
            self.land(*((self.engine.run, None) if is_stopped else (None, error)))
            raise
        except BaseException as error:
            self.land(None, error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        else:
            self.land(run, None)

    def land(self, run: Run | None, error: BaseException | None) -> None:
        """See ``Landing``."""
        self._board.land(self)  # before anybody who waits for the run goes on
        if not self.outcome.done():
            if error is None:
                self.outcome.set_result(run)
            else:
                self.outcome.set_exception(_as_seen(error))
                self.outcome.exception()  # a run that nobody waits for is no warning: its error is on record
        self._tell_waiters()

    def _tell_waiters(self) -> None:
        with _waiting:
            self._has_landed, waiters = True, self._waiters
        for waiter in waiters:
            # It may be cancelled, or of a loop that is closed.
            with contextlib.suppress(concurrent.futures.InvalidStateError, asyncio.InvalidStateError, RuntimeError):
                waiter.set_result(None)

    @property
    def is_silent(self) -> bool:
        """True when nobody is told what the run does."""
        return self._reader is None and self._runtime.bus.is_silent

    def new_engine(self) -> Engine:
        """Return an engine for one attempt: the thread is taken."""
        self.engine = self._engine()
        self._board.begin(self)
        return self.engine

    def tell(self, events: Sequence[Event], run: Run) -> None:
        """Tell the reader of events of a run that somebody else drives."""
        if self._reader is not None:
            self._reader(events, run)

    async def result(self) -> Run | None:
        """Wait for the run. When the one who waits is cancelled, the run is stopped."""
        try:
            run = await self.outcome
        except asyncio.CancelledError:
            if not self.outcome.done() or self.outcome.cancelled():
                self.break_off("the caller was cancelled")
                await self.until_landed()
            raise
        except BaseException:
            await self._runtime.bus.settle()
            raise
        if not self._runtime.bus.is_silent:
            await self._runtime.bus.settle()
        return run

    @property
    def ended(self) -> Run | None:
        """How the run rests, once that is on record: None before, and for one that failed."""
        outcome = self.outcome
        is_known = outcome.done() and not outcome.cancelled() and outcome.exception() is None
        return outcome.result() if is_known else None

    async def until_landed(self) -> None:
        """Wait until the run is over, though this is cancelled meanwhile."""
        while not self._has_landed:
            with contextlib.suppress(asyncio.CancelledError):
                await self.landing()

    async def has_landed_within(self, seconds: float) -> bool:
        """Wait for the end of the run, from any loop; say whether it came in time."""
        for _ in range(2):  # most are over by then, and whoever waits for the run goes on first
            await asyncio.sleep(0)
        if not self._has_landed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.landing()
        return self._has_landed

    def landing(self) -> asyncio.Future[None]:
        """Return a future of the running loop, whichever it is, that is done when the run is."""
        if running_loop() is not self.loop:
            return asyncio.wrap_future(self.landed())
        return self._told_of_the_end(self.loop.create_future())

    def landed(self) -> concurrent.futures.Future[None]:
        """Return a future that is done when the run is; to be waited for in any OS thread."""
        return self._told_of_the_end(concurrent.futures.Future())

    def _told_of_the_end(self, waiter: Waiter) -> Waiter:
        with _waiting:
            if not self._has_landed:
                self._waiters += (waiter,)
                return waiter
        waiter.set_result(None)
        return waiter

    @property
    def is_waiting(self) -> bool:
        """True while its message waits for its turn."""
        has_begun = self.engine.has_thread and not self.engine.is_at_rest
        return self.turn is not None and self.turn.is_waiting and not has_begun

    @property
    def is_taking(self) -> bool:
        """True while its message asks for the thread."""
        return isinstance(self.turn, Turn) and self.turn.is_taking and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """True when its loop was closed before it was over: it will never go on."""
        return self.loop.is_closed() and not self._has_landed

    def give_up(self) -> None:
        """Free the thread of a run that is lost."""
        self.engine.give_up()
        self._board.land(self)
        self._tell_waiters()

    def leave(self) -> None:
        """Stop the run, as its reader in another OS thread reads no more, and wait until it is over."""
        if not self._has_landed:
            self.request_stop("the reader of the stream left", withdraws=True)
            if running_loop() is not self.loop:  # it is, where the garbage collector ends the reader
                self.landed().result()

    def break_off(self, reason: str, *, withdraws: bool = True) -> None:
        """Stop the run, from its own loop. A message that still waits is withdrawn, or (False) left to others."""
        if self.turn is not None and self.is_waiting:
            self.turn.leave(reason, withdraws=withdraws)
        else:
            self.engine.request_stop(reason)

    def request_stop(self, reason: str, *, withdraws: bool = False) -> None:
        """Stop the run, from any loop or thread. See ``break_off``."""
        self._have_done(partial(self.break_off, reason, withdraws=withdraws))

    def forestall(self, reason: str) -> None:
        """Stop the run if its message is about to take the thread, from any loop or thread; otherwise it waits on."""
        if isinstance(self.turn, Turn):
            self._have_done(partial(self.turn.forestall, reason))

    def _have_done(self, what: Callable[[], None]) -> None:
        if running_loop() is self.loop:
            what()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the run with it
            self.loop.call_soon_threadsafe(what)


PATIENCE_SECONDS = 10.0
"""How long to wait for a loop that does not answer."""


def _as_seen(error: BaseException) -> BaseException:
    """Return an error that a future takes."""
    return RuntimeError(str(error)) if isinstance(error, StopIteration) else error
