"""Brings the events of one buffer to one publisher, from whatever loop is there to do it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import warnings
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from contextvars import Context
from functools import partial

import anyio.to_thread

from taf.events import Event
from taf.publisher.base import BasePublisher, describe, discard, name_of
from taf.publisher.buffer import Buffer, Parked, Pump, Stage

# An async publisher that never waits for anything gives way to the rest of the loop after so many events.
BATCH = 64


class Outlet:
    """One publisher of a bus, with its buffer and with what was said about it."""

    def __init__(self, publisher: BasePublisher, buffer_size: int, patience_seconds: float) -> None:
        self.publisher = publisher
        self.name = name_of(publisher)
        self.buffer = Buffer(buffer_size)
        self._patience = patience_seconds
        self._is_quick = inspect.iscoroutinefunction(publisher.publish) or not publisher.may_block
        self._has_failed = False
        self._is_ended = False

    # -- what the bus asks for ---------------------------------------------------------------------

    def offer(self, entries: Sequence[tuple[Event, float]], loop: asyncio.AbstractEventLoop | None) -> bool:
        """Take events in and see to it that they are delivered; return whether there is room for more."""
        has_room = self.buffer.put(entries)
        if loop is not None and not self.buffer.is_served(loop):
            self._start(loop)
        return has_room

    async def settle(self, seconds: float) -> None:
        """Wait until what is pending is delivered, or the oldest of it is so many seconds old."""
        _, target, age = self.buffer.goal()
        await self._reach(target, seconds - age)

    async def room(self) -> None:
        """Wait until the buffer has room. A publisher that moves on by no event meanwhile is stuck."""
        before, target, _ = self.buffer.goal()
        reached = await self._reach(target - self.buffer.size + 1, self._patience, for_room=True)
        if not reached and self.buffer.done == before:
            self._mark_stuck("Runs no longer wait for it, and events that do not fit its buffer are dropped.")

    async def drain(self) -> None:
        """Take nothing in any more, and wait until all that is pending is delivered or the publisher is stuck."""
        self.buffer.close()
        while True:
            before, target, _ = self.buffer.goal()
            if await self._reach(target, self._patience):
                return
            if self.buffer.done == before:
                self._mark_stuck(f"Not delivered at the end: {target - before}.")
                self._replace(self.buffer.abandon())
                return

    async def end(self) -> None:
        """Close the publisher, once. Only a stuck one is not waited for longer than its patience."""
        if self._is_ended:
            return
        self._is_ended = True
        try:
            async with asyncio.timeout(self._patience if self.buffer.is_stuck else None):
                await self.publisher.aclose()
        except Exception as error:
            self._report(error, "when it was closed")

    # -- the pump ----------------------------------------------------------------------------------

    def _start(self, loop: asyncio.AbstractEventLoop, *, steal: bool = False) -> None:
        """Send a pump if there is something to deliver and nobody is at it. ``loop`` is the one that runs here."""
        claimed = self.buffer.claim(loop, steal=steal)
        if claimed is not None:
            pump, old = claimed
            self._replace(old)
            # Not a task at once: a loop that is closed before its next turn drops a callback without a word. And an
            # empty context: the pump serves many runs, so it must not keep or show the variables of one.
            loop.call_soon(self._spawn, pump, context=Context())

    def _spawn(self, pump: Pump) -> None:
        if self.buffer.has_claim(pump):
            pump.task = pump.loop.create_task(self._run(pump), name=f"taf: events for {self.name}")
            pump.task.add_done_callback(partial(self._ended, pump))

    async def _run(self, pump: Pump) -> None:
        if self._is_quick:
            await self._run_here(pump)
            return
        # A limiter of its own: publishers neither wait for the threads of nodes nor take them away.
        limiter = anyio.CapacityLimiter(1)
        while self.buffer.has_claim(pump):
            await anyio.to_thread.run_sync(self._run_in_thread, pump, abandon_on_cancel=True, limiter=limiter)
            if (parked := self.buffer.unpark(pump)) is not None:
                await self._wait_for(parked.rest, parked.event)
                self.buffer.finish(pump)

    async def _run_here(self, pump: Pump) -> None:
        """Deliver until nothing is left."""
        count = 0
        while (event := self.buffer.begin(pump, Stage.LOOP)) is not None:
            rest = self._call(event)
            if rest is not None:
                await self._wait_for(rest, event)
            self.buffer.finish(pump)
            count += 1
            if count % BATCH == 0:
                await asyncio.sleep(0)

    def _run_in_thread(self, pump: Pump) -> None:
        """Deliver until nothing is left, or until something has to be awaited."""
        while (event := self.buffer.begin(pump, Stage.THREAD)) is not None:
            rest = self._call(event)
            if rest is not None:
                if not self.buffer.park(pump, Parked(event, rest)):
                    discard(rest)
                return
            self.buffer.finish(pump)

    def _call(self, event: Event) -> Awaitable[None] | None:
        try:
            result = self.publisher.publish(event)
            return result if result is not None and inspect.isawaitable(result) else None
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise  # meant for the program; in a worker thread nobody but the publisher can have raised it
            self._report(error, f'on "{event.event_type}"')
            return None

    async def _wait_for(self, rest: Awaitable[None], event: Event) -> None:
        try:
            await rest
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # it is the pump that is cancelled; otherwise something inside the publisher was
            self._report(error, f'on "{event.event_type}"')

    def _ended(self, pump: Pump, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._report(error, "outside of its publish")
        self.buffer.release(pump, has_failed=error is not None)
        self._drop_parked(pump)

    def _replace(self, old: Pump | None) -> None:
        """End what is left of a pump that lost its claim, should its loop ever run again."""
        if old is None:
            return
        self._drop_parked(old)
        if old.task is not None:
            with suppress(RuntimeError):  # the loop is closed
                old.loop.call_soon_threadsafe(old.task.cancel)

    def _drop_parked(self, pump: Pump) -> None:
        if (parked := self.buffer.unpark(pump)) is not None:
            discard(parked.rest)

    async def _reach(self, target: int, seconds: float, *, for_room: bool = False) -> bool:
        """Wait until so many events are over with, at most so long; deliver from this loop if nobody else does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (waiter := self.buffer.watch(target, loop, for_room=for_room)) is not None:
            try:
                # Begun or not, the claim may lie with a loop that is blocked by just this wait.
                self._start(loop, steal=True)
                left = deadline - loop.time()
                done = left > 0 and (await asyncio.wait([waiter.future], timeout=left))[0]
            finally:
                self.buffer.unwatch(waiter)
            if not done:
                return self.buffer.done >= target
        return True

    # -- what is said ------------------------------------------------------------------------------

    def _report(self, error: BaseException, when: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            _warn(f"{self.name} raised {describe(error)} {when}. It goes on getting events; this is said once.", error)

    def _mark_stuck(self, consequence: str) -> None:
        if not self.buffer.is_stuck:
            self.buffer.mark_stuck()
            _warn(f"{self.name} has taken no event for {self._patience:g} s. {consequence}")


def _warn(text: str, cause: BaseException | None = None) -> None:
    warning = RuntimeWarning(text)
    warning.__cause__ = cause
    try:
        warnings.warn(warning, stacklevel=2)
    except Exception:
        # A filter makes errors of warnings, and here is nobody to raise one to: it must not stop the pump.
        logging.getLogger("taf").error(text, exc_info=cause)
