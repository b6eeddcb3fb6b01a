"""Waiting for a thread to move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from taf import InMemoryCheckpointer
from taf.checkpointer.base import Change, ThreadKey, Watcher
from taf.graph.waiting import moves


class Watched(InMemoryCheckpointer):
    """A store that moves when it is told to."""

    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool = False) -> Callable[[], None]:
        self.tell = watcher
        return super().watch(key, watcher, signals_only=signals_only)


@pytest.mark.parametrize("ticks", range(6))
async def test_a_cancellation_that_comes_together_with_a_move_is_not_lost(ticks: int) -> None:
    store = Watched()

    async def read() -> None:
        async for _ in moves(store, ThreadKey("", "t")):
            pass

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    store.tell(Change(1, "running", "r", ()))
    for _ in range(ticks):
        await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait({reader}, timeout=5)

    assert reader.cancelled()
