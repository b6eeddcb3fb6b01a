"""Read a run as a stream, answer it in the middle of the stream, or cancel it there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from taf import AgentState, CompiledGraph, EventType, Message, StateGraph, emit

Ask = Callable[[str], str]


async def draft(state: AgentState) -> Message:
    words = ["Dear", "customer,", "we", "are", "sorry."]
    for word in words:
        emit(word)
    return Message.text_message(" ".join(words), role="assistant")


async def send(state: AgentState) -> Message:
    return Message.text_message("The letter is sent.", role="assistant")


def build() -> CompiledGraph:
    return StateGraph().add_node(draft).add_node(send).compile(interrupt_before=["send"])


async def run(app: CompiledGraph, thread_id: str, ask: Ask) -> None:
    config = {"thread_id": thread_id}
    # --8<-- [start:loop]
    async for event in app.astream(Message.text_message("Apologize."), config):
        if event.event_type == EventType.PARTIAL:
            print(f"  ... {event.content}")
        elif event.event_type == "interrupted":
            print(f"  paused: {event.content}")
            if ask("  Send it? (y/n) ").lower().startswith("y"):
                async for later in app.astream(Message.text_message("Send it."), config):
                    print(f"  {later.event_type}: {later.content}")
            else:
                stopped = await app.astop(config, reason="a person said no")
                print(f"  {stopped['status']}: {stopped['reason']}")
        else:
            print(f"  {event.event_type}: {event.content}")
    # --8<-- [end:loop]


def answer_in_the_terminal(question: str) -> str:
    try:
        return input(question)
    except EOFError:
        print("(nobody is there: no)")
        return "n"


async def main(ask: Ask = answer_in_the_terminal) -> None:
    async with build() as app:
        for thread_id in ("first", "second"):
            print(f"thread {thread_id}:")
            await run(app, thread_id, ask)
            print(f"  now it is {(await app.aget_state({'thread_id': thread_id})).status}")


if __name__ == "__main__":
    asyncio.run(main())
