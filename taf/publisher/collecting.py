"""Keeps events in memory, for tests."""

from __future__ import annotations

import threading
from typing import ClassVar

from taf.events import Event, EventType
from taf.publisher.base import BasePublisher


class CollectingPublisher(BasePublisher):
    """Collects every event that it gets. Any thread may read it at any time."""

    may_block: ClassVar[bool] = False

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def publish(self, event: Event) -> None:
        """Keep the event."""
        with self._lock:
            self._events.append(event)

    @property
    def events(self) -> list[Event]:
        """What was collected so far, in order; a list of the caller's own."""
        with self._lock:
            return list(self._events)

    def of(self, event_type: EventType | str) -> list[Event]:
        """Return the events of one type."""
        return [event for event in self.events if event.event_type == event_type]

    def clear(self) -> None:
        """Forget what was collected."""
        with self._lock:
            self._events.clear()
