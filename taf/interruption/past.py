"""What interrupted tasks leave to those that come after them."""

from __future__ import annotations

from typing import Any

from taf.errors import UnknownThreadError
from taf.graph.blocking import CompiledGraph
from taf.interruption.task import TaskStatus, by_name, query_of
from taf.interruption.watch import read_task
from taf.interruption.work import NODE, unwrapped
from taf.state.execution import ExecutionStatus
from taf.state.superseded import Superseded


async def previous_of(app: CompiledGraph, user_id: str, *, is_own_work: bool = False) -> list[dict[str, Any]]:
    """Return the contexts of the user's interrupted tasks, newest last: by one read of the thread.

    A task that was stopped, and that no other one has taken the place of yet, is the last of them.
    """
    try:
        snapshot = await app.aget_state({"thread_id": user_id})
    except UnknownThreadError:
        return []
    found = [_as_previous(one, is_own_work=is_own_work) for one in snapshot.superseded]
    if snapshot.status is ExecutionStatus.STOPPED and snapshot.run_id not in {one["task_id"] for one in found}:
        task = await read_task(app, user_id)
        if task is not None and task.status is TaskStatus.INTERRUPTED:
            found.append((unwrapped(task) if is_own_work else task).as_previous())
    return found


def _as_previous(superseded: Superseded, *, is_own_work: bool) -> dict[str, Any]:
    shown = dict(superseded.partial_results)
    completed = [name for name in superseded.completed if name != NODE] if is_own_work else list(superseded.completed)
    return {
        "task_id": superseded.run_id,
        "previous_query": query_of(superseded.input),
        "previous_intent": str(superseded.input.get("intent") or ""),
        "partial_results": by_name(shown.get(NODE)) if is_own_work else shown,
        "agents_completed": completed,
        "interrupted_at": superseded.at.isoformat(),
    }
