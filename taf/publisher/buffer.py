"""What one publisher has still to be told, and who is telling it: the claim that moves between loops and threads.

Everything here happens under one lock and waits for nothing. What always holds: events leave at the front, in order;
one pump at most has the claim; an event stays at the front until its delivery is over, so that whoever comes next
finds it when it was cut off; a pump that lost its claim changes nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from enum import Enum

from taf.events import Event
from taf.tuples import NamedTuple


class Stage(Enum):
    """How far a pump is with the event at the front."""

    READY = "not begun"
    THREAD = "under way in a worker thread"
    LOOP = "awaited on the pump's loop"


class Parked(NamedTuple):
    """What a sync ``publish`` returned in a worker thread and has to be awaited on the loop."""

    event: Event
    rest: Awaitable[None]


class Pump:
    """One turn of delivering: the loop that it runs on, its task, and how far it is."""

    __slots__ = ("begun", "is_cancelled", "loop", "parked", "stage", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.task: asyncio.Task[None] | None = None
        self.stage = Stage.READY
        self.begun: float | None = None
        self.parked: Parked | None = None
        self.is_cancelled = False

    def may_be_replaced(self, loop: asyncio.AbstractEventLoop, *, steal: bool) -> bool:
        """True when its loop is gone; with ``steal`` also when it has not begun, as its loop may be blocked."""
        is_dead = self.loop is not loop and not self.loop.is_running()
        if self.stage is Stage.THREAD:
            # The thread outlives its loop. It lets go itself when the event that it is at is told.
            self.is_cancelled |= is_dead
            return False
        return is_dead or (steal and self.loop is not loop and self.stage is Stage.READY)


class Waiter:
    """Somebody who waits on ``loop`` until ``target`` events are over with."""

    __slots__ = ("future", "loop", "target")

    def __init__(self, target: int, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
        self.target, self.loop, self.future = target, loop, future

    def wake(self) -> None:
        """Callable from any thread."""
        with suppress(RuntimeError):  # its loop was closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Buffer:
    """The pending events of one publisher. ``done`` counts those that are over with, delivered or dropped."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.done = 0
        self.dropped = 0
        self.is_stuck = False
        self.is_closed = False
        self._pending: deque[tuple[Event, float]] = deque()
        self._pump: Pump | None = None
        self._waiters: list[Waiter] = []
        self._lock = threading.Lock()

    # -- coming in ---------------------------------------------------------------------------------

    def put(self, entries: Sequence[tuple[Event, float]]) -> bool:
        """Add events, each with the time of its coming; return whether there is room for more.

        Nothing is refused, since the caller waits for room, unless the publisher is stuck: then nobody waits.
        """
        with self._lock:
            if self.is_closed:
                return True
            if not self.is_stuck:
                self._pending.extend(entries)
                return len(self._pending) < self.size
            fitting = max(0, min(len(entries), self.size - len(self._pending)))
            self._pending.extend(entries[:fitting])
            self.dropped += len(entries) - fitting
            return True

    def is_served(self, loop: asyncio.AbstractEventLoop) -> bool:
        """True when a pump of this loop has the claim: a cheap look, for those who have just put something in."""
        pump = self._pump
        return pump is not None and pump.loop is loop

    # -- waiting -----------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """How many events are not over with."""
        return len(self._pending)

    @property
    def is_full(self) -> bool:
        """True when whoever publishes should wait. For a stuck publisher nobody should."""
        return len(self._pending) >= self.size and not self.is_stuck

    def goal(self) -> tuple[int, int, float]:
        """Return ``done`` as it is, what it will be when all that is pending is over, and the oldest one's age.

        The age is what the publisher had of it: it does not count from before somebody began to deliver, since a busy
        loop is no fault of a publisher.
        """
        with self._lock:
            age = 0.0
            if self._pending and self._pump is not None and self._pump.begun is not None:
                age = time.monotonic() - max(self._pump.begun, self._pending[0][1])
            return self.done, self.done + len(self._pending), age

    def watch(self, target: int, loop: asyncio.AbstractEventLoop, *, for_room: bool) -> Waiter | None:
        """Return what is woken when ``done`` has come to ``target``, or a pump is needed. None: no need to wait."""
        with self._lock:
            if self.done >= target or (for_room and self.is_stuck):
                return None
            waiter = Waiter(target, loop, loop.create_future())
            self._waiters.append(waiter)
            return waiter

    def unwatch(self, waiter: Waiter) -> None:
        """Forget a waiter."""
        with self._lock:
            self._waiters.remove(waiter)

    # -- the claim ---------------------------------------------------------------------------------

    def claim(self, loop: asyncio.AbstractEventLoop, *, steal: bool) -> tuple[Pump, Pump | None] | None:
        """Return a pump that has the claim now, and the one that lost it; None if there is nothing to claim."""
        with self._lock:
            old = self._pump
            if not self._pending or (old is not None and not old.may_be_replaced(loop, steal=steal)):
                return None
            self._pump = Pump(loop)
            return self._pump, old

    def has_claim(self, pump: Pump) -> bool:
        """True as long as this pump is the one that delivers."""
        return self._pump is pump

    def begin(self, pump: Pump, stage: Stage) -> Event | None:
        """Return the event at the front for delivery. None: the claim is lost, or given back as nothing is left."""
        with self._lock:
            if self._pump is not pump:
                return None
            if pump.is_cancelled or not self._pending:
                self._let_go()
                return None
            pump.stage = stage
            if pump.begun is None:
                pump.begun = time.monotonic()
            return self._pending[0][0]

    def park(self, pump: Pump, parked: Parked) -> bool:
        """Leave the rest of a delivery, begun in a thread, to the pump's loop; False if that cannot have it."""
        with self._lock:
            if self._pump is not pump:
                return False
            if pump.is_cancelled:
                self._let_go()
                return False
            pump.stage, pump.parked = Stage.LOOP, parked
            return True

    def unpark(self, pump: Pump) -> Parked | None:
        """Return what was parked to the first who asks: to be awaited by the pump, or dropped for it."""
        with self._lock:
            parked, pump.parked = pump.parked, None
            return parked

    def finish(self, pump: Pump) -> None:
        """The event that was begun is over with."""
        with self._lock:
            if self._pump is pump:
                self._pending.popleft()
                self.done += 1
                pump.stage = Stage.READY
                self._wake()

    def release(self, pump: Pump, *, has_failed: bool) -> None:
        """The pump's task has ended. Its thread, if it is in one, keeps the claim until its event is told."""
        with self._lock:
            if pump.stage is Stage.THREAD:
                pump.is_cancelled = True
            elif self._pump is pump and has_failed:
                self._pump = None  # and wake nobody: they would send the next pump into the same fault, and again
            elif self._pump is pump:
                self._let_go()

    # -- ends --------------------------------------------------------------------------------------

    def mark_stuck(self) -> None:
        """From now on nobody waits for room, and what does not fit is dropped."""
        with self._lock:
            self.is_stuck = True
            self._wake_all()

    def close(self) -> None:
        """Take nothing in any more."""
        with self._lock:
            self.is_closed = True

    def abandon(self) -> Pump | None:
        """Drop all that is pending; return the pump that lost its claim by it."""
        with self._lock:
            self.dropped += len(self._pending)
            self.done += len(self._pending)
            self._pending.clear()
            pump, self._pump = self._pump, None
            self._wake()
            return pump

    # -- with the lock held ------------------------------------------------------------------------

    def _let_go(self) -> None:
        self._pump = None
        if self._pending:
            self._wake_all()  # each of them may send a pump of its own loop

    def _wake(self) -> None:
        for waiter in self._waiters:
            if self.done >= waiter.target:
                waiter.wake()

    def _wake_all(self) -> None:
        for waiter in self._waiters:
            waiter.wake()
