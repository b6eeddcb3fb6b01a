"""Facts → events: the same events for a live reader and for one that reads the journal later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from taf.checkpointer.base import Record
from taf.checkpointer.ledger import Told
from taf.events import Event, EventType
from taf.state.channel import Op
from taf.state.copying import copy_value
from taf.state.facts import (
    Answered,
    Completed,
    Failed,
    Forked,
    HandedOver,
    Paused,
    Reopened,
    Resumed,
    RolledBack,
    Started,
    Steered,
    Stepped,
    Stopped,
    TaskRecorded,
    Updated,
    Upgraded,
)
from taf.state.messages import Message

Parts = tuple[EventType, str | None, str, Mapping[str, Any]]
"""Type, node, content and data of an event."""


def events_of(thread_id: str, told: Iterable[Told]) -> list[Event]:
    """Return the events that tell of some facts, in order."""
    return [event for one in told for event in _events(thread_id, one)]


def _events(thread_id: str, told: Told) -> list[Event]:
    record, fact = told
    parts = _stepped(fact) if isinstance(fact, Stepped) else [_PARTS[type(fact)](fact)]
    first = record.sequence - len(parts) + 1
    at = datetime.fromtimestamp(record.at, UTC)
    return [_event(thread_id, record, first + i, at, *part) for i, part in enumerate(parts)]


def _event(
    thread_id: str,
    record: Record,
    sequence: int,
    at: datetime,
    kind: EventType,
    node: str | None,
    content: str,
    data: Mapping[str, Any],
) -> Event:
    metadata = {"status": content or _sentence(kind, node)}
    return Event(kind, thread_id, record.run_id, sequence, record.step, at, node, content, data, metadata)


def _sentence(kind: EventType, node: str | None) -> str:
    return f'Node "{node}": {kind.value}.' if node else f"The run is {kind.value}."


def update_of(ops: Sequence[Op]) -> dict[str, Any]:
    """Return what some changes brought: what was appended or merged, or the new value of a field."""
    update: dict[str, Any] = {}
    for kind, name, value in ops:
        if kind == "put":
            update.setdefault(name, []).append(copy_value(value[1]))
        elif kind == "append" and name in update:
            update[name] = [*update[name], *copy_value(value)]
        elif kind in ("set", "append", "merge"):
            update[name] = copy_value(value)
        else:
            update.setdefault(name, None)
    return update


def messages_in(update: Mapping[str, Any]) -> list[Message]:
    """Return the messages that an update brought."""
    lists: list[list[Any]] = [value for value in update.values() if isinstance(value, list)]
    return [item for items in lists for item in items if isinstance(item, Message)]


def _stepped(fact: Stepped) -> list[Parts]:
    ahead = list(dict.fromkeys(task.node for task in fact.frontier))
    parts: list[Parts] = []
    for node, _, ops in fact.ran:
        update = update_of(ops)
        said = messages_in(update)
        content = said[-1].text() if said else f"{node} completed"
        parts.append((EventType.NODE_COMPLETED, node, content, {"update": update, "next": ahead}))
    return parts or [(EventType.STATE_UPDATED, None, "", {"update": {}, "next": ahead})]


def _started(fact: Started) -> Parts:
    nodes = list(dict.fromkeys(task.node for task in fact.frontier))
    return EventType.STARTED, None, "The run started.", {"update": update_of(fact.ops), "next": nodes}


def _paused(fact: Paused) -> Parts:
    first = fact.records[0] if fact.records else None
    data = {
        "interrupted": fact.kind.value,
        "reason": fact.reason,
        "interrupts": [record.id for record in fact.records],
        "data": copy_value(first.data) if first else None,
    }
    return EventType.INTERRUPTED, fact.node, fact.reason, data


def _answered(fact: Answered) -> Parts:
    record = fact.record
    data = {"interrupt_id": record.id, "status": record.status.value, "by": record.answered_by}
    return EventType.ANSWERED, record.node, f"The interrupt was {record.status.value}.", data


def _stopped(fact: Stopped) -> Parts:
    partials = [{**p._asdict(), "value": copy_value(p.value)} for p in fact.partials]
    data: dict[str, Any] = {"reason": fact.reason, "partials": partials, "unwinding": list(fact.unwinding)}
    data["superseded_by"] = fact.superseded_by
    return EventType.STOPPED, fact.node, f"The run was stopped: {fact.reason}.", data


_PARTS: dict[type, Callable[[Any], Parts]] = {
    Started: _started,
    TaskRecorded: lambda f: (EventType.TASK_RECORDED, f.node, f"{f.entry.name} recorded", {"task": f.entry.name}),
    Paused: _paused,
    Answered: _answered,
    Reopened: lambda f: (
        EventType.ANSWER_REFUSED,
        f.record.node,
        f.why,
        {"interrupt_id": f.record.id},
    ),
    Resumed: lambda f: (EventType.RESUMED, None, "The run goes on.", {"update": update_of(f.ops)}),
    Stopped: _stopped,
    Completed: lambda f: (EventType.COMPLETED, None, "The run is complete.", {}),
    Failed: lambda f: (
        EventType.ERROR,
        f.node,
        f"{f.error}: {f.message}",
        {"error": f.error, "message": f.message},
    ),
    Updated: lambda f: (EventType.STATE_UPDATED, f.node, "The state was updated.", {"update": update_of(f.ops)}),
    Steered: lambda f: (
        EventType.STEERED,
        None,
        "A message came in.",
        {"messages": list(f.messages), "update": update_of(f.ops)},
    ),
    HandedOver: lambda f: (
        EventType.HANDED_OVER,
        f.left.node,
        f"Run {f.left.run_id} was cut short.",
        {"superseded": copy_value(f.left)},
    ),
    RolledBack: lambda f: (
        EventType.ROLLED_BACK,
        None,
        "The state is again what it was before the run.",
        {"checkpoint_id": str(f.sequence)},
    ),
    Upgraded: lambda f: (
        EventType.UPGRADED,
        None,
        "The graph has changed since.",
        {"graph": f.graph, "version": f.version, "renamed": dict(f.renamed), "update": update_of(f.ops)},
    ),
    Forked: lambda f: (
        EventType.FORKED,
        None,
        f"Forked from {f.source} at {f.sequence}.",
        {"source": f.source, "checkpoint_id": str(f.sequence)},
    ),
}
