"""What a run tells: one vocabulary for streams, publishers and readers that come back later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """What happened. ``event.event_type == "interrupted"`` holds, since each is a string."""

    STARTED = "started"
    NODE_COMPLETED = "node_completed"
    PARTIAL = "partial"
    TASK_RECORDED = "task_recorded"
    INTERRUPTED = "interrupted"
    ANSWERED = "answered"
    ANSWER_REFUSED = "answer_refused"
    RESUMED = "resumed"
    STOPPED = "stopped"
    COMPLETED = "completed"
    ERROR = "error"
    STATE_UPDATED = "state_updated"
    STEERED = "steered"
    HANDED_OVER = "handed_over"
    ROLLED_BACK = "rolled_back"
    UPGRADED = "upgraded"
    FORKED = "forked"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened on a thread.

    ``sequence`` counts what is committed on the thread, from 1, without holes. A ``PARTIAL`` is not
    committed: it carries the sequence of the last event that is, and ``committed`` is False.
    ``content`` is a text to show, ``data`` the facts, ``metadata["status"]`` a sentence.
    """

    event_type: EventType
    thread_id: str
    run_id: str
    sequence: int
    step: int
    timestamp: datetime
    node_name: str | None = None
    content: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def committed(self) -> bool:
        """False for partials, which are shown before their step is committed."""
        return self.event_type is not EventType.PARTIAL
