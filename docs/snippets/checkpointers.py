# --8<-- [start:sqlite]
from taf import AgentState, SqliteCheckpointer, StateGraph

graph = StateGraph().add_node("a", lambda state: None).add_node("b", lambda state: {"done": True})

with SqliteCheckpointer("threads.db") as store, graph.compile(checkpointer=store, interrupt_before=["b"]) as app:
    print(app.invoke({}, {"thread_id": "t"}).status)  # → interrupted_before

# Another process, later:
with SqliteCheckpointer("threads.db") as store, graph.compile(checkpointer=store, interrupt_before=["b"]) as app:
    print([row.thread_id for row in app.threads(status="interrupted_before")])  # → ['t']
    print(app.invoke({}, {"thread_id": "t"}).state.done)  # → True
# --8<-- [end:sqlite]

# --8<-- [start:rows]
import sqlite3
from contextlib import closing

from taf.serialization import loads

with closing(sqlite3.connect("threads.db")) as file:
    (body,) = file.execute("SELECT body FROM taf_journal WHERE kind = 'paused'").fetchone()
print(loads(body)[:3])  # → ['before', 'b', 'Paused before node "b".']
# --8<-- [end:rows]

# --8<-- [start:history]
with graph.compile() as app:
    config = {"thread_id": "t"}
    app.invoke({}, config)
    for snapshot in app.get_history(config):  # newest first
        print(snapshot.checkpoint_id, snapshot.next)
    old = app.get_state({"thread_id": "t", "checkpoint_id": "2"})
    fork = app.fork(old.config)  # a new thread that begins there
    print(app.resume(fork).status)
# → 4 ()
# → 3 ()
# → 2 ('b',)
# → 1 ('a',)
# → completed
# --8<-- [end:history]

# --8<-- [start:update]
with graph.compile(interrupt_before=["b"]) as app:
    app.invoke({}, config)
    app.update_state(config, {"color": "blue"})  # by the rules of a node's return value
    print(app.get_state(config).state.color)  # → blue
    print(app.delete_thread(config))  # → True
# --8<-- [end:update]
assert AgentState().context == []
