"""Events → session updates: what a client shows of a run while it goes on, and of a thread's past."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from acp.schema import (
    AgentMessageChunk,
    AgentPlanUpdate,
    PlanEntry,
    ToolCallProgress,
    ToolCallStart,
    UserMessageChunk,
)

from taf.acp.content import as_json, said_by_agent, said_by_user, shown, tool_text
from taf.events import Event, EventType
from taf.graph.telling import messages_in
from taf.state.execution import ExecutionStatus
from taf.state.messages import Message
from taf.state.run import Run

Update: TypeAlias = AgentMessageChunk | UserMessageChunk | AgentPlanUpdate | ToolCallStart | ToolCallProgress

UNSAID = frozenset({"system", "tool"})
"""Roles of messages that are not shown as what the agent said."""


class Narrator:
    """Tells of one turn. A node is a tool call; the plan is the nodes of the graph, and how far each one is."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._plan = dict.fromkeys(nodes, "pending")
        self._shown: dict[str, str] = {}
        self._calls: dict[str, str] = {}
        self._voice = Voice()

    def live(self, events: Sequence[Event], run: Run) -> Iterator[Update]:
        """Yield what to tell of some events, and of the run as they leave it."""
        for event in events:
            tell = _TELL.get(event.event_type)
            if tell is not None:
                yield from tell(self, event)
        if run.status is ExecutionStatus.RUNNING:
            yield from self._begin(run)
        yield from self._planned()

    def past(self, event: Event) -> Iterator[Update]:
        """Yield what to tell of an event of the thread's past. There is no plan in it, and nothing that is open."""
        if event.event_type in _BROUGHT_IN:
            yield from self.said(messages_in(event.data["update"]))
        elif event.event_type is EventType.NODE_COMPLETED:
            yield from self._completed(event)
        elif event.event_type is EventType.STOPPED:
            for partial in event.data["partials"]:
                if isinstance(partial["value"], str):
                    yield from self._voice.stream(partial["node"], partial["value"], partial["attempt"])
            self._voice.rest()

    def said(self, messages: Iterable[Message]) -> Iterator[Update]:
        """Yield what was said by the user and by the agent."""
        for message in messages:
            if message.role == "user":
                self._voice.rest()
                yield said_by_user(message.text())
            elif message.role not in UNSAID:
                yield from self._voice.add("", message)

    # -- nodes -------------------------------------------------------------------------------------

    def _begin(self, run: Run) -> Iterator[Update]:
        waiting = {record.task for record in run.details.interrupts}
        for task in run.frontier:
            if task.key in self._calls or task.key in run.details.finished or task.key in waiting:
                continue
            self._calls[task.key] = f"{run.run_id}-{run.step}-{task.key}"
            self._plan[task.node] = "in_progress"
            yield ToolCallStart(
                session_update="tool_call",
                tool_call_id=self._calls[task.key],
                title=task.node,
                kind="other",
                status="in_progress",
            )

    def _completed(self, event: Event) -> Iterator[Update]:
        node, update = str(event.node_name), event.data["update"]
        for message in messages_in(update):
            if message.role not in UNSAID:
                yield from self._voice.add(node, message)
        self._voice.done(node)
        call = self._close(node)
        if call is None:
            call = f"{event.run_id}-{event.sequence}"
            yield ToolCallStart(session_update="tool_call", tool_call_id=call, title=node, kind="other")
        self._plan[node] = "completed"
        rest = {name: value for name, value in update.items() if not messages_in({name: value})}
        yield ToolCallProgress(
            session_update="tool_call_update",
            tool_call_id=call,
            status="completed",
            raw_output=as_json(rest) if rest else None,
        )

    def _close(self, node: str) -> str | None:
        """Take away the call of a node that has run: that of its oldest branch."""
        key = next((key for key in self._calls if key == node or key.startswith(f"{node}#")), None)
        return None if key is None else self._calls.pop(key)

    def _partial(self, event: Event) -> Iterator[Update]:
        node, value = str(event.node_name), event.data["value"]
        if isinstance(value, str | Message):
            text = value if isinstance(value, str) else value.text()
            yield from self._voice.stream(node, text, event.data["attempt"])
            return
        call = next((id for key, id in self._calls.items() if key == node or key.startswith(f"{node}#")), None)
        if call is not None:
            yield ToolCallProgress(
                session_update="tool_call_update",
                tool_call_id=call,
                status="in_progress",
                content=[tool_text(shown(value))],
            )

    def _cut_short(self, event: Event) -> Iterator[Update]:
        for call in self._calls.values():
            yield ToolCallProgress(
                session_update="tool_call_update",
                tool_call_id=call,
                status="failed",
                content=[tool_text(event.content)],
            )
        self._calls.clear()

    def _paused(self, event: Event) -> Iterator[Update]:
        self._voice.paused()
        yield from ()

    # -- the plan ----------------------------------------------------------------------------------

    def _planned(self) -> Iterator[Update]:
        if self._plan == self._shown:
            return
        self._shown = dict(self._plan)
        entries = [
            PlanEntry.model_validate({"content": node, "priority": "medium", "status": status})
            for node, status in self._plan.items()
        ]
        yield AgentPlanUpdate(session_update="plan", entries=entries)


