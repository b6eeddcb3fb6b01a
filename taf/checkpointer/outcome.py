"""What is done in another OS thread for whoever waits in an event loop.

Whoever waits learns the outcome, cancelled or not: a write is never in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, ClassVar, Generic, TypeVar

import anyio

from taf.errors import StoreUnavailableError

T = TypeVar("T")


class Outcome(Generic[T]):
    """A result that comes from another OS thread, or the error that came instead.

    ``what`` says what was to be done, ``loop`` is where somebody waits for it, if anybody does.
    """

    __slots__ = ("_is_done", "_waiter", "error", "loop", "result", "what")

    drivers: ClassVar[tuple[type[BaseException], ...]] = ()
    """The errors that are put into words of taf's own."""

    result: T

    def __init__(self, what: str, loop: asyncio.AbstractEventLoop | None) -> None:
        self.what, self.loop = what, loop
        self.error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_done = False

    def fail(self, error: BaseException) -> None:
        """Note why it was not done. The first reason counts."""
        if self.error is not None:
            return
        if isinstance(error, self.drivers) or not isinstance(error, Exception):
            self.error = StoreUnavailableError(self.what, error)
            self.error.__cause__ = error
        else:
            self.error = error

    def wake(self) -> None:
        """Tell whoever waits, in the event loop."""
        self._is_done = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> T:
        """Wait for the outcome. A caller that is cancelled meanwhile gets it too, and the cancellation after it."""
        try:
            if not self._is_done:
                await self._woken()
        except asyncio.CancelledError as error:
            await self._outlast(error)
        return self.outcome()

    def outcome(self) -> T:
        """Return the result of what is done, or raise the error that came instead."""
        if self.error is not None:
            raise self.error
        return self.result

    def _woken(self) -> asyncio.Future[None]:
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    async def _outlast(self, cancellation: asyncio.CancelledError) -> None:
        # A scope of anyio cancels at every turn of the loop until it is obeyed; the shield holds that off.
        with anyio.CancelScope(shield=True):
            while not self._is_done:
                with suppress(asyncio.CancelledError):
                    await self._woken()
        task = asyncio.current_task()
        if task is not None:
            # Raised anew at the next await. The count of requests stays as it is: asyncio.timeout reads it.
            task.cancel(*cancellation.args)
            task.uncancel()


def tell(outcomes: Iterable[Outcome[Any]]) -> None:
    """Wake all who wait for these, each in their event loop. Called from the thread that did the work."""
    waiting: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}
    for outcome in outcomes:
        if outcome.loop is not None:
            waiting.setdefault(outcome.loop, []).append(outcome.wake)
    for loop, wakes in waiting.items():
        # A loop that was closed meanwhile has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_call_all, wakes)


def _call_all(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()
