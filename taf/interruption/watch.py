"""Follows the tasks of one user: what the store records, from any point on, and what the running step shows."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import NamedTuple

from taf.errors import UnknownThreadError
from taf.events import Event, EventType
from taf.graph.blocking import CompiledGraph
from taf.interruption.feed import Feed, Live
from taf.interruption.task import TaskContext, TaskStatus, advance, is_told

WINDOW = 64
"""How many events to look back at first, for the beginning of a task."""
AHEAD = 64
"""How many events to read ahead of a follower that is slow."""


class Update(NamedTuple):
    """The user's task after something happened. ``event`` is None when it is shown, and not on record."""

    context: TaskContext
    event: Event | None

    @property
    def is_committed(self) -> bool:
        """False for what the running step has shown: it may yet come to nothing."""
        return self.event is not None


async def head_of(app: CompiledGraph, user_id: str) -> int:
    """Return the sequence of the thread's last event; 0 for a thread that is not there."""
    try:
        return int((await app.aget_state({"thread_id": user_id})).checkpoint_id)
    except UnknownThreadError:
        return 0


async def beginning_of(app: CompiledGraph, user_id: str, at: int, run_id: str | None = None) -> int:
    """Return the sequence before the start of the task that is under way at a sequence, or of the named one.

    It looks back over a window that grows, so a long thread costs no more than the task.
    """
    window = WINDOW
    while True:
        low, found = max(0, at - window), None
        async with contextlib.aclosing(app.aevents({"thread_id": user_id}, after=low)) as events:
            async for event in events:
                if event.sequence > at:
                    break
                if event.event_type is EventType.STARTED and run_id in (None, event.run_id):
                    found = event.sequence - 1
        if found is not None or low == 0:
            return found or 0
        window *= 4


async def read_task(app: CompiledGraph, user_id: str, task_id: str | None = None) -> TaskContext | None:
    """Return the user's last task, or the one of that id, as the store knows it; None when there is none."""
    head = await head_of(app, user_id)
    context: TaskContext | None = None
    begin = await beginning_of(app, user_id, head, task_id) if head else 0
    async with contextlib.aclosing(app.aevents({"thread_id": user_id}, after=begin)) as events:
        async for event in events:
            following = advance(context, event)
            is_next = context is not None and following is not None and following.task_id != context.task_id
            if event.sequence > head or (is_next and context is not None and context.task_id == task_id):
                break
            context = following
    return context if context is not None and task_id in (None, context.task_id) else None


def with_live(context: TaskContext, live: Live | None) -> TaskContext:
    """Return the task with what its running step has shown, if that is not out of date."""
    is_current = (
        live is not None
        and context.status is TaskStatus.RUNNING
        and (live.run_id, live.step_sequence) == (context.task_id, context.step_sequence)
    )
    if live is None or not is_current:
        return context
    shown = {**context.partial_results, **live.results}
    return replace(context, partial_results=shown, current_agent=live.node)


class Watch:
    """One follower's view: what the store tells, and whether the running step has shown more since."""

    def __init__(self, app: CompiledGraph, feed: Feed, user_id: str) -> None:
        self._app, self._feed, self._user_id = app, feed, user_id
        self._events: asyncio.Queue[Event | Exception | None] = asyncio.Queue(AHEAD)
        self._notices: deque[TaskContext] = deque(maxlen=AHEAD)
        self._news = asyncio.Event()
        self._context: TaskContext | None = None
        self._shown: Live | None = None

    async def updates(self, after: int | None) -> AsyncGenerator[Update, None]:
        """Yield an update for each event above the sequence ``after``, and for what is shown between them.

        None: begin with the task as it is now, if there is one. It ends with the app.
        """
        head = await head_of(self._app, self._user_id)
        seen = head if after is None else min(after, head)
        begin = await beginning_of(self._app, self._user_id, seen) if seen else 0
        pump = asyncio.create_task(self._pump(begin), name=f"taf: following {self._user_id}")
        try:
            with self._feed.followed(self._user_id, self._tell):
                async with contextlib.aclosing(self._merged(seen, shows_first=after is None)) as found:
                    async for update in found:
                        yield update
        finally:
            pump.cancel()
            await asyncio.wait([pump])

    def _tell(self, notice: TaskContext | None) -> None:
        if notice is not None:
            self._notices.append(notice)
        self._news.set()

    async def _pump(self, begin: int) -> None:
        end: Exception | None = None
        try:
            events = self._app.aevents({"thread_id": self._user_id}, after=begin, follow=True)
            async with contextlib.aclosing(events):
                async for event in events:
                    await self._events.put(event)
                    self._news.set()
        except Exception as error:
            end = error
        await self._events.put(end)
        self._news.set()

    async def _merged(self, seen: int, *, shows_first: bool) -> AsyncGenerator[Update, None]:
        while True:
            self._news.clear()
            while not self._events.empty():
                event = self._events.get_nowait()
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise event
                update = self._taken(event, seen, shows_first=shows_first)
                if update is not None:
                    yield update
            while self._notices:
                yield Update(self._notices.popleft(), None)
            update = self._shown_since(seen)
            if update is not None:
                yield update
            if self._events.empty():
                await self._news.wait()

    def _taken(self, event: Event, seen: int, *, shows_first: bool) -> Update | None:
        """Take an event in, and return what there is to say of it."""
        before = self._context
        self._context = context = advance(before, event)
        if context is None:
            return None
        if event.sequence > seen:
            return Update(context, event) if is_told(before, event) else None
        return Update(context, None) if event.sequence == seen and shows_first else None

    def _shown_since(self, seen: int) -> Update | None:
        """Return what the running step has shown since the last look."""
        live, context = self._feed.live(self._user_id), self._context
        if live is None or live is self._shown or context is None or context.sequence < seen:
            return None
        merged = with_live(context, live)
        if merged is context:  # one of the two sources is ahead of the other one, for now
            return None
        self._shown = live
        return Update(merged, None)
