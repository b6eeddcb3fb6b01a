import asyncio
from datetime import UTC, datetime, timedelta

from taf import CompiledGraph, SqliteCheckpointer, StateGraph

graph = StateGraph().add_node("a", lambda state: None).add_node("b", lambda state: {"done": True})

# --8<-- [start:listing]
with SqliteCheckpointer("threads.db") as store, graph.compile(store, name="orders") as app:
    for customer in ("ada", "bob", "cleo"):
        app.invoke({}, {"thread_id": customer})

    today = datetime.now(UTC) - timedelta(hours=24)
    page = app.threads(status=["completed", "error"], graph="orders", since=today, newest_first=True, limit=2)
    print([row.thread_id for row in page])  # → ['cleo', 'bob']
    page = app.threads(newest_first=True, after=page[-1].cursor, limit=2)
    print([(row.thread_id, row.status.upper(), row.graph) for row in page])  # → [('ada', 'COMPLETED', 'orders')]
# --8<-- [end:listing]

# --8<-- [start:one]
with SqliteCheckpointer("threads.db") as store, graph.compile(store, name="orders") as app:
    config = {"thread_id": "ada"}
    pruned = app.prune(config, keep_last=2)  # its last two checkpoints stay
    print(pruned.records, [s.checkpoint_id for s in app.get_history(config)])  # → 2 ['4', '3']
    print(app.invoke({}, config).status)  # → completed
# --8<-- [end:one]


# --8<-- [start:many]
async def prune_all(app: CompiledGraph) -> None:
    cursor: str | None = ""
    while cursor is not None:
        pruned = await app.aprune(older_than=timedelta(days=30), delete=True, after=cursor, limit=500)
        print(pruned.threads, pruned.records, pruned.deleted, pruned.failed)  # → 3 0 () {}
        cursor = pruned.cursor


# --8<-- [end:many]
with SqliteCheckpointer("threads.db") as store, graph.compile(store, name="orders") as app:
    asyncio.run(prune_all(app))
