"""A task as the caller of a manager sees it: a fold over the events of one run, and nothing that is kept beside it.

The words of this room are those of people who send messages: a *user* is a thread, a *task* is a run, an *agent* is a
node. "Interrupted" means here that a task was stopped or replaced; a pause for a human is no end, and is *running*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from taf.events import Event, EventType
from taf.graph.handover import DROPPED
from taf.graph.telling import messages_in
from taf.state.messages import Message
from taf.state.superseded import Superseded


class TaskStatus(StrEnum):
    """Where a task stands."""

    IDLE = "idle"
    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """True when nothing of the task runs, or is going to."""
        return self not in (TaskStatus.QUEUED, TaskStatus.RUNNING)


@dataclass(slots=True)
class TaskContext:
    """One task. ``task_id`` is the id of the run, ``user_id`` that of the thread.

    ``partial_results``: by agent, what it has shown or returned so far. ``final_results``: by agent, with the last
    answer as ``response``, once the task is complete. ``cancel_event`` is set once the task is told to leave, in the
    process that runs it. ``sequence`` is that of the last event in here, ``question`` what a human is asked just now,
    ``position`` the place in the queue, 0 for the next.
    """

    task_id: str
    user_id: str
    query: str
    intent: str
    status: TaskStatus
    created_at: datetime
    updated_at: datetime
    current_agent: str | None = None
    agents_completed: list[str] = field(default_factory=list[str])
    partial_results: dict[str, Any] = field(default_factory=dict[str, Any])
    final_results: dict[str, Any] | None = None
    cancel_event: asyncio.Event = field(default_factory=asyncio.Event)
    error: str | None = None
    task: asyncio.Task[Any] | None = None
    sequence: int = 0
    step_sequence: int = 0
    question: str | None = None
    position: int | None = None
    superseded_by: str | None = None
    response: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what can be told of it, times as ISO texts."""
        return {
            "task_id": self.task_id,
            "status": self.status.value,
            "query": self.query,
            "intent": self.intent,
            "current_agent": self.current_agent,
            "agents_completed": list(self.agents_completed),
            "partial_results": dict(self.partial_results),
            "final_results": self.final_results,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
            "error": self.error,
            "question": self.question,
            "position": self.position,
            "superseded_by": self.superseded_by,
            "sequence": self.sequence,
        }

    def as_previous(self) -> dict[str, Any]:
        """Return what the next task is told of this one."""
        return {
            "task_id": self.task_id,
            "previous_query": self.query,
            "previous_intent": self.intent,
            "partial_results": dict(self.partial_results),
            "agents_completed": list(self.agents_completed),
            "interrupted_at": self.updated_at.isoformat(),
        }


_BEGINNINGS = frozenset({EventType.STARTED, EventType.RESUMED})
"""Events that may begin a task. Others of an unknown run are about the thread, or come before its beginning."""

STEPS = frozenset(set(EventType) - {EventType.PARTIAL, EventType.TASK_RECORDED})
"""Events behind which partials that were shown before are out of date."""


def advance(context: TaskContext | None, event: Event) -> TaskContext | None:
    """Return the thread's task after a committed event: the one before in a new state, or the next one."""
    if context is None or event.run_id != context.task_id:
        if event.event_type not in _BEGINNINGS:
            return context if context is None else replace(context, sequence=event.sequence)
        context = _begun(context, event)
    changes = _CHANGES[event.event_type](context, event) if event.event_type in _CHANGES else {}
    step = event.sequence if event.event_type in STEPS else context.step_sequence
    return replace(context, **changes, updated_at=event.timestamp, sequence=event.sequence, step_sequence=step)


def _begun(before: TaskContext | None, event: Event) -> TaskContext:
    """Return a task at its beginning. One that goes on with an earlier one's work has its query."""
    goes_on = event.event_type is not EventType.STARTED and before is not None
    query, intent = (before.query, before.intent) if goes_on and before is not None else ("", "")
    at = event.timestamp
    return TaskContext(event.run_id, event.thread_id, query, intent, TaskStatus.RUNNING, at, at)


