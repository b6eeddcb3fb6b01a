"""Observers of an app: the port, small publishers, and the bus that fans events out to them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taf.publisher.base import BasePublisher, CallablePublisher, PublisherLike, as_publisher
from taf.publisher.bus import Bus
from taf.publisher.events import Event, EventType

if TYPE_CHECKING:
    from taf.publisher.collecting import CollectingPublisher
    from taf.publisher.composite import CompositePublisher
    from taf.publisher.console import ConsolePublisher
    from taf.publisher.logs import LoggingPublisher

__all__ = [
    "BasePublisher",
    "Bus",
    "CallablePublisher",
    "CollectingPublisher",
    "CompositePublisher",
    "ConsolePublisher",
    "Event",
    "EventType",
    "LoggingPublisher",
    "PublisherLike",
    "as_publisher",
]

_FILES = {
    "CollectingPublisher": "collecting",
    "CompositePublisher": "composite",
    "ConsolePublisher": "console",
    "LoggingPublisher": "logs",
}


def __getattr__(name: str) -> Any:
    """Load the publishers that taf comes with when they are asked for."""
    if name in _FILES:
        return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
