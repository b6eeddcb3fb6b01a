"""The port of an agent: what a conversation needs of it, whether it can be told to stop or not."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

Show: TypeAlias = Callable[[str], None]
"""Takes a piece of the answer as soon as there is one."""

END_TURN, CANCELLED = "end_turn", "cancelled"


@dataclass(frozen=True, slots=True)
class Turn:
    """What an agent answered, and why it stopped: ``end_turn``, ``cancelled``, or another reason of its own."""

    text: str
    stop_reason: str = END_TURN


class AgentAdapter(ABC):
    """Derive from this to have a conversation with an agent of another kind."""

    supports_cancel: bool = False
    """True when ``cancel`` ends the prompt under way. Without it, messages wait for their turn."""

    @abstractmethod
    async def prompt(self, text: str, show: Show) -> Turn:
        """Give the agent a text, show its answer piece by piece, and return it. One prompt at a time is given."""

    async def cancel(self) -> None:
        """Tell the agent to end its prompt, and do not wait for it: ``prompt`` returns with ``cancelled``."""
        raise NotImplementedError(f"{type(self).__name__} cannot cancel.")


Answer: TypeAlias = Callable[[str, Show], Awaitable[str | Turn]]


class FunctionAdapter(AgentAdapter):
    """Makes an agent of an async function that takes a text and a ``show``, and returns its answer.

    ``supports_cancel``: whether the function may be cancelled where it awaits. What it had shown is the answer then.
    """

    def __init__(self, answer: Answer, *, supports_cancel: bool = True) -> None:
        self.supports_cancel = supports_cancel
        self._answer = answer
        self._task: asyncio.Task[str | Turn] | None = None

    async def prompt(self, text: str, show: Show) -> Turn:
        """Call the function."""
        shown: list[str] = []

        def keep(piece: str) -> None:
            shown.append(piece)
            show(piece)

        self._task = task = asyncio.ensure_future(_awaited(self._answer(text, keep)))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.cancelled():
            return Turn("".join(shown), CANCELLED)
        answer = task.result()
        return answer if isinstance(answer, Turn) else Turn(answer)

    async def cancel(self) -> None:
        """Cancel the function."""
        if not self.supports_cancel:
            await super().cancel()
        if self._task is not None:
            self._task.cancel()


async def _awaited(answer: Awaitable[str | Turn]) -> str | Turn:
    return await answer