def query_of(update: Mapping[str, Any]) -> str:
    """Return what the user said in an input: the last message of the user, or else a field called ``query``."""
    said = [message.text() for message in messages_in(update) if message.role == "user"]
    return said[-1] if said else str(update.get("query") or "")


def _without_messages(update: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in update.items()
        if not isinstance(value, Message) and not (isinstance(value, list) and messages_in({name: value}))
    }


def _next(event: Event) -> str | None:
    ahead = event.data.get("next") or ()
    return ahead[0] if ahead else None


def _intent(context: TaskContext, update: Mapping[str, Any]) -> str:
    found = update.get("intent")
    return found if isinstance(found, str) else context.intent


def _started(context: TaskContext, event: Event) -> dict[str, Any]:
    update = event.data["update"]
    return {
        "query": query_of(update) or context.query,
        "intent": _intent(context, update),
        "status": TaskStatus.RUNNING,
        "current_agent": _next(event),
        "question": None,
    }


def _completed_node(context: TaskContext, event: Event) -> dict[str, Any]:
    node, update = event.node_name or "", event.data["update"]
    answers = [message.text() for message in messages_in(update) if message.role == "assistant"]
    results = _without_messages(update)
    shown = {name: value for name, value in context.partial_results.items() if name != node}
    done = context.agents_completed
    return {
        "intent": _intent(context, update),
        "agents_completed": done if node in done else [*done, node],
        "partial_results": {**shown, node: results} if results else shown,
        "current_agent": _next(event),
        "response": answers[-1] if answers else context.response,
    }


def _stopped(context: TaskContext, event: Event) -> dict[str, Any]:
    left: dict[str, Any] = {}
    for partial in event.data.get("partials", ()):
        show(left, partial["node"], partial["key"], partial["value"])
    is_dropped = event.data.get("reason") == DROPPED
    return {
        "status": TaskStatus.CANCELLED if is_dropped else TaskStatus.INTERRUPTED,
        "partial_results": {**context.partial_results, **left},
        "superseded_by": event.data.get("superseded_by"),
        "current_agent": event.node_name,
        "question": None,
    }


def _handed_over(context: TaskContext, event: Event) -> dict[str, Any]:
    """End a task whose process died, as another one takes its place: it told no end of its own."""
    if context.status.is_over:
        return {}
    left: Superseded = event.data["superseded"]
    return {"status": TaskStatus.INTERRUPTED, "superseded_by": left.superseded_by, "question": None}


def _completed(context: TaskContext, event: Event) -> dict[str, Any]:
    answer = {} if context.response is None else {"response": context.response}
    final = {**context.partial_results, **answer}
    return {"status": TaskStatus.COMPLETED, "final_results": final, "current_agent": None, "question": None}


_CHANGES: dict[EventType, Callable[[TaskContext, Event], dict[str, Any]]] = {
    EventType.STARTED: _started,
    EventType.RESUMED: _started,
    EventType.NODE_COMPLETED: _completed_node,
    EventType.INTERRUPTED: lambda _, event: {"question": event.content, "current_agent": event.node_name},
    EventType.ANSWERED: lambda _, event: {"question": None},
    EventType.STOPPED: _stopped,
    EventType.HANDED_OVER: _handed_over,
    EventType.COMPLETED: _completed,
    EventType.ERROR: lambda _, event: {
        "status": TaskStatus.FAILED,
        "error": event.content,
        "current_agent": event.node_name,
        "question": None,
    },
}


def is_told(before: TaskContext | None, event: Event) -> bool:
    """Say whether an event changes how a task stands."""
    is_late = event.event_type is EventType.HANDED_OVER and (before is None or before.status.is_over)
    return event.event_type in _CHANGES and not is_late


def show(results: dict[str, Any], node: str, key: str | None, value: Any) -> None:
    """Add a partial to results by node: the newest value, or a dict of the newest of each key, the last one last."""
    if key is None:
        results[node] = value
        return
    others = {name: one for name, one in by_name(results.get(node)).items() if name != key}
    results[node] = {**others, key: value}


def by_name(value: object) -> dict[str, Any]:
    """Return a dict as it is, and an empty one for any other value."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
