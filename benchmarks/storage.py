"""Bytes stored for 400 steps that each append an item of 1 kB, against the payload: in a SQLite file.

With ``--postgres [DSN]`` in Postgres, tables and indexes, on a server that is started for it unless one is named.
"""

from __future__ import annotations

import asyncio
import operator
import tempfile
from pathlib import Path
from typing import Annotated, Any

import asyncpg
from on_postgres import database, wanted
from pydantic import Field

from taf import END, AgentState, BaseCheckpointer, PgCheckpointer, SqliteCheckpointer, StateGraph

STEPS, ITEM = 400, 1000


class Log(AgentState):
    items: Annotated[list[str], operator.add] = Field(default_factory=list[str])


async def write(state: Log) -> dict[str, Any]:
    return {"items": [f"{len(state.items):0{ITEM}d}"]}


async def run(store: BaseCheckpointer) -> None:
    graph = StateGraph(Log).add_node("write", write).set_entry_point("write")
    graph.add_conditional_edges("write", lambda state: END if len(state.items) == STEPS else "write", ["write", END])
    async with store, graph.compile(checkpointer=store) as app:
        await app.ainvoke({}, {"thread_id": "t", "recursion_limit": STEPS})


async def in_sqlite() -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        await run(SqliteCheckpointer(path))
        return path.stat().st_size


async def in_postgres(dsn: str) -> int:
    await run(PgCheckpointer(dsn))
    connection = await asyncpg.connect(dsn)
    found = await connection.fetch(
        "SELECT relname, pg_total_relation_size(oid) AS bytes FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'taf'::regnamespace ORDER BY bytes DESC"
    )
    await connection.close()
    print(", ".join(f"{row['relname']} {row['bytes']:,}" for row in found))
    return sum(row["bytes"] for row in found)


def main() -> None:
    given = wanted()
    if given is None:
        stored = asyncio.run(in_sqlite())
    else:
        with database(given) as dsn:
            stored = asyncio.run(in_postgres(dsn))
    print(f"payload {STEPS * ITEM:,} bytes, stored {stored:,} bytes, ratio {stored / (STEPS * ITEM):.2f}")


if __name__ == "__main__":
    main()
