"""The front of a graph that people send messages to: one call that begins a task and returns its id at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Self

from taf.checkpointer.base import BaseCheckpointer
from taf.graph.blocking import CompiledGraph
from taf.graph.multitask import MultitaskStrategy, Queued
from taf.graph.result import Receipt, RunResult
from taf.graph.state_graph import StateGraph
from taf.interruption.callbacks import StatusCallback
from taf.interruption.manager import InterruptionManager, IsRelevant, ToInput, as_message
from taf.interruption.store import StateStore
from taf.interruption.watch import Update
from taf.state.agent_state import AgentState
from taf.state.messages import Message


async def echo(state: AgentState) -> Message:
    """Answer with what was said, until there is a graph that has more to say."""
    return Message.text_message(state.messages[-1].text(), role="assistant")


class AgentManager:
    """Takes the messages of users, each of whom has a thread, and lets the graph work behind them.

    ``app``: the graph, or None for one that only echoes. ``strategy``: what a message does to a task that is under way.
    ``interruptions`` and ``store`` are the two halves, for who needs more than this front.
    """

    def __init__(
        self,
        app: CompiledGraph | None = None,
        *,
        checkpointer: BaseCheckpointer | None = None,
        strategy: MultitaskStrategy = "interrupt",
        to_input: ToInput = as_message,
        is_relevant: IsRelevant | None = None,
    ) -> None:
        self._is_own_app = app is None
        self.app = StateGraph().add_node("agent", echo).compile(checkpointer) if app is None else app
        self.strategy: MultitaskStrategy = strategy
        self.interruptions = InterruptionManager(self.app, to_input=to_input, is_relevant=is_relevant)
        self.store = StateStore(self.interruptions)

    async def handle_user_message(self, user_id: str, message: str) -> str:
        """Begin, or queue, what a message asks for, by the strategy; return the task's id at once.

        Raise ``InvalidInputError`` for an empty message, ``ThreadBusyError`` under "reject".
        """
        return (await self.submit(user_id, message)).run_id

    async def submit(self, user_id: str, message: str, *, strategy: MultitaskStrategy | None = None) -> Receipt:
        """Do the same by another strategy for this message, and say what became of it."""
        return await self.interruptions.submit(user_id, message, strategy=strategy or self.strategy)

    async def interrupt(self, user_id: str, preserve_context: bool = True) -> bool:
        """Stop what runs for the user. Return False when there was nothing to stop."""
        return await self.interruptions.interrupt_task(user_id, preserve_context)

    async def resume(self, user_id: str) -> Receipt:
        """Go on with a task that was stopped, from its last committed step.

        Raise ``NothingToResumeError`` and ``UnknownThreadError``.
        """
        return await self.interruptions.resume(user_id)

    async def result(self, user_id: str, task_id: str) -> RunResult:
        """Wait until a task is over, wherever it runs, and return how it ended."""
        return await self.app.ajoin({"thread_id": user_id}, task_id)

    async def get_status(self, user_id: str) -> dict[str, Any]:
        """Return the user's last task as plain values, ``{"status": "idle"}`` when there is none."""
        return await self.interruptions.get_status_dict(user_id)

    async def get_partial_results(self, user_id: str) -> dict[str, Any]:
        """Return what the last task has shown or returned so far, by agent."""
        task = await self.interruptions.get_task_context(user_id)
        return {} if task is None else dict(task.partial_results)

    async def pending(self, user_id: str) -> tuple[Queued, ...]:
        """Return the messages that wait for their turn, the next one first."""
        return await self.app.aqueue({"thread_id": user_id})

    async def watch(self, user_id: str, after: int | None = None) -> AsyncGenerator[Update, None]:
        """Yield the user's task at each change: from now on, or whatever came above the sequence ``after``."""
        async with aclosing(self.interruptions.watch(user_id, after)) as updates:
            async for update in updates:
                yield update

    async def register_status_callback(self, user_id: str, callback: StatusCallback) -> None:
        """Have a function called at each change from now on."""
        await self.interruptions.register_status_callback(user_id, callback)

    async def unregister_status_callback(self, user_id: str, callback: StatusCallback) -> None:
        """Have it called no more."""
        await self.interruptions.unregister_status_callback(user_id, callback)

    async def aclose(self) -> None:
        """Call nobody any more, and end the graph if it was made here."""
        await self.interruptions.aclose()
        await self.store.aclose()
        if self._is_own_app:
            await self.app.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
