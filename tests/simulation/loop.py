"""An event loop without sleep: its clock is the world's, and so is the choice when its next callback is run."""

from __future__ import annotations

import asyncio
import gc
import heapq
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from taf import ids

CLOSE_ATTEMPTS = 20
"""How many awaits in a row a coroutine that is thrown away may sit in."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """The loop of one process. Callbacks keep their order; when they come is the world's choice."""

    def __init__(self, clock: Callable[[], float], complain: Callable[[str], None]) -> None:
        super().__init__()
        self._world_clock, self._complain = clock, complain
        self._is_vanishing, self._finish = False, self.finish

    def time(self) -> float:
        return self._world_clock()

    def _write_to_self(self) -> None:
        """Wake nobody: ``call_soon_threadsafe`` is called in the one thread that there is."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._complain(f"{context.get('message')}: {context.get('exception')!r}")

    @property
    def is_ready(self) -> bool:
        """True when something can run now."""
        return bool(self._ready)

    def turn(self) -> None:
        """Run the next callback."""
        handle = self._ready.popleft()
        if not handle.cancelled():
            asyncio._set_running_loop(self)  # what `running` does: every turn comes here
            sys.set_asyncgen_hooks(finalizer=self._finish)
            try:
                handle._run()
            finally:
                asyncio._set_running_loop(None)

    def next_timer(self) -> float | None:
        """Return when the next timer is due."""
        scheduled = self._scheduled
        while scheduled and scheduled[0].cancelled():
            heapq.heappop(scheduled)._scheduled = False
        return scheduled[0].when() if scheduled else None

    def wake_timers(self, now: float) -> None:
        """Make what is due ready to run."""
        scheduled = self._scheduled
        while scheduled and scheduled[0].when() <= now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle.cancelled():
                self._ready.append(handle)

    def finish(self, generator: Any) -> None:
        """Close an async generator that nobody reads any more, as a loop does."""
        if not self._is_vanishing:
            self.create_task(generator.aclose())

    def vanish(self) -> None:
        """Throw away all that is under way: nothing of it runs again. Called for a process that is dead."""
        self._is_vanishing = True
        with running(self):
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False
                _throw_away(task.get_coro())
        self.close()


def _throw_away(coroutine: Any) -> None:
    for _ in range(CLOSE_ATTEMPTS):
        try:
            coroutine.close()
            return
        except RuntimeError as error:  # it awaits something on its way out: once more from there
            if "GeneratorExit" not in str(error):
                return
        except BaseException:  # what it says when the store is gone
            return


@contextmanager
def running(loop: SimulatedLoop) -> Iterator[None]:
    """Have this be the running loop."""
    asyncio._set_running_loop(loop)
    sys.set_asyncgen_hooks(finalizer=loop.finish)  # a generator keeps the one under which it began
    try:
        yield
    finally:
        asyncio._set_running_loop(None)


@contextmanager
def steady() -> Iterator[None]:
    """Keep out what would make two runs of a seed differ: chance in ids, and the moments of the garbage collector."""
    hooks, was_enabled = sys.get_asyncgen_hooks(), gc.isenabled()
    gc.disable()
    try:
        with counted_ids():
            yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
        if was_enabled:
            gc.enable()


@contextmanager
def counted_ids() -> Iterator[None]:
    """Have ``new_id`` count instead of reading clock and chance, so that a run can be repeated."""
    known, count = (ids.os, ids.time), iter(range(1, 1 << 56))
    ids.os = SimpleNamespace(urandom=lambda size: next(count).to_bytes(size))
    ids.time = SimpleNamespace(time_ns=lambda: 0)
    try:
        yield
    finally:
        ids.os, ids.time = known
