"""The messages of the wire: what a socket is sent for an update, and any value as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_jsonable_python
from starlette.responses import Response

from taf.events import EventType
from taf.interruption import TaskContext, Update


def dumps(value: Any) -> str:
    """Return JSON in ASCII. What has no form of its own in JSON is written as a text, NaN and infinity as null."""
    plain = to_jsonable_python(value, serialize_unknown=True, bytes_mode="base64", inf_nan_mode="null")
    return json.dumps(plain, allow_nan=False, separators=(",", ":"))


class Answer(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return dumps(content).encode()


def messages_of(update: Update) -> Iterator[dict[str, Any]]:
    """Yield what a socket is sent: the answer first, so that who saw the completion has seen it."""
    task = update.context
    if update.event is not None and update.event.event_type is EventType.COMPLETED:
        yield _response(task)
    yield status_update(task, is_committed=update.is_committed)


def status_update(task: TaskContext, *, is_committed: bool = True) -> dict[str, Any]:
    """Return how a task stands. ``sequence`` is the cursor: ``?after=`` it brings what comes next."""
    return {
        "type": "status_update",
        "task_id": task.task_id,
        "status": task.status.value,
        "current_agent": task.current_agent,
        "partial_results": task.partial_results,
        "timestamp": task.updated_at.isoformat(),
        "sequence": task.sequence,
        "committed": is_committed,
        "agents_completed": task.agents_completed,
        "position": task.position,
        "question": task.question,
        "error": task.error,
        "superseded_by": task.superseded_by,
    }


def _response(task: TaskContext) -> dict[str, Any]:
    return {
        "type": "response",
        "task_id": task.task_id,
        "status": task.status.value,
        "current_agent": task.current_agent,
        "response": task.response,
        "results": task.final_results,
        "timestamp": task.updated_at.isoformat(),
        "sequence": task.sequence,
    }


def pong() -> dict[str, Any]:
    """Return the answer to a ping."""
    return {"type": "pong", "timestamp": datetime.now(UTC).isoformat()}
