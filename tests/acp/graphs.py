"""Graphs that the tests serve from another process. The store is the file that TAF_ACP_DB names."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Literal

from pydantic import BaseModel

from taf import (
    AgentState,
    CompiledGraph,
    Context,
    Message,
    RetryPolicy,
    SqliteCheckpointer,
    StateGraph,
    emit,
    interrupt,
)

PACE = float(os.environ.get("TAF_ACP_PACE", "0.02"))

print("a module that is loaded may print")


def store() -> SqliteCheckpointer:
    return SqliteCheckpointer(os.environ["TAF_ACP_DB"])


def last_words(state: AgentState) -> str:
    """What the user said last; of a prompt with context, the part behind it."""
    said = [message.text() for message in state.messages if message.role == "user"][-1]
    return said.split("priority:\n\n")[-1].split("\n\nPlease")[0]


async def talk(state: AgentState) -> Message:
    """Stream as many words as the user says, one each ``TAF_ACP_PACE`` seconds."""
    words = last_words(state)
    count = int(words.split()[-1]) if words.split()[-1].isdecimal() else 5
    name = words.split()[0]
    for number in range(count):
        emit(f"{name}{number} ")
        await asyncio.sleep(PACE)
    return Message.text_message("".join(f"{name}{number} " for number in range(count)), role="assistant")


async def talk_sluggishly(state: AgentState) -> Message:
    """The same, and hold up the whole process meanwhile, as a slow machine does."""
    words = last_words(state).split()
    for number in range(int(words[1])):
        emit(f"{words[0]}{number} ")
        await asyncio.sleep(0.002)
        time.sleep(0.25)  # noqa: ASYNC251 - nothing else in the process is to go on
    return Message.text_message("", role="assistant")


def sluggish() -> CompiledGraph:
    return StateGraph().add_node("talk", talk_sluggishly).compile(checkpointer=store(), name="sluggish")


def talking() -> CompiledGraph:
    return StateGraph().add_node(talk).compile(checkpointer=store(), name="talker")


async def plan(state: AgentState) -> Message:
    print("a node may print, too")
    return Message.text_message("I would delete 3 files.", role="assistant")


async def delete(state: AgentState) -> Message:
    return Message.text_message("Deleted.", role="assistant")


def approving() -> CompiledGraph:
    graph = StateGraph().add_node(plan).add_node(delete)
    return graph.compile(checkpointer=store(), name="approving", interrupt_before=["delete"])


class Order(BaseModel):
    item: str
    count: int = 1
    gift: bool = False


async def ask_order(state: AgentState) -> Message:
    order = await interrupt("What do you order?", answer=Order, data={"menu": ["tea", "cake"]})
    return Message.text_message(f"{order.count} x {order.item}, gift: {order.gift}", role="assistant")


def ordering() -> CompiledGraph:
    return StateGraph().add_node(ask_order).compile(checkpointer=store(), name="ordering")


async def ask_name(state: AgentState) -> Message:
    return Message.text_message(f"Hello {await interrupt('Who are you?', answer=str)}.", role="assistant")


async def ask_size(state: AgentState) -> Message:
    size = await interrupt("Which size?", answer=Literal["small", "large"])
    return Message.text_message(f"One {size}.", role="assistant")


async def ask_sure(state: AgentState) -> Message:
    sure = await interrupt("Are you sure?", answer=bool)
    return Message.text_message("Sure." if sure else "Not sure.", role="assistant")


def naming() -> CompiledGraph:
    return StateGraph().add_node(ask_name).compile(checkpointer=store(), name="naming")


def choosing() -> CompiledGraph:
    return StateGraph().add_node(ask_size).add_node(ask_sure).compile(checkpointer=store(), name="choosing")


async def stubborn(state: AgentState) -> Message:
    """Stream, and do not leave when told to."""
    if last_words(state).startswith("next"):
        return Message.text_message("The next answer.", role="assistant")
    until = asyncio.get_running_loop().time() + 0.6
    while asyncio.get_running_loop().time() < until:
        try:
            emit("still ")
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            pass
    return Message.text_message("late", role="assistant")


def unwilling() -> CompiledGraph:
    return StateGraph().add_node(stubborn).compile(checkpointer=store(), name="unwilling", stop_grace=0.3)


attempts: list[int] = []


async def flaky(state: AgentState) -> Message:
    emit("half ")
    if last_words(state) == "fail" or not attempts:
        attempts.append(1)
        raise OSError("no network")
    return Message.text_message("half of it", role="assistant")


def failing() -> CompiledGraph:
    policy = RetryPolicy(max_attempts=2, initial_interval=0.01)
    return StateGraph().add_node("flaky", flaky, retry=policy).compile(checkpointer=store(), name="failing")


async def remember(state: AgentState) -> Message:
    said = [message.text() for message in state.messages if message.role == "user"]
    return Message.text_message(f"You have said: {', '.join(said)}", role="assistant")


def remembering() -> CompiledGraph:
    return StateGraph().add_node(remember).compile(checkpointer=store(), name="remembering")


async def aware(state: AgentState, ctx: Context) -> Message:
    """Know what was left undone."""
    if not ctx.superseded:
        emit("half")
        await asyncio.sleep(60)
    left = ctx.superseded[-1]
    asked = left.input["context"][-1].text()
    return Message.text_message(f"Instead of {asked!r}: {left.partial_results}", role="assistant")


def knowing() -> CompiledGraph:
    return StateGraph().add_node(aware).compile(checkpointer=store(), name="knowing")
