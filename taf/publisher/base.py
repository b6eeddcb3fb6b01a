"""The port of an observer: one method that takes an event, and two that end it.

A publisher gets the events of an app in order, each once, and one at a time. What it raises is reported and never
fails a run. It may be async, or sync and slow: sync ones are called in a worker thread.
"""

from __future__ import annotations

import inspect
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeAlias

import anyio.to_thread

from taf.errors import ConfigError
from taf.events import Event


class BasePublisher(ABC):
    """Derive from this and write ``publish``, as ``def`` or as ``async def``."""

    may_block: ClassVar[bool] = True
    """Set this to False where a sync ``publish`` only touches memory: it is then called without a hop to a thread."""

    @abstractmethod
    def publish(self, event: Event) -> Awaitable[None] | None:
        """Tell the event. An ``async def`` runs on an event loop; a ``def`` in a worker thread, where it may block.

        What a ``def`` returns is awaited on an event loop, if it can be.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """End the publisher: called once, after its last event. A second call should do nothing."""

    async def aclose(self) -> None:
        """As ``close``, for what has to be awaited. As it stands it calls ``close`` in a worker thread."""
        if type(self).close is not BasePublisher.close:
            await anyio.to_thread.run_sync(self.close, abandon_on_cancel=True)


PublisherLike: TypeAlias = BasePublisher | Callable[[Event], object]


class CallablePublisher(BasePublisher):
    """Makes a publisher of a function that takes an event, sync or async."""

    def __init__(self, function: Callable[[Event], object]) -> None:
        self.function = function

    def publish(self, event: Event) -> Awaitable[None] | None:
        """Call the function."""
        result = self.function(event)
        return result if inspect.isawaitable(result) else None


class _AsyncCallablePublisher(CallablePublisher):
    """The same for a function that is known to be async: the bus calls it without a hop to a thread."""

    async def publish(self, event: Event) -> None:
        rest = super().publish(event)
        if rest is not None:
            await rest


def as_publisher(found: PublisherLike) -> BasePublisher:
    """Return a publisher for a publisher or a callable that takes an event.

    Raises ``ConfigError`` for anything else, a class among them: it is easily passed in place of its instance.
    """
    if isinstance(found, BasePublisher):
        return found
    _check(found)
    call = getattr(found, "__call__", None)  # noqa: B004 - an object may have an async __call__
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(call):
        return _AsyncCallablePublisher(found)
    return CallablePublisher(found)


def name_of(publisher: BasePublisher) -> str:
    """Return what the user calls it: the function's name, or else the class."""
    subject: Any = publisher.function if isinstance(publisher, CallablePublisher) else publisher
    return str(getattr(subject, "__qualname__", type(subject).__qualname__))


def describe(error: BaseException) -> str:
    """Return type and message on one line, also where the error cannot make a text of itself."""
    return " ".join(traceback.format_exception_only(error)[0].split())


def discard(awaitable: Awaitable[None]) -> None:
    """Drop what was never awaited, without Python's warning about it."""
    end: Callable[[], object] | None = getattr(awaitable, "close", None) or getattr(awaitable, "cancel", None)
    if end is not None:
        end()


def _check(found: object) -> None:
    kind = type(found).__qualname__
    if isinstance(found, type):
        raise ConfigError(f"{found.__qualname__} is a class, not a publisher: pass {found.__qualname__}(...).")
    if not callable(found):
        raise ConfigError(
            f"An object of type {kind} is no publisher: derive {kind} from BasePublisher, pass a function that takes "
            "an event, or several publishers in a CompositePublisher."
        )
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # some built-ins have none
        return
    try:
        signature.bind(None)
    except TypeError as error:
        name = getattr(found, "__qualname__", kind)
        raise ConfigError(f"{name}{signature} is no publisher: it has to take one event ({error}).") from None
