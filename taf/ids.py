"""Names for threads, runs and interrupts: random, sortable by the time they were made."""

from __future__ import annotations

import os
import time


def new_id() -> str:
    """Return a fresh id of 26 hexadecimal characters: 12 of milliseconds since 1970, 14 random."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(7).hex()}"
