# --8<-- [start:agent]
import asyncio

from taf import AgentState, Message, StateGraph, emit
from taf.interruption import AgentManager


async def search(state: AgentState) -> Message:
    query = state.messages[-1].text()
    for number in (1, 2, 3):
        emit(f"{number} found", key="hits")  # shown at once, kept if the task is interrupted
        await asyncio.sleep(0.02)
    return Message.text_message(f"3 found for {query}", role="assistant")


graph = StateGraph().add_node(search)


async def two_messages() -> None:
    async with graph.compile() as app, AgentManager(app) as manager:
        await manager.handle_user_message("alice", "flights")  # returns at once
        await asyncio.sleep(0.03)
        task_id = await manager.handle_user_message("alice", "hotels")  # takes its place
        result = await manager.result("alice", task_id)
        print(result.messages[-1].text())
        previous = await manager.interruptions.get_previous_context("alice", "hotels")
        assert previous is not None
        print(previous["previous_query"], previous["partial_results"])


asyncio.run(two_messages())
# → 3 found for hotels
# → flights {'search': {'hits': '2 found'}}
# --8<-- [end:agent]


# --8<-- [start:callback]
async def with_a_callback() -> None:
    def show(task):
        print(task.query, task.status.value, task.partial_results)

    async with graph.compile() as app, AgentManager(app) as manager:
        await manager.register_status_callback("alice", show)
        task_id = await manager.handle_user_message("alice", "flights")
        await manager.result("alice", task_id)
        await asyncio.sleep(0.05)  # a callback is called behind the work, never in its way


asyncio.run(with_a_callback())
# → flights running {}
# → flights running {'search': {'hits': '1 found'}}
# → flights running {'search': {'hits': '2 found'}}
# → flights running {'search': {'hits': '3 found'}}
# → flights running {}
# → flights completed {}
# --8<-- [end:callback]

# --8<-- [start:own]
from taf.interruption import InterruptionManager


async def own_work() -> None:
    async with InterruptionManager() as manager:
        first = await manager.create_task_context("alice", "flights", intent="flight")
        await manager.save_partial_results("alice", "flight", ["F1"])

        second = await manager.create_task_context("alice", "hotels")
        previous = await manager.get_previous_context("alice", "hotels")
        assert previous is not None
        print(first.cancel_event.is_set(), previous["partial_results"])

        await manager.complete_task("alice", {"hotels": ["H1"]})
        done = await manager.get_task_context("alice", second.task_id)
        assert done is not None
        print(done.status.value, done.final_results)


asyncio.run(own_work())
# → True {'flight': ['F1']}
# → completed {'hotels': ['H1']}
# --8<-- [end:own]

# --8<-- [start:conversation]
from taf.interruption import Conversation, FunctionAdapter


async def model(prompt, show):
    show("Let me think. ")
    await asyncio.sleep(0.05)
    return f"({len(prompt.splitlines())} lines were asked)"


async def talk() -> None:
    async with Conversation(FunctionAdapter(model)) as conversation:
        first = await conversation.send("Write a long blog post")
        await asyncio.sleep(0.02)
        second = await conversation.send("Actually, make it short instead")
        print(second.notice)
        print((await conversation.reply(second.run_id)).text)
        left = await conversation.reply(first.run_id)
        print(repr(left.text), left.stop_reason)
        for message in await conversation.messages():
            print(f"{message.role}: {message.text()}")


asyncio.run(talk())
# → ⚡ Interrupting agent with new message...
# → (8 lines were asked)
# → 'Let me think. ' cancelled
# → user: Write a long blog post
# → user: Actually, make it short instead
# → assistant: (8 lines were asked)
# --8<-- [end:conversation]

# --8<-- [start:queue]
from taf.interruption import AgentAdapter, Turn


class Slow(AgentAdapter):  # cannot be told to stop: supports_cancel is False
    async def prompt(self, text, show):
        await asyncio.sleep(0.03)
        return Turn(text.upper())


async def wait_in_line() -> None:
    async with Conversation(Slow()) as conversation:
        await conversation.send("one")
        await conversation.send("two")
        third = await conversation.send("three")
        print(third.outcome, third.notice)
        print([(one.position, one.text) for one in await conversation.pending()])
        await conversation.edit(third.run_id, "four")
        print((await conversation.reply(third.run_id)).text)


asyncio.run(wait_in_line())
# → queued 2 messages pending
# → [(0, 'two'), (1, 'three')]
# → FOUR
# --8<-- [end:queue]
