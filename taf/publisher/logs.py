"""Hands events to the standard ``logging``."""

from __future__ import annotations

import logging

from taf.events import Event, EventType
from taf.publisher.base import BasePublisher
from taf.publisher.line import one_line


class LoggingPublisher(BasePublisher):
    """Logs each event as one line at ``level``, an ``ERROR`` at least as an error.

    The event itself is the record's attribute ``taf_event``, for handlers that write structured logs.
    """

    def __init__(self, logger: str | logging.Logger = "taf", level: int = logging.INFO) -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level

    def publish(self, event: Event) -> None:
        """Log the event."""
        level = max(self._level, logging.ERROR) if event.event_type is EventType.ERROR else self._level
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", one_line(event), extra={"taf_event": event})
