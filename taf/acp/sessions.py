"""Which session of an agent belongs to a thread and a node: kept in the thread's own store, and deleted with it."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel

from taf.graph.blocking import CompiledGraph
from taf.graph.context import Context
from taf.graph.engine import Engine
from taf.graph.inner import INNER, inner_journal
from taf.graph.runtime import Runtime
from taf.graph.state_graph import StateGraph
from taf.publisher.bus import Bus


class _Known(BaseModel):
    session_id: str = ""


def _nothing(state: _Known) -> None:
    return None


_spec = StateGraph(_Known).add_node(_nothing).compile().runtime


class SessionRecord:
    """The session of the node that runs, as the store knows it. It lies beside the threads of subgraphs."""

    def __init__(self, context: Context) -> None:
        parent = cast("Engine", context.host).runtime
        journal = inner_journal(parent.journal, _spec)
        self._app = CompiledGraph(Runtime(_spec.spec, journal, Bus(()), _spec.options), owns_checkpointer=False)
        # In the place of a visit stands a word, so that it outlives all visits.
        self._name = f"{context.thread_id}{INNER}{context.task.key}@acp"

    async def read(self) -> str:
        """Return the id of the session; "" when there is none."""
        found = await self._app.runtime.journal.read(self._name)
        return "" if found is None else cast("str", found[0].values.get("session_id", ""))

    async def write(self, session_id: str) -> None:
        """Keep the id of the session."""
        config: dict[str, Any] = {"thread_id": self._name}
        await self._app.aupdate_state(config, {"session_id": session_id})
