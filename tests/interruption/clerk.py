"""An agent that shows what it has, and answers when it is let go."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from taf import AgentState, BaseCheckpointer, CompiledGraph, Context, Message, StateGraph, emit
from tests.stopping.slow import until


class Clerk:
    """One node, ``write``, on the loop or in a thread."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.left: list[str] = []
        self.done: list[str] = []
        self.let_go = threading.Event()

    async def write(self, state: AgentState) -> Message:
        """Show a draft at once, answer when let go."""
        said = state.messages[-1].text()
        emit(said.upper(), key="draft")
        self.entered.append(said)
        try:
            while not self.let_go.is_set():
                await asyncio.sleep(0.002)
        finally:
            self.left.append(said)
        self.done.append(said)
        return Message.text_message(f"done: {said}", role="assistant")

    def write_in_thread(self, state: AgentState, ctx: Context) -> Message:
        """Do the same where nobody can cancel it, and look."""
        said = state.messages[-1].text()
        emit(said.upper(), key="draft")
        self.entered.append(said)
        while not (self.let_go.is_set() or ctx.stopping):
            time.sleep(0.002)
        self.left.append(said)
        return Message.text_message(f"done: {said}", role="assistant")

    def compile(self, store: BaseCheckpointer | None = None, **options: Any) -> CompiledGraph:
        """Return the app."""
        return StateGraph().add_node("write", self.write).compile(store, **options)

    async def until_at(self, said: str) -> None:
        """Wait until the agent works on what was said."""
        await until(lambda: bool(self.entered) and self.entered[-1] == said)
