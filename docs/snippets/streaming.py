import asyncio

from taf import AgentState, Message, StateGraph, emit


# --8<-- [start:emit]
async def write(state: AgentState) -> Message:
    for word in ("Water", "is", "wet."):
        emit(word)  # shown at once, marked as not committed
    return Message.text_message("Water is wet.", role="assistant")


app = StateGraph().add_node(write).compile()


async def main() -> None:
    async for event in app.astream({}, {"thread_id": "s"}):
        print(event.event_type, event.content, event.committed)


asyncio.run(main())
# → started The run started. True
# → partial Water False
# → partial is False
# → partial wet. False
# → node_completed Water is wet. True
# → completed The run is complete. True
# --8<-- [end:emit]

# --8<-- [start:modes]
for update in app.stream({}, stream_mode="updates"):
    print(list(update), len(update["write"]["context"]))  # → ['write'] 1
for message in app.stream({}, stream_mode="messages"):
    print(message.text())  # → Water is wet.
for state in app.stream({}, stream_mode="values"):
    print(len(state.messages))
# → 0
# → 1
# --8<-- [end:modes]

# --8<-- [start:cursor]
seen = 1  # the last sequence that this reader saw
for event in app.events({"thread_id": "s"}, after=seen):
    print(event.sequence, event.event_type)
# → 2 node_completed
# → 3 completed
# --8<-- [end:cursor]
