"""A conversation with an agent that may be interrupted: a graph of one node, which prompts it.

A message that comes while the agent works replaces its task, if the agent can be told to stop: the agent is told, its
stop is awaited, and it is prompted with the new message and what it was working on. Otherwise the message waits, in
sight, for its turn. The thread holds what people said; the prompts for the agent are made of that, and kept nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

from taf.checkpointer.base import BaseCheckpointer
from taf.errors import ConfigError, InvalidInputError, NothingToResumeError, UnknownThreadError
from taf.graph.context import Context
from taf.graph.multitask import MultitaskStrategy
from taf.graph.result import Receipt, RunResult
from taf.graph.state_graph import StateGraph
from taf.graph.telling import messages_in
from taf.ids import new_id
from taf.interruption.adapter import AgentAdapter, Turn
from taf.interruption.task import query_of
from taf.interruption.watch import read_task
from taf.state.agent_state import AgentState
from taf.state.execution import ExecutionStatus
from taf.state.messages import Message
from taf.state.superseded import Superseded

Mode: TypeAlias = Literal["interrupt", "queue", "rollback"]
"""What a message does to the task under way: take its place, wait for its end, or take its place and undo it."""

_STRATEGIES: Mapping[Mode, MultitaskStrategy] = {
    "interrupt": "interrupt",
    "queue": "enqueue",
    "rollback": "rollback",
}

COMBINED = """\
[Context: I was working on: "{task}"]

[INTERRUPTION] The user has sent a new message that takes priority:

{message}

Please address this new message. If it's related to the previous task, 
you may continue with that context. If it's unrelated, focus on the new request."""  # noqa: W291 - word for word


def combined_prompt(task: str, message: str) -> str:
    """Return what an agent is told when a message interrupts its task. Both are what the user said, word for word."""
    head, tail = COMBINED.split("{message}")
    return head.replace("{task}", task) + message + tail


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message. ``notice`` is a line for the user; ``position``: 0 is the next one in the queue."""

    text: str
    run_id: str
    outcome: str
    notice: str
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A message that waits for its turn."""

    text: str
    run_id: str
    position: int


@dataclass(frozen=True, slots=True)
class Reply:
    """How a message was answered: in full, or with what there was when another one took its place."""

    text: str
    stop_reason: str
    superseded_by: str | None = None


class Talk(AgentState):
    """The thread of a conversation: what people said and what the agent answered in full."""


