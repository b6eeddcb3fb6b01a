"""A graph that counts, so that a step which was lost or made twice can be seen; and who looks."""

from __future__ import annotations

import os
from typing import Annotated, Any

from taf import AgentState, CompiledGraph, StateGraph
from taf.checkpointer.base import BaseCheckpointer
from taf.checkpointer.postgres import PgCheckpointer
from taf.events import Event
from taf.state.reducers import append

STEPS = 3
"""Numbers that one pass adds."""

IS_TORTURE = os.environ.get("TAF_TORTURE", "") not in ("", "0")


class Counts(AgentState):
    """Numbers from 0, one a step."""

    numbers: Annotated[list[int], append] = []


def counting(store: BaseCheckpointer) -> CompiledGraph:
    """Compile nodes in a row that each add the next number."""
    graph = StateGraph(Counts)
    for name in range(STEPS):
        graph.add_node(f"n{name}", _next)
    return graph.compile(checkpointer=store)


async def _next(state: Counts) -> dict[str, Any]:
    return {"numbers": [len(state.numbers)]}


async def check(dsn: str, thread: str, passes: int, told: list[Event] | None = None) -> None:
    """Look at a thread from outside: it made so many passes, each step once, and all that was told is there."""
    config = {"thread_id": thread}
    async with PgCheckpointer(dsn) as store, counting(store) as app:
        assert (await app.aget_state(config)).state.numbers == list(range(passes * STEPS))
        events = [event async for event in app.aevents(config)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    known = {(event.sequence, event.event_type) for event in events}
    assert {(event.sequence, event.event_type) for event in told or [] if event.committed} <= known
