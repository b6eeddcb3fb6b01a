"""What publishers are told, importable from where publishers are."""

from __future__ import annotations

from taf.events import Event, EventType

__all__ = ["Event", "EventType"]