class Conversation:
    """Sends messages to one agent. ``thread_id`` names the conversation in its store, where it is found again.

    ``grace``: how many seconds an agent that is told to stop has for it. One that takes longer keeps the next message
    waiting, and is never prompted twice at once. Used from one event loop. ``async with`` or ``aclose()`` ends it.
    """

    def __init__(
        self,
        adapter: AgentAdapter,
        *,
        checkpointer: BaseCheckpointer | None = None,
        thread_id: str | None = None,
        grace: float = 5.0,
    ) -> None:
        if grace <= 0:
            raise ConfigError(f"grace has to be above 0 seconds, not {grace!r}.")
        self.adapter, self.thread_id = adapter, thread_id or new_id()
        self._grace, self._prompting = grace, asyncio.Lock()
        self._left: set[asyncio.Task[Turn]] = set()
        graph = StateGraph(Talk).add_node("agent", self._agent)
        self.app = graph.compile(checkpointer, name="taf.conversation", stop_grace=grace + 1.0)

    @property
    def _config(self) -> dict[str, Any]:
        return {"thread_id": self.thread_id}

    # -- what people do ----------------------------------------------------------------------------

    async def send(self, text: str, *, mode: Mode | None = None) -> Sent:
        """Say something, and learn at once what became of it.

        ``mode``: what it does to a task under way (None: interrupt it if the agent can be told to stop). An agent that
        cannot has "interrupt" wait in the queue instead. Raise ``InvalidInputError`` for an empty text, and
        ``ConfigError`` for a rollback of what cannot be stopped.
        """
        if not text.strip():
            raise InvalidInputError("The message is empty.")
        can_cancel = self.adapter.supports_cancel
        if mode is not None and mode not in _STRATEGIES:
            raise ConfigError(f'There is no mode "{mode}". The modes: {", ".join(_STRATEGIES)}.')
        if mode == "rollback" and not can_cancel:
            raise ConfigError('mode="rollback" needs an agent that can be told to stop.')
        chosen = (mode or "interrupt") if can_cancel else "queue"
        message = Message.text_message(text)
        receipt = await self.app.asubmit({"messages": [message]}, self._config, multitask_strategy=_STRATEGIES[chosen])
        return Sent(text, receipt.run_id, receipt.outcome, await self._notice(receipt), receipt.position)

    async def _notice(self, receipt: Receipt) -> str:
        if receipt.outcome == "superseding":
            return "⚡ Interrupting agent with new message..."
        if receipt.outcome == "queued":
            count = len(await self.app.aqueue(self._config))
            return f"{count} message{'s'[: count != 1]} pending"
        return ""

    async def reply(self, run_id: str | None = None) -> Reply:
        """Wait for the answer to a message, or to the one under way. Raise ``UnknownThreadError``."""
        result = await self.app.ajoin(self._config, run_id)
        return _reply(result)

    async def stop(self) -> bool:
        """Tell the agent to stop. Return False when it was not at work."""
        return (await self.app.astop(self._config))["was_running"]

    async def resume(self) -> Sent:
        """Take up the task that was stopped or interrupted last, with what the user had said, word for word.

        Raise ``NothingToResumeError``.
        """
        try:
            snapshot = await self.app.aget_state(self._config)
        except UnknownThreadError:
            raise NothingToResumeError(self.thread_id, "new") from None
        if snapshot.status is ExecutionStatus.STOPPED:
            receipt = await self.app.asubmit(None, self._config)
            return Sent(query_of({"said": snapshot.state.messages}), receipt.run_id, receipt.outcome, "")
        if not snapshot.superseded:
            raise NothingToResumeError(self.thread_id, snapshot.status.value)
        return await self.send(query_of(snapshot.superseded[-1].input))

    # -- what people see ---------------------------------------------------------------------------

    async def messages(self) -> list[Message]:
        """Return what was said, in order: the user's own words, and answers that are complete."""
        try:
            snapshot = await self.app.aget_state(self._config)
        except UnknownThreadError:
            return []
        return list(snapshot.state.messages)

    async def pending(self) -> tuple[Pending, ...]:
        """Return the messages that wait for their turn, the next one first."""
        return tuple(
            Pending(query_of(one.input), one.run_id, one.position) for one in await self.app.aqueue(self._config)
        )

    async def withdraw(self, run_id: str | None = None) -> int:
        """Take a message, or all of them, out of the queue. Return how many."""
        return len(await self.app.aclear_queue(self._config, run_id))

    async def edit(self, run_id: str, text: str) -> bool:
        """Change a message that waits. Return False when it does not wait any more."""
        return await self.app.aedit_queued(self._config, run_id, {"messages": [Message.text_message(text)]})

    async def interrupted(self) -> tuple[Superseded, ...]:
        """Return the tasks that were interrupted, newest last, with what the agent had shown by then."""
        try:
            return (await self.app.aget_state(self._config)).superseded
        except UnknownThreadError:
            return ()

    # -- what the agent gets -----------------------------------------------------------------------

    async def _agent(self, state: Talk, ctx: Context) -> Message:
        said = query_of({"said": state.messages})
        async with self._prompting:  # the one before may still be unwinding
            await self._until_left()
            turn = await self._prompt(await self._text_for(said, state.messages, ctx), ctx)
        return Message.text_message(turn.text, role="assistant")

    async def _text_for(self, said: str, messages: Sequence[Message], ctx: Context) -> str:
        """Return the text for the agent: what was said, with the task that it interrupts, unless that was undone.

        A task that was stopped before is no interrupted one, though what it left is handed on as well.
        """
        last = ctx.superseded[-1] if ctx.superseded else None
        if last is None or last.superseded_by != ctx.run_id:
            return said
        task = await read_task(self.app, self.thread_id, last.run_id)
        ids = {message.id for message in messages}
        is_undone = not any(message.id in ids for message in messages_in(last.input))
        if is_undone or task is None or task.superseded_by != ctx.run_id:
            return said
        return combined_prompt(query_of(last.input), said)

    async def _prompt(self, text: str, ctx: Context) -> Turn:
        prompting = asyncio.create_task(self.adapter.prompt(text, ctx.emit))
        try:
            return await asyncio.shield(prompting)
        except asyncio.CancelledError:
            if not prompting.done():
                await self._cancel(prompting)
            raise

    async def _cancel(self, prompting: asyncio.Task[Turn]) -> None:
        """Tell the agent to stop, and wait until it has."""
        self._left.add(prompting)
        prompting.add_done_callback(self._note_left)
        if self.adapter.supports_cancel:
            await self.adapter.cancel()
            await asyncio.wait([prompting], timeout=self._grace)

    def _note_left(self, prompting: asyncio.Task[Turn]) -> None:
        self._left.discard(prompting)
        if not prompting.cancelled():
            prompting.exception()  # nobody waits for what it says any more

    async def _until_left(self) -> None:
        while self._left:
            await asyncio.wait(list(self._left))

    @property
    def is_unwinding(self) -> bool:
        """True while an agent that was told to stop has not stopped."""
        return bool(self._left)

    async def aclose(self) -> None:
        """Tell the agent to stop, and end the conversation here. Its thread stays where it is kept."""
        await self.app.aclose()
        for prompting in list(self._left):
            prompting.cancel()
        await self._until_left()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _reply(result: RunResult) -> Reply:
    shown = "".join(str(partial.value) for partial in result.partials if partial.key is None)
    if result.superseded_by is not None or result.status is ExecutionStatus.STOPPED:
        return Reply(shown, "cancelled", result.superseded_by)
    answers = [message.text() for message in result.messages if message.role == "assistant"]
    return Reply(
        answers[-1] if answers else "", "end_turn" if result.status is ExecutionStatus.COMPLETED else str(result.status)
    )
