import os

from taf import Keys

os.environ["TAF_KEY"] = Keys.new()
os.environ["TAF_NEW_KEY"] = Keys.new()

# --8<-- [start:use]
from taf import EncryptedCheckpointer, Keys, SqliteCheckpointer, StateGraph

graph = StateGraph().add_node("note", lambda state: {"secret": "the launch code"})
keys = Keys(os.environ["TAF_KEY"])  # 32 random bytes, or their base64 text

with EncryptedCheckpointer(SqliteCheckpointer("threads.db"), keys) as store, graph.compile(store) as app:
    print(app.invoke({}, {"thread_id": "t"}).state.secret)  # → the launch code

with open("threads.db", "rb") as file:
    print(b"launch" in file.read())  # → False
# --8<-- [end:use]

# --8<-- [start:rotate]
keys = Keys(os.environ["TAF_NEW_KEY"], older=[os.environ["TAF_KEY"]])

with EncryptedCheckpointer(SqliteCheckpointer("threads.db"), keys) as store, graph.compile(store) as app:
    print(app.get_state({"thread_id": "t"}).state.secret)  # → the launch code
    print(app.invoke({}, {"thread_id": "t"}).status)  # → completed
# --8<-- [end:rotate]

# --8<-- [start:missing]
from taf import StoreCorruptError

with SqliteCheckpointer("threads.db") as store, graph.compile(store) as app:
    try:
        app.get_state({"thread_id": "t"})
    except StoreCorruptError as error:
        print(error.why)  # → it is encrypted: open the store as EncryptedCheckpointer(store, keys)
# --8<-- [end:missing]
