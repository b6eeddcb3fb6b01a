"""A run while it is under way, as its app holds it: to wait for it, from any loop or thread, and to stop it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading

from taf.graph.config import RunConfig
from taf.graph.engine import Engine, Reader
from taf.graph.intake import Call
from taf.graph.runtime import Runtime
from taf.state.run import Run


class ActiveRun:
    """One run in a task of its own."""

    def __init__(
        self, runtime: Runtime, config: RunConfig, call: Call, *, reader: Reader | None = None, create: bool = True
    ) -> None:
        self.config = config
        self.engine = Engine(runtime, config, reader=reader, on_detached=lambda run: self._land(run, None))
        self.loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[Run | None] = self.loop.create_future()
        self._lock = threading.Lock()
        self._waiters: list[concurrent.futures.Future[None]] = []
        self._has_landed = False
        self._runtime = runtime
        self.task = self.loop.create_task(self._fly(call, create), name=f"taf run {config.run_id}")

    async def _fly(self, call: Call, create: bool) -> None:
        try:
            run = await self.engine.execute(call, self.config.thread_id, create=create)
        except BaseException as error:
            self._land(None, error)
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise
        else:
            self._land(run, None)

    def _land(self, run: Run | None, error: BaseException | None) -> None:
        if not self.outcome.done():
            if error is None:
                self.outcome.set_result(run)
            else:
                self.outcome.set_exception(_as_seen(error))
                self.outcome.exception()  # a run that nobody waits for is no warning: its error is on record
        with self._lock:
            self._has_landed, waiters = True, self._waiters
        for waiter in waiters:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                waiter.set_result(None)

    async def result(self) -> Run | None:
        """Wait for the run. When the one who waits is cancelled, the run is stopped."""
        try:
            run = await self.outcome
        except asyncio.CancelledError:
            if not self.outcome.done() or self.outcome.cancelled():
                self.engine.request_stop("the caller was cancelled")
                await self.until_landed()
            raise
        if not self._runtime.bus.is_silent:
            await self._runtime.bus.settle()
        return run

    async def until_landed(self) -> None:
        """Wait until the run is over, though this is cancelled meanwhile."""
        while not self._has_landed:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wrap_future(self.landed())

    def landed(self) -> concurrent.futures.Future[None]:
        """Return a future that is done when the run is; to be waited for from any loop or thread."""
        waiter: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            if not self._has_landed:
                self._waiters.append(waiter)
                return waiter
        waiter.set_result(None)
        return waiter

    def request_stop(self, reason: str) -> None:
        """Stop the run, from any loop or thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the run with it
            self.loop.call_soon_threadsafe(self.engine.request_stop, reason)


def _as_seen(error: BaseException) -> BaseException:
    """Return an error that a future takes."""
    return RuntimeError(str(error)) if isinstance(error, StopIteration) else error
