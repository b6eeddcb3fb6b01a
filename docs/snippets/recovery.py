import os
import subprocess
import sys
import threading

from taf import AgentState, Recovered, SqliteCheckpointer, StateGraph


def pack(state: AgentState) -> dict[str, bool]:
    if "DIES_HERE" in os.environ:
        os._exit(1)
    return {"packed": True}


graph = StateGraph().add_node("pick", lambda state: {"picked": True}).add_node("pack", pack)

if "DIES_HERE" in os.environ:
    graph.compile(SqliteCheckpointer("threads.db"), name="orders").invoke({}, {"thread_id": "ada"})
subprocess.run([sys.executable, __file__], env={**os.environ, "DIES_HERE": "yes"}, check=False)

# --8<-- [start:recover]
# Another process was killed in the middle of a run:
with SqliteCheckpointer("threads.db") as store, graph.compile(store, name="orders") as app:
    done = app.recover()
    print({thread: result.status.upper() for thread, result in done.results.items()})  # → {'ada': 'COMPLETED'}
    print(done.failed, done.passed_on)  # → {} []
# --8<-- [end:recover]

subprocess.run([sys.executable, __file__], env={**os.environ, "DIES_HERE": "yes"}, check=False)
told = threading.Event()


# --8<-- [start:supervise]
def note(done: Recovered) -> None:
    print("continued:", *done.results)  # → continued: ada
    told.set()


store = SqliteCheckpointer("threads.db")
app = graph.compile(store, name="orders")
with store, app, app.supervise(interval=5, concurrency=4, on_recovered=note):  # or: async with
    told.wait()  # whatever else this process does
# --8<-- [end:supervise]
