"""Who wants to be called when a user's task changes. Each has a task of its own: a slow one keeps nobody waiting."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeAlias

from taf.interruption.task import TaskContext
from taf.interruption.watch import Update

StatusCallback: TypeAlias = Callable[[TaskContext], object]
"""Called with the task as it was at each change; may be async."""


class Subscription:
    """One callback of one user. A slow one reads the record later, and misses nothing of it."""

    def __init__(self, user_id: str, callback: StatusCallback, updates: AsyncGenerator[Update, None]) -> None:
        self.user_id, self.callback = user_id, callback
        self._updates, self._is_over, self._has_failed = updates, False, False
        self._task = asyncio.create_task(self._run(), name=f"taf: telling {user_id}")

    async def _run(self) -> None:
        async with aclosing(self._updates) as updates:
            async for update in updates:
                await self._tell(update.context)
                if self._is_over:
                    return

    async def _tell(self, context: TaskContext) -> None:
        try:
            rest = self.callback(context)
            if inspect.isawaitable(rest):
                await rest
        except Exception as error:
            if not self._has_failed:
                self._has_failed = True
                warnings.warn(
                    f"A status callback of {self.user_id!r} raised {type(error).__name__}: {error}. It goes on being "
                    "called; this is said once.",
                    RuntimeWarning,
                    stacklevel=2,
                )

    async def end(self) -> None:
        """Call no more. A callback may end itself."""
        self._is_over = True
        if self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait([self._task])
