"""Agents that wait for a human: kept in this process while their graph is paused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple, cast

from taf.acp.remote import Asked, RemoteTurn
from taf.checkpointer.base import Change
from taf.graph.context import Context, running_loop
from taf.graph.engine import Engine
from taf.state.execution import ExecutionStatus

Key = tuple[str, str]
"""The thread, and the node's task."""

OVER = frozenset({ExecutionStatus.STOPPED, ExecutionStatus.COMPLETED, ExecutionStatus.ERROR})


def key_of(context: Context) -> Key:
    """Return what an agent is kept under."""
    return context.thread_id, context.task.key


class Waiting(NamedTuple):
    """An agent, what it asked, and what ends the wait."""

    turn: RemoteTurn
    asked: Asked
    forget: Callable[[], None]


class Held:
    """Keeps each agent until its question is answered here, its thread ends otherwise, or ``seconds`` are over."""

    def __init__(self, seconds: float, grace: float) -> None:
        self._seconds, self._grace = seconds, grace
        self._waiting: dict[Key, Waiting] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def keep(self, context: Context, turn: RemoteTurn, asked: Asked) -> None:
        """Keep an agent that asked something."""
        key, loop = key_of(context), turn.loop
        journal = cast("Engine", context.host).runtime.journal

        def drop() -> None:
            if self._waiting.get(key, (None,))[0] is turn:
                self.drop(key)

        def on_change(change: Change) -> None:
            if change.status in OVER:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(drop)

        unwatch = journal.store.watch(journal.key(context.thread_id), on_change)
        timer = loop.call_later(self._seconds, drop)

        def forget() -> None:
            unwatch()
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(timer.cancel)

        self._waiting[key] = Waiting(turn, asked, forget)

    def has(self, turn: RemoteTurn) -> bool:
        """Say whether an agent waits."""
        return any(waiting.turn is turn for waiting in self._waiting.values())

    def take(self, context: Context) -> Waiting | None:
        """Return the agent that waits, which is no longer kept; None where there is none, or in another loop."""
        waiting = self._waiting.get(key_of(context))
        if waiting is None:
            return None
        if waiting.turn.loop is not running_loop() or waiting.turn.is_over:
            self.drop(key_of(context))
            return None
        del self._waiting[key_of(context)]
        waiting.forget()
        return waiting

    def drop(self, key: Key) -> None:
        """End an agent that waits, if one does."""
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            return
        waiting.forget()
        turn = waiting.turn

        def end() -> None:
            ending = turn.loop.create_task(turn.cancel(self._grace))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

        try:
            turn.loop.call_soon_threadsafe(end)
        except RuntimeError:  # its loop is closed
            turn.process.kill()
