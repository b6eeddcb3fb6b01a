"""What callers note of a user's tasks, beside what the store knows of them by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import Field

from taf.checkpointer.base import BaseCheckpointer
from taf.errors import ThreadBusyError, UnknownThreadError
from taf.graph.state_graph import StateGraph
from taf.interruption.manager import InterruptionManager
from taf.state.agent_state import AgentState
from taf.state.reducers import merge

KEPT = 5
"""How many interrupted contexts there are of a user."""
TENANT = "taf.interruption.notes/"
"""Notes are threads of the same store, under a tenant of their own, so that no user's thread is in their way."""
PATIENCE_SECONDS = 5.0


def keep_last(current: list[dict[str, Any]], update: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add contexts, one for each task, and keep the newest."""
    new = {one["task_id"] for one in update}
    return [*(one for one in current if one["task_id"] not in new), *update][-KEPT:]


class Notes(AgentState):
    """What was noted of one user."""

    metadata: Annotated[dict[str, dict[str, Any]], merge] = Field(default_factory=dict[str, dict[str, Any]])
    partials: Annotated[dict[str, Any], merge] = Field(default_factory=dict[str, Any])
    contexts: Annotated[list[dict[str, Any]], keep_last] = Field(default_factory=list[dict[str, Any]])


async def _nothing(state: Notes) -> None:
    """Stand in the graph, whose threads are only ever updated."""


class StateStore:
    """Keeps metadata, partial results and interrupted contexts by user.

    ``manager``: whose tasks are asked of their own store first; what is noted here is laid over that. ``checkpointer``:
    where notes are kept (None: the manager's, or in memory).
    """

    def __init__(
        self,
        manager: InterruptionManager | None = None,
        *,
        checkpointer: BaseCheckpointer | None = None,
        tenant: str = "",
    ) -> None:
        self._manager = manager
        place = manager.app.checkpointer if checkpointer is None and manager is not None else checkpointer
        graph = StateGraph(Notes).add_node("nothing", _nothing)
        self._notes = graph.compile(place, name="taf.interruption.notes", tenant=TENANT + tenant)

    async def _read(self, user_id: str) -> Notes:
        try:
            found: Notes = (await self._notes.aget_state({"thread_id": user_id})).state
        except UnknownThreadError:
            return Notes()
        return found

    async def _write(self, user_id: str, update: Mapping[str, Any]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    await self._notes.aupdate_state({"thread_id": user_id}, dict(update))
                except ThreadBusyError:  # somebody else notes something just now
                    await asyncio.sleep(0.002)
                else:
                    return

    async def save_task_metadata(self, user_id: str, task_id: str, metadata: Mapping[str, Any]) -> None:
        """Note something of a task, in the place of what was noted of it before."""
        noted = {**metadata, "updated_at": datetime.now(UTC).isoformat()}
        await self._write(user_id, {"metadata": {task_id: noted}})

    async def get_task_metadata(self, user_id: str, task_id: str | None = None) -> dict[str, Any] | None:
        """Return what is known and noted of a task, or of the user's last one; None for an unknown one."""
        task = await self._manager.get_task_context(user_id, task_id) if self._manager is not None else None
        noted = (await self._read(user_id)).metadata
        if task_id is None:
            last = max(noted, key=lambda name: str(noted[name].get("updated_at", "")), default=None)
            task_id = task.task_id if task is not None else last
        known = {} if task is None else task.as_dict()
        found = {**known, **noted.get(task_id or "", {})}
        return found or None

    async def save_partial(self, user_id: str, agent_name: str, data: Any) -> None:
        """Keep what an agent has so far: with the task that is under way, or as a note when there is none."""
        if self._manager is None or not await self._manager.save_partial_results(user_id, agent_name, data):
            await self._write(user_id, {"partials": {agent_name: data}})

    async def get_partials(self, user_id: str) -> dict[str, Any]:
        """Return the results of the user's last task so far, by agent; without a manager, what was saved."""
        task = await self._manager.get_task_context(user_id) if self._manager is not None else None
        return dict(task.partial_results if task is not None else (await self._read(user_id)).partials)

    async def preserve_interrupted_context(self, user_id: str, task_id: str, context: Mapping[str, Any]) -> None:
        """Note what a task leaves. What the store knows of an interrupted task is preserved without this."""
        noted = {**context, "task_id": task_id, "interrupted_at": datetime.now(UTC).isoformat()}
        await self._write(user_id, {"contexts": [noted]})

    async def get_interrupted_contexts(self, user_id: str) -> list[dict[str, Any]]:
        """Return the last contexts of the user, newest last."""
        known = await self._manager.previous_contexts(user_id) if self._manager is not None else []
        found = {one["task_id"]: one for one in known}
        for noted in (await self._read(user_id)).contexts:
            found[noted["task_id"]] = {**found.get(noted["task_id"], {}), **noted}
        return sorted(found.values(), key=lambda one: str(one["interrupted_at"]))[-KEPT:]

    async def get_latest_interrupted_context(self, user_id: str) -> dict[str, Any] | None:
        """Return the newest of them."""
        contexts = await self.get_interrupted_contexts(user_id)
        return contexts[-1] if contexts else None

    async def aclose(self) -> None:
        """End what was made here."""
        await self._notes.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
