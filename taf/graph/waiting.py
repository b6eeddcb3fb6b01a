"""Waiting for a thread to move, wherever its run is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from taf.checkpointer.base import BaseCheckpointer, Change, ThreadKey

POLL_SECONDS = 0.5
"""How long to wait for word of a change before looking again: a lost notification costs no more."""


async def moves(store: BaseCheckpointer, key: ThreadKey) -> AsyncGenerator[None, None]:
    """Yield at once, and then whenever the thread may have moved."""
    loop, moved = asyncio.get_running_loop(), asyncio.Event()

    def on_change(change: Change) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(moved.set)

    unwatch = store.watch(key, on_change)
    try:
        while True:
            yield
            # Not wait_for: before Python 3.12 it forgets a cancellation that comes together with what it waits for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await moved.wait()
            moved.clear()
    finally:
        unwatch()
