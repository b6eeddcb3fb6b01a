"""A process that submits many messages at once to one thread: ``crowd PLACE STRATEGY NAME COUNT LOG``.

It prints, as JSON, what became of each: the run that took it, its status, and which run superseded it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from taf import AgentState, CompiledGraph, Message, StateGraph
from taf.graph import Context
from tests.places import open_store

CONFIG = {"thread_id": "t"}


class Room(AgentState):
    """A conversation that many take part in."""


class Log:
    """Lines of all processes, in the order in which they were written."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, *words: str) -> None:
        """Append one line."""
        os.write(self._file, (" ".join(words) + "\n").encode())


def build(log: Log) -> Any:
    """Return the graph: two nodes that say when they begin and end."""

    async def hear(state: Room, ctx: Context) -> None:
        log.write("begin", ctx.run_id)
        try:
            await asyncio.sleep(0.002)
        finally:
            log.write("end", ctx.run_id)

    async def answer(state: Room, ctx: Context) -> dict[str, Any]:
        log.write("begin", ctx.run_id)
        try:
            await asyncio.sleep(0.001)
            return {"messages": [Message.text_message(f"answer of {ctx.run_id}", "assistant")]}
        finally:
            log.write("end", ctx.run_id)

    return StateGraph(Room).add_node("hear", hear).add_node("answer", answer)


def told(name: str, result: Any) -> dict[str, Any]:
    """Say what became of a message."""
    return {"name": name, "run": result.run_id, "status": str(result.status), "by": result.superseded_by}


async def at_once(app: CompiledGraph, name: str) -> dict[str, Any]:
    """Submit one message and wait for its run."""
    return told(name, await app.ainvoke(said(name), {**CONFIG, "run_id": name}))


async def in_a_row(app: CompiledGraph, names: Sequence[str]) -> list[dict[str, Any]]:
    """Submit messages one after the other, and then wait for all of their runs."""
    for name in names:
        await app.asubmit(said(name), {**CONFIG, "run_id": name})
    return [told(name, await app.ajoin(CONFIG, name)) for name in names]


def said(name: str) -> dict[str, Any]:
    """Return the input of a message."""
    return {"messages": [Message.text_message(name)]}


async def main(place: str, strategy: Any, name: str, count: int, path: str) -> list[dict[str, Any]]:
    """Submit the first half at once and meanwhile the others in a row, and wait."""
    names = [f"{name}-{number:02}" for number in range(count)]
    async with open_store(place) as store, build(Log(path)).compile(store, multitask_strategy=strategy) as app:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        *crowd, row = await asyncio.gather(
            *(at_once(app, one) for one in names[: count // 2]), in_a_row(app, names[count // 2 :])
        )
        return [*crowd, *row]


if __name__ == "__main__":
    found = asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]))
    print(json.dumps(found))
