"""Agents for tests: they work at a pace that the test sets, and say what they were told."""

from __future__ import annotations

import asyncio

from taf.interruption import AgentAdapter, Turn
from taf.interruption.adapter import Show
from tests.stopping.slow import until


class Scripted(AgentAdapter):
    """Shows a word, then works until it is let go or told to stop."""

    supports_cancel = True

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.at_once = self.most_at_once = 0
        self.cancels = 0
        self.let_go = asyncio.Event()
        self.is_deaf = False
        self.side_effects: list[int] = []
        self._stop = asyncio.Event()

    async def prompt(self, text: str, show: Show) -> Turn:
        """Work on a text."""
        self.prompts.append(text)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self._stop = stop = asyncio.Event()
        try:
            show("Let me see. ")
            return await self._work(stop, len(self.prompts))
        finally:
            self.at_once -= 1

    async def _work(self, stop: asyncio.Event, number: int) -> Turn:
        while not self.let_go.is_set():
            if stop.is_set() and not self.is_deaf:
                return Turn("Let me see. ", "cancelled")
            await asyncio.sleep(0.002)
        return Turn(f"answer {number}")

    async def cancel(self) -> None:
        """Stop at the next look."""
        self.cancels += 1
        self._stop.set()

    async def until_prompted(self, count: int) -> None:
        """Wait until it was prompted so often."""
        await until(lambda: len(self.prompts) == count)


class Tooled(Scripted):
    """Uses a tool, again and again, until it is told to stop."""

    async def _work(self, stop: asyncio.Event, number: int) -> Turn:
        while not self.let_go.is_set():
            await asyncio.sleep(0.002)
            if stop.is_set():
                return Turn("", "cancelled")
            self.side_effects.append(number)
        return Turn(f"answer {number}")


class Stubborn(Scripted):
    """Cannot be told to stop."""

    supports_cancel = False

    async def cancel(self) -> None:
        """Refuse."""
        raise AssertionError("nobody may ask")
