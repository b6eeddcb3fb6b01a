"""The Postgres store, from two processes' point of view."""

import asyncio
import os

from taf import AgentState, PgCheckpointer, StateGraph, interrupt


class Order(AgentState):
    total: int = 0
    approved: str = ""


async def review(order: Order) -> dict[str, str]:
    return {"approved": await interrupt(f"Pay {order.total} EUR?", answer=str)}


async def main() -> None:
    # --8<-- [start:postgres]
    dsn = os.environ["DATABASE_URL"]  # postgresql://user:password@host/database
    config = {"thread_id": "order-1"}

    async with PgCheckpointer(dsn) as store, StateGraph(Order).add_node("review", review).compile(store) as app:
        paused = await app.ainvoke({"total": 120}, config)
        print(paused.status)  # → interrupted_before

    # Later, in another process, on another machine:
    async with PgCheckpointer(dsn) as store, StateGraph(Order).add_node("review", review).compile(store) as app:
        result = await app.aresume(config, "alice")
        print(result.state.approved)  # → alice
    # --8<-- [end:postgres]


asyncio.run(main())
