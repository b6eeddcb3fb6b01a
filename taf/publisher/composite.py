"""Makes one publisher of several."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterable, Sequence
from typing import Any

from taf.events import Event
from taf.publisher.base import BasePublisher, PublisherLike, as_publisher, describe, discard, name_of


class CompositePublisher(BasePublisher):
    """Hands each event to its publishers in order; sync and async ones may be mixed.

    They share one buffer of the bus, and the slowest sets their pace; given to the bus one by one they would not.
    All of them are called, then what is to be awaited is awaited, in order too. One that fails keeps the event from
    none of the others: the errors are raised together at the end, as an ``ExceptionGroup``.
    """

    def __init__(self, publishers: Iterable[PublisherLike]) -> None:
        self.publishers = tuple(as_publisher(publisher) for publisher in publishers)

    def publish(self, event: Event) -> Awaitable[None] | None:
        """Tell every publisher; return what is left to await, if anything is."""
        failures = _Failures()
        left: list[tuple[BasePublisher, Awaitable[None]]] = []
        for publisher in self.publishers:
            try:
                rest = publisher.publish(event)
            except Exception as error:
                failures.add(publisher, error)
            else:
                if rest is not None:
                    left.append((publisher, rest))
        if left:
            return _Rest(left, failures)
        failures.throw()
        return None

    def close(self) -> None:
        """Close every publisher, by its ``close``."""
        failures = _Failures()
        for publisher in self.publishers:
            try:
                publisher.close()
            except Exception as error:
                failures.add(publisher, error)
        failures.throw()

    async def aclose(self) -> None:
        """Close every publisher, by its ``aclose``."""
        failures = _Failures()
        for publisher in self.publishers:
            try:
                await publisher.aclose()
            except Exception as error:
                failures.add(publisher, error)
        failures.throw()


class _Failures:
    """The errors of one round, with the names of those who made them."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._errors: list[Exception] = []

    def add(self, publisher: BasePublisher, error: Exception) -> None:
        self._names.append(f"{name_of(publisher)} raised {describe(error)}")
        self._errors.append(error)

    def throw(self) -> None:
        if self._errors:
            raise ExceptionGroup(", ".join(self._names), self._errors)


class _Rest(Awaitable[None]):
    """What is left to await. Unlike a coroutine it can be dropped with all that it holds before it was begun."""

    def __init__(self, left: Sequence[tuple[BasePublisher, Awaitable[None]]], failures: _Failures) -> None:
        self._left = list(left)
        self._failures = failures

    def __await__(self) -> Generator[Any, Any, None]:
        return self._finish().__await__()

    async def _finish(self) -> None:
        try:
            while self._left:
                publisher, rest = self._left.pop(0)
                try:
                    await rest
                except Exception as error:
                    self._failures.add(publisher, error)
        finally:
            self.close()  # something is left only after a cancellation
        self._failures.throw()

    def close(self) -> None:
        """Drop what was not begun."""
        while self._left:
            discard(self._left.pop()[1])