class Voice:
    """What the agent says, as one text: nodes are told apart, and nothing is said twice.

    A node that is run again, as after a pause, may stream the same once more: that is left out as long as it is the
    same. So is a message that was streamed before it was returned.
    """

    def __init__(self) -> None:
        self._last: str | None = None
        self._has_spoken = False
        self._streamed: dict[str, str] = {}
        self._repeats: dict[str, str] = {}
        self._attempts: dict[str, int] = {}

    def stream(self, node: str, text: str, attempt: int = 1) -> Iterator[AgentMessageChunk]:
        """Say a piece of a message that a node streams."""
        if self._attempts.setdefault(node, attempt) != attempt:
            self._attempts[node] = attempt
            self._again(node)
        self._streamed[node] = self._streamed.get(node, "") + text
        known = self._repeats.pop(node, "")
        if known.startswith(text):
            self._repeats[node] = known[len(text) :]
        elif known and text.startswith(known):
            yield self._chunk(node, text[len(known) :])
        else:
            yield self._chunk(node, text)

    def add(self, node: str, message: Message) -> Iterator[AgentMessageChunk]:
        """Say what of a message was not streamed before."""
        text, streamed = message.text(), self._streamed.pop(node, "")
        if streamed.startswith(text):
            self._streamed[node] = streamed[len(text) :]
        elif streamed and text.startswith(streamed):
            yield self._chunk(node, text[len(streamed) :])
        elif text.strip() != streamed.strip():
            self.rest()
            yield self._chunk(node, text)
        self.rest()

    def done(self, node: str) -> None:
        """A node has run to its end: what it streams next is new."""
        for kept in (self._streamed, self._repeats, self._attempts):
            kept.pop(node, None)

    def paused(self) -> None:
        """Nodes that asked are run again."""
        for node in list(self._streamed):
            self._again(node)
        self.rest()

    def rest(self) -> None:
        """End a message: what comes next is another one."""
        self._last = None

    def _again(self, node: str) -> None:
        self._repeats[node] = self._streamed.pop(node, "")

    def _chunk(self, node: str, text: str) -> AgentMessageChunk:
        if self._last != node:
            self._last = node
            text = f"\n\n{text}" if self._has_spoken else text
        self._has_spoken = True
        return said_by_agent(text)


Tell: TypeAlias = Callable[[Any, Event], Iterator[Update]]
_TELL: dict[EventType, Tell] = {
    EventType.NODE_COMPLETED: Narrator._completed,  # pyright: ignore[reportPrivateUsage]
    EventType.PARTIAL: Narrator._partial,  # pyright: ignore[reportPrivateUsage]
    EventType.INTERRUPTED: Narrator._paused,  # pyright: ignore[reportPrivateUsage]
    EventType.STOPPED: Narrator._cut_short,  # pyright: ignore[reportPrivateUsage]
    EventType.ERROR: Narrator._cut_short,  # pyright: ignore[reportPrivateUsage]
}
_BROUGHT_IN = frozenset({EventType.STARTED, EventType.RESUMED, EventType.STATE_UPDATED})
