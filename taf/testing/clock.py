"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import threading

from taf.errors import ConfigError

NEW_YEAR_2026 = 1767225600.0
"""Seconds since 1970, in UTC."""


class ManualClock:
    """For ``compile(clock=ManualClock())``. Called, it returns seconds since 1970. May be used from any OS thread."""

    def __init__(self, start: float = NEW_YEAR_2026) -> None:
        self._now = float(start)
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        """Go on by so many seconds, and return what the clock shows then. Raise ``ConfigError`` for a step back."""
        if not seconds >= 0:
            raise ConfigError(f"A clock goes on by 0 seconds or more, not by {seconds!r}: set() puts it back.")
        with self._lock:
            self._now += seconds
            return self._now

    def set(self, now: float) -> None:
        """Show this from now on, as after somebody changed the machine's clock."""
        with self._lock:
            self._now = float(now)

    def __repr__(self) -> str:
        return f"ManualClock({self._now!r})"
