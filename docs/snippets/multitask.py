import asyncio

from taf import AgentState, Message, StateGraph, emit
from taf.graph import Context

has_begun = asyncio.Event()


# --8<-- [start:graph]
async def answer(state: AgentState, ctx: Context) -> Message:
    question = state.messages[-1].text()
    emit(f"Thinking about {question}", key="draft")
    has_begun.set()
    await asyncio.sleep(0.2)
    if state.previous_context is None:
        return Message.text_message(f"An answer to {question}", role="assistant")
    before = state.previous_context.input["context"][0].text()
    return Message.text_message(f"An answer to {question}, and no more about {before}", role="assistant")


app = StateGraph().add_node(answer).compile(multitask_strategy="interrupt")
# --8<-- [end:graph]


def said(text: str) -> dict[str, list[Message]]:
    return {"messages": [Message.text_message(text)]}


async def main() -> None:
    # --8<-- [start:interrupt]
    config = {"thread_id": "t"}
    first = asyncio.create_task(app.ainvoke(said("trains"), config))
    await has_begun.wait()
    second = await app.ainvoke(said("flights"), config)  # the first run makes room

    print((await first).status, (await first).superseded_by == second.run_id)  # → stopped True
    print(second.messages[-1].text())  # → An answer to flights, and no more about trains
    left = (await app.aget_state(config)).superseded[-1]
    print(left.partial_results)  # → {'answer': {'draft': 'Thinking about trains'}}
    # --8<-- [end:interrupt]

    # --8<-- [start:queue]
    has_begun.clear()
    running = asyncio.create_task(app.ainvoke(said("ships"), config))
    await has_begun.wait()
    receipt = await app.asubmit(said("buses"), config, multitask_strategy="enqueue")  # this call alone
    print(receipt.outcome, receipt.position)  # → queued 0

    waiting = await app.aqueue(config)
    print(waiting[0].input["context"][0].text())  # → buses
    await app.aedit_queued(config, receipt.run_id, said("ferries"))
    await running
    result = await app.ajoin(config, receipt.run_id)  # from any process
    print(result.messages[-2].text())  # → ferries
    # --8<-- [end:queue]
    await app.aclose()


asyncio.run(main())
