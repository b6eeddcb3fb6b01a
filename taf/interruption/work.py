"""Work that a caller does by itself, as a run: a graph of one node, which waits for it.

So what callers save, interrupt and finish goes the one way of every run: on record, fenced, one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import Field

from taf.checkpointer.base import BaseCheckpointer
from taf.errors import WorkFailedError, WorkLostError
from taf.graph.blocking import CompiledGraph
from taf.graph.context import Context
from taf.graph.state_graph import StateGraph
from taf.interruption.task import TaskContext, TaskStatus, by_name
from taf.state.agent_state import AgentState

NODE = "work"


class CancellationEvent(asyncio.Event):
    """The event of a task whose node runs here: set as soon as the run is told to stop, by whomever."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def is_set(self) -> bool:
        """True once the task is to leave."""
        return super().is_set() or self._context.stopping


class Work(AgentState):
    """The state of a user's thread: what was asked last, and what came of it."""

    query: str = ""
    intent: str = ""
    shown: dict[str, Any] = Field(default_factory=dict[str, Any])
    final_results: dict[str, Any] | None = None


@dataclass(eq=False)
class Handle:
    """What a task has in this process while it is under way, and no store can keep."""

    task_id: str
    user_id: str
    cancel_event: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Any] | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    context: Context | None = None
    outcome: asyncio.Future[dict[str, Any]] | None = None
    shown: dict[str, Any] = field(default_factory=dict[str, Any])

    def show(self, agent: str, results: Any) -> None:
        """Show what an agent has so far."""
        assert self.context is not None
        self.context.emit(results, agent)
        self.shown = {**{name: one for name, one in self.shown.items() if name != agent}, agent: results}

    def cancel(self) -> None:
        """Tell the work to leave."""
        self.cancel_event.set()
        if self.task is not None and not self.task.done():
            self.task.cancel()

    def end(self) -> None:
        """Say that the run is over, also to whoever waits for it to begin."""
        self.over.set()
        self.begun.set()

    def attach(self, task: asyncio.Task[Any]) -> None:
        """Have the task's end be the end of the work."""
        self.task = task
        if self.cancel_event.is_set() or self.over.is_set():
            task.cancel()
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        if task is not self.task:
            return
        if task.cancelled():
            self.fail(WorkFailedError(f"Task {self.task_id} was cancelled."))
        elif (error := task.exception()) is not None:
            self.fail(error if isinstance(error, Exception) else WorkFailedError(str(error)))
        else:
            result: object = task.result()
            self.finish(by_name(result) or ({} if result in (None, {}) else {"result": result}))

    def finish(self, results: Mapping[str, Any]) -> None:
        """End the work well."""
        if self.outcome is not None and not self.outcome.done():
            self.outcome.set_result(dict(results))

    def fail(self, error: Exception) -> None:
        """End the work in an error."""
        if self.outcome is not None and not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # a run that was stopped takes it no more, and that is no warning


class Desk:
    """The handles of the tasks under way here, by id, and the graph that waits for them."""

    def __init__(self) -> None:
        self.handles: dict[str, Handle] = {}

    def compile(self, checkpointer: BaseCheckpointer | None, name: str, tenant: str) -> CompiledGraph:
        """Return the graph whose runs are the tasks."""
        return StateGraph(Work).add_node(NODE, self._work).compile(checkpointer, name=name, tenant=tenant)

    async def _work(self, state: Work, ctx: Context) -> dict[str, Any]:
        handle = self.handles.get(ctx.run_id)
        if handle is None or handle.outcome is None:
            raise WorkLostError(ctx.run_id)
        handle.context = ctx
        handle.begun.set()
        try:
            return {"final_results": await handle.outcome, "shown": handle.shown}
        except asyncio.CancelledError:
            handle.cancel()
            raise
        finally:
            handle.context = None


def unwrapped(context: TaskContext) -> TaskContext:
    """Return the task of a caller's own work as the caller speaks of it: by its agents, not by the node that waits.

    An agent counts as completed once another one has shown something after it, or the task is complete.
    """
    left = by_name(context.partial_results.get(NODE))
    is_done = NODE in context.agents_completed
    shown: dict[str, Any] = (left.get("shown") or {}) if is_done else left
    agents = list(shown)
    return replace(
        context,
        partial_results=shown,
        final_results=left.get("final_results") if context.status is TaskStatus.COMPLETED else None,
        agents_completed=agents if is_done else agents[:-1],
        current_agent=None if is_done or not agents else agents[-1],
    )
