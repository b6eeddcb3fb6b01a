"""Agents that wait for a human: kept in this process while their graph is paused."""

from __future__ import annotations

import asyncio
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
    """An agent, what it asked, and the end of the wait: True when the node takes the agent back, False to end it."""

    turn: RemoteTurn
    asked: Asked
    is_taken: asyncio.Future[bool]


class Held:
    """Keeps each agent until its question is answered here, its thread or its loop ends, or ``seconds`` are over."""

    def __init__(self, seconds: float, grace: float) -> None:
        self._seconds, self._grace = seconds, grace
        self._waiting: dict[Key, Waiting] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    def keep(self, context: Context, turn: RemoteTurn, asked: Asked) -> None:
        """Keep an agent that asked something."""
        key, loop = key_of(context), turn.loop
        journal = cast("Engine", context.host).runtime.journal
        waiting = self._waiting[key] = Waiting(turn, asked, loop.create_future())

        def on_change(change: Change) -> None:
            if change.status in OVER:
                self._drop(key, waiting)

        unwatch = journal.store.watch(journal.key(context.thread_id), on_change)
        keeping = loop.create_task(self._keep(key, waiting))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        keeping.add_done_callback(lambda _: unwatch())

    async def _keep(self, key: Key, waiting: Waiting) -> None:
        """Wait until the agent is taken back. End it when it is not in time, or when the loop ends meanwhile."""
        try:
            await asyncio.wait({waiting.is_taken}, timeout=self._seconds)
            if self._let_go(key, waiting):
                await waiting.turn.cancel(self._grace)
        except asyncio.CancelledError:
            if self._let_go(key, waiting):
                await waiting.turn.close(self._grace)
            raise

    def _let_go(self, key: Key, waiting: Waiting) -> bool:
        """Keep an agent no longer. Return False if the node has taken it back, and it is not to be ended."""
        if waiting.is_taken.done() and waiting.is_taken.result():
            return False
        self._drop(key, waiting)
        return True

    def has(self, turn: RemoteTurn) -> bool:
        """Say whether an agent waits."""
        return any(waiting.turn is turn for waiting in self._waiting.values())

    def take(self, context: Context) -> Waiting | None:
        """Return the agent that waits, which is no longer kept; None where there is none, or in another loop."""
        key = key_of(context)
        waiting = self._waiting.get(key)
        if waiting is None:
            return None
        if waiting.turn.loop is not running_loop() or waiting.turn.is_over:
            self._drop(key, waiting)
            return None
        del self._waiting[key]
        waiting.is_taken.set_result(True)
        return waiting

    def _drop(self, key: Key, waiting: Waiting) -> None:
        """Keep an agent no longer, and let it be ended in its loop; from any thread."""
        if self._waiting.get(key) is not waiting:
            return
        del self._waiting[key]
        try:
            waiting.turn.loop.call_soon_threadsafe(waiting.is_taken.set_result, False)
        except RuntimeError:  # its loop is closed
            waiting.turn.process.kill()
