"""Observers of an app: the port, small publishers, and the bus that fans events out to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taf.lazily import loads_lazily

if TYPE_CHECKING:
    from taf.publisher.base import BasePublisher, CallablePublisher, PublisherLike, as_publisher
    from taf.publisher.bus import Bus
    from taf.publisher.collecting import CollectingPublisher
    from taf.publisher.composite import CompositePublisher
    from taf.publisher.console import ConsolePublisher
    from taf.publisher.events import Event, EventType
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

__getattr__, __dir__ = loads_lazily(
    __name__,
    {
        "BasePublisher": "base",
        "Bus": "bus",
        "CallablePublisher": "base",
        "CollectingPublisher": "collecting",
        "CompositePublisher": "composite",
        "ConsolePublisher": "console",
        "Event": "events",
        "EventType": "events",
        "LoggingPublisher": "logs",
        "PublisherLike": "base",
        "as_publisher": "base",
    },
)
