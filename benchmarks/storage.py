"""Bytes in the SQLite file for 400 steps that each append an item of 1 kB, against the payload."""

from __future__ import annotations

import asyncio
import operator
import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from taf import END, AgentState, SqliteCheckpointer, StateGraph

STEPS, ITEM = 400, 1000


class Log(AgentState):
    items: Annotated[list[str], operator.add] = Field(default_factory=list[str])


async def write(state: Log) -> dict[str, Any]:
    return {"items": [f"{len(state.items):0{ITEM}d}"]}


async def main() -> None:
    graph = StateGraph(Log).add_node("write", write).set_entry_point("write")
    graph.add_conditional_edges("write", lambda state: END if len(state.items) == STEPS else "write", ["write", END])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        async with SqliteCheckpointer(path) as store, graph.compile(checkpointer=store) as app:
            await app.ainvoke({}, {"thread_id": "t", "recursion_limit": STEPS})
        stored = path.stat().st_size
    print(f"payload {STEPS * ITEM:,} bytes, stored {stored:,} bytes, ratio {stored / (STEPS * ITEM):.2f}")


if __name__ == "__main__":
    asyncio.run(main())
