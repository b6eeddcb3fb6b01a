import asyncio
import threading
import time

from taf import AgentState, Context, Message, StateGraph, emit

is_working = threading.Event()


async def work(state: AgentState) -> None:
    emit("half of the answer", key="draft")
    is_working.set()
    await asyncio.sleep(60)


app = StateGraph().add_node(work).add_node("next", lambda state: None).compile()

# --8<-- [start:stop]
run = threading.Thread(target=app.invoke, args=({}, {"thread_id": "t"}))
run.start()
is_working.wait()

answer = app.stop({"thread_id": "t"}, reason="the user left")  # from any thread, loop or process
run.join()  # invoke() returned a result: status "stopped"
print(answer["ok"], answer["status"], answer["node"], answer["reason"])  # → True stopped work the user left
# --8<-- [end:stop]

# --8<-- [start:kept]
snapshot = app.get_state({"thread_id": "t"})  # the result of invoke() has it too
print(snapshot.partials[0].value)  # → half of the answer
print(snapshot.next)  # → ('work',)
# --8<-- [end:kept]

# --8<-- [start:nothing]
print(app.stop({"thread_id": "t"})["was_running"])  # → False
print(app.stop({"thread_id": "nobody"})["reason"])  # → unknown-thread
# --8<-- [end:nothing]


# --8<-- [start:sync]
def crunch(state: AgentState, ctx: Context) -> dict[str, int]:
    done = 0
    while done < 1000 and not ctx.stopping:  # a thread cannot be cancelled, so it has to look
        is_working.set()
        time.sleep(0.01)
        done += 1
    return {"done": done}  # refused, once the run is stopped


# --8<-- [end:sync]
is_working.clear()
crunching = StateGraph().add_node(crunch).compile()
thread = threading.Thread(target=crunching.invoke, args=({}, {"thread_id": "c"}))
thread.start()
is_working.wait()
assert crunching.stop({"thread_id": "c"})["status"] == "stopped"
thread.join()
assert getattr(crunching.get_state({"thread_id": "c"}).state, "done", None) is None

# --8<-- [start:paused]
guarded = StateGraph().add_node("look", lambda state: None).add_node("act", lambda state: Message.text_message("done"))
app = guarded.compile(interrupt_before=["act"])
config = {"thread_id": "paused"}
app.invoke({}, config)
print(app.stop(config)["status"])  # → stopped
result = app.invoke({}, config)  # goes on, so the guard asks again
print(result.status, len(result.messages))  # → interrupted_before 0
# --8<-- [end:paused]
