"""The fan-out of one app: takes events from any loop and thread, and brings them to every publisher in order.

Nobody who publishes waits for a publisher until its buffer is full, and then for at most ``patience_seconds``. An idle
bus holds no task and no thread: a pump is sent by whoever publishes or waits, and ends when nothing is left. What a
pump leaves behind when its loop ends stays in the buffer for the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence

from taf.errors import ConfigError
from taf.events import Event
from taf.publisher.base import PublisherLike, as_publisher
from taf.publisher.outlet import Outlet


class Bus:
    """Brings events to publishers. Every method may be called from any loop; ``publish`` from any thread too."""

    def __init__(
        self,
        publishers: Iterable[PublisherLike],
        *,
        buffer_size: int = 1024,
        settle_seconds: float = 0.1,
        patience_seconds: float = 5.0,
    ) -> None:
        if buffer_size < 1 or settle_seconds < 0 or patience_seconds < 0:
            raise ConfigError("A bus needs a buffer_size of 1 or more, and seconds that are not negative.")
        self._buffer_size, self._patience_seconds = buffer_size, patience_seconds
        self._outlets = [Outlet(as_publisher(found), buffer_size, patience_seconds) for found in publishers]
        self._settle_seconds = settle_seconds
        self._is_closed = False

    @property
    def is_silent(self) -> bool:
        """True when nobody listens, so that events need not even be made."""
        return self._is_closed or not self._outlets

    @property
    def dropped(self) -> int:
        """How many events stuck publishers did not get, counted once for each of them."""
        return sum(outlet.buffer.dropped for outlet in self._outlets)

    def attach(self, found: PublisherLike) -> Listening:
        """Bring events to one more publisher from now on, until it is called off; it is not closed then.

        A run under way may not tell it anything: what a run tells is decided when it begins.
        """
        outlet = Outlet(as_publisher(found), self._buffer_size, self._patience_seconds)
        self._outlets = [*self._outlets, outlet]  # a new list: others may be going over the old one
        return Listening(self, outlet)

    def detach(self, outlet: Outlet) -> None:
        """Bring it nothing more, beside what is buffered for it."""
        self._outlets = [one for one in self._outlets if one is not outlet]

    def publish(self, events: Sequence[Event]) -> bool:
        """Hand over events, waiting for nothing. False: await ``room()`` before publishing more.

        Called where no loop runs, it only buffers: the next call on a loop delivers.
        """
        if self.is_silent or not events:
            return True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        now = time.monotonic()
        entries = [(event, now) for event in events]
        has_room = True
        for outlet in self._outlets:
            has_room &= outlet.offer(entries, loop)
        return has_room

    async def room(self) -> None:
        """Wait until every buffer has room, at most ``patience_seconds``.

        A publisher that took no event in all that time is reported, and is never waited for again.
        """
        await _together([outlet.room() for outlet in self._outlets if outlet.buffer.is_full])

    async def settle(self) -> None:
        """Wait until what is pending now is delivered, at most until the oldest of it is ``settle_seconds`` old.

        So events are told before the caller goes on, while a slow publisher costs next to nothing.
        """
        await _together([outlet.settle(self._settle_seconds) for outlet in self._outlets if outlet.buffer.pending])

    async def aclose(self) -> None:
        """Deliver all that is buffered, however long it takes, then close every publisher; publish nothing after.

        Only a publisher that takes no event for ``patience_seconds`` is given up; the worker thread that it hangs in
        cannot be ended, and keeps the interpreter until it returns. Cancelled, ``aclose`` can be called again.
        """
        self._is_closed = True
        await _together([outlet.drain() for outlet in self._outlets])
        for outlet in self._outlets:
            await outlet.end()


class Listening:
    """A publisher that came later. Called, it is told nothing more."""

    def __init__(self, bus: Bus, outlet: Outlet) -> None:
        self._bus, self._outlet = bus, outlet

    def __call__(self) -> None:
        self._bus.detach(self._outlet)

    async def settle(self, seconds: float = 0.1) -> None:
        """Wait until it has got what was told so far, at most until the oldest of it is so old."""
        if self._outlet.buffer.pending:
            await self._outlet.settle(seconds)


async def _together(waits: list[Coroutine[object, object, None]]) -> None:
    """Await what is mostly one, without a task for it."""
    if len(waits) == 1:
        await waits[0]
    elif waits:
        await asyncio.gather(*waits)
