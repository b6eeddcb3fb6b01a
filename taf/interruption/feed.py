"""What runs of this process have shown and not yet committed, as it comes: the one thing that no store knows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator
from typing import Any, ClassVar, NamedTuple, TypeAlias

from taf.events import Event, EventType
from taf.interruption.task import STEPS, TaskContext, show
from taf.publisher.base import BasePublisher

_ENDS = frozenset({EventType.STOPPED, EventType.COMPLETED, EventType.ERROR, EventType.INTERRUPTED})


Follower: TypeAlias = Callable[["TaskContext | None"], None]
"""Told that there is news: of a running step, or the notice itself."""


class Live(NamedTuple):
    """The partials of a step under way: by node, of the run and behind the event that they belong to."""

    run_id: str
    step_sequence: int
    node: str
    results: dict[str, Any]


class Feed(BasePublisher):
    """Listens to an app, keeps the partials of its running steps, and tells who follows a thread that there are new.

    Nothing is left of a run that has ended.
    """

    may_block: ClassVar[bool] = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[str, Live] = {}
        self._steps: dict[str, int] = {}
        self._followers: dict[str, list[Follower]] = {}

    def publish(self, event: Event) -> None:
        """Take an event of the app."""
        thread = event.thread_id
        with self._lock:
            if event.event_type is EventType.PARTIAL:
                self._live[thread] = self._shown(event)
                followers = list(self._followers.get(thread, ()))
            else:
                followers = []
                if event.event_type in STEPS:
                    self._live.pop(thread, None)
                    self._steps[thread] = event.sequence
                if event.event_type in _ENDS:
                    self._steps.pop(thread, None)
        for tell in followers:
            tell(None)

    def _shown(self, event: Event) -> Live:
        thread, node = event.thread_id, event.node_name or ""
        before = self._live.get(thread)
        results = dict(before.results) if before is not None and before.run_id == event.run_id else {}
        show(results, node, event.data["key"], event.data["value"])
        return Live(event.run_id, self._steps.get(thread, event.sequence), node, results)

    def live(self, thread_id: str) -> Live | None:
        """Return what the running step of a thread has shown, if it runs here."""
        with self._lock:
            return self._live.get(thread_id)

    def tell(self, notice: TaskContext) -> None:
        """Tell those who follow a user of a task that is on no event yet: one that waits in the queue."""
        with self._lock:
            followers = list(self._followers.get(notice.user_id, ()))
        for tell in followers:
            tell(notice)

    @contextlib.contextmanager
    def followed(self, thread_id: str, tell: Follower) -> Generator[None, None, None]:
        """Call ``tell`` on this event loop whenever there is news of the thread, until the block is left."""
        loop = asyncio.get_running_loop()

        def cross(notice: TaskContext | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody follows any more
                loop.call_soon_threadsafe(tell, notice)

        with self._lock:
            self._followers.setdefault(thread_id, []).append(cross)
        try:
            yield
        finally:
            with self._lock:
                self._followers[thread_id].remove(cross)
                if not self._followers[thread_id]:
                    del self._followers[thread_id]
