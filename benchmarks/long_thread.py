"""A turn on a thread of 10,000 messages against one on a thread of 10: a step must not cost more on a long thread.

In memory and in SQLite; with ``--postgres [DSN]`` in Postgres, on a server that is started for it unless one is named.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from on_postgres import database, wanted

from taf import (
    AgentState,
    BaseCheckpointer,
    InMemoryCheckpointer,
    Message,
    PgCheckpointer,
    SqliteCheckpointer,
    StateGraph,
)

TURNS = 200


class Chat(AgentState):
    turns: int = 0


async def hear(state: Chat) -> dict[str, Any]:
    return {"turns": state.turns + 1}


async def reply(state: Chat) -> Message:
    return Message.text_message("y" * 200, role="assistant")


async def measure(store: BaseCheckpointer) -> dict[int, float]:
    """Return the median milliseconds of a turn for each length; the lengths take turns, so noise hits both."""
    app = StateGraph(Chat).add_node("hear", hear).add_node("reply", reply).compile(checkpointer=store)
    configs = {size: {"thread_id": f"of {size}"} for size in (10, 10_000)}
    for size, config in configs.items():
        await app.aupdate_state(config, {"messages": [Message.text_message("x" * 200) for _ in range(size)]})
    taken: dict[int, list[float]] = {size: [] for size in configs}
    for _ in range(TURNS):
        for size, config in configs.items():
            begin = time.perf_counter()
            await app.ainvoke({"messages": [Message.text_message("hello")]}, config)
            taken[size].append((time.perf_counter() - begin) * 1e3)
    await app.aclose()
    return {size: statistics.median(times) for size, times in taken.items()}


async def show(store: BaseCheckpointer) -> None:
    async with store:
        found = await measure(store)
    short, long = found[10], found[10_000]
    print(f"{type(store).__name__:22} 10: {short:.3f} ms   10,000: {long:.3f} ms   ratio {long / short:.2f}")


def main() -> None:
    given = wanted()
    if given is not None:
        with database(given) as dsn:
            asyncio.run(show(PgCheckpointer(dsn)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for store in (InMemoryCheckpointer(), SqliteCheckpointer(Path(folder) / "bench.db")):
            asyncio.run(show(store))


if __name__ == "__main__":
    main()
