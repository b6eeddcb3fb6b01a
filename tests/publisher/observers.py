"""Publishers for tests of the bus: sync, async, slow, hung; and how to bring them events."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

from taf.publisher import BasePublisher, Bus, Event


class SyncPublisher(BasePublisher):
    """Collects in a worker thread; may be slow."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.got: list[int] = []
        self.threads: set[threading.Thread] = set()
        self.ends = 0

    def publish(self, event: Event) -> None:
        self.threads.add(threading.current_thread())
        time.sleep(self.seconds)
        self.got.append(event.sequence)

    def close(self) -> None:
        self.ends += 1


class AsyncPublisher(BasePublisher):
    """Collects on the loop; may be slow."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.got: list[int] = []
        self.ends = 0

    async def publish(self, event: Event) -> None:
        await asyncio.sleep(self.seconds)
        self.got.append(event.sequence)

    async def aclose(self) -> None:
        self.ends += 1


class Hung(SyncPublisher):
    """Stays in its first event until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun, self.is_free = threading.Event(), threading.Event()

    def publish(self, event: Event) -> None:
        self.has_begun.set()
        self.is_free.wait()
        super().publish(event)


class AsyncHung(AsyncPublisher):
    was_cancelled = False

    async def publish(self, event: Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.was_cancelled = True


async def deliver(bus: Bus, *parts: list[Event]) -> None:
    """Publish each part and wait for it; end the bus."""
    for events in parts:
        bus.publish(events)
        await bus.settle()
    await bus.aclose()


HOUR = 3600.0
"""For how long nobody waits."""


async def is_soon_over(wait: Coroutine[Any, Any, None]) -> None:
    """Await what waits for nobody: it comes to its end within a few turns of the loop."""
    task = asyncio.create_task(wait)
    for _ in range(5):
        await asyncio.sleep(0)
    assert task.done()
    await task


def numbers(last: int) -> list[int]:
    return list(range(1, last + 1))
