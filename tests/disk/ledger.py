"""A graph whose steps write texts of any size and ask questions, and what was acknowledged of its threads."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random
from typing import Annotated, Any

from taf import AgentState, CompiledGraph, StateGraph, interrupt
from taf.checkpointer.base import BaseCheckpointer, Commit, Grant, Record, Signal, ThreadKey
from taf.checkpointer.begins import Begins
from taf.errors import UnknownThreadError
from taf.state import append
from tests.torture.log import mark_of, noting_steps

PASS = 3
"""Steps of one pass."""


class Ledger(AgentState):
    """``trail`` has the number of each step. The texts make commits of many sizes, and snapshots."""

    trail: Annotated[list[int], append] = []
    text: str = ""
    sizes: list[int] = []


def build() -> StateGraph:
    async def write(state: Ledger) -> dict[str, Any]:
        number = len(state.trail)
        size = state.sizes[number % len(state.sizes)] if state.sizes else 1
        return {"trail": [number], "text": chr(97 + number % 26) * size}

    async def ask(state: Ledger) -> dict[str, Any]:
        return {"trail": [len(state.trail)], "text": await interrupt("more?", answer=str)}

    async def close(state: Ledger) -> dict[str, Any]:
        return {"trail": [len(state.trail)]}

    return StateGraph(Ledger).add_node("write", write).add_node("ask", ask).add_node("close", close)


async def turn(app: CompiledGraph, thread: str, chance: Random | None = None) -> None:
    """Bring a thread to the end of a pass, wherever it is, and through one more when ``chance`` is given."""
    config = {"thread_id": thread}
    while True:
        try:
            found = await app.aget_state(config)
        except UnknownThreadError:
            found = None
        if found is not None and found.interrupts:
            await app.aresume(config, "yes", by="someone")
        elif found is not None and found.status in ("running", "stopped"):
            await app.ainvoke(None, config)
        elif chance is None:
            return
        else:
            await app.ainvoke({"sizes": [int(chance.expovariate(1 / 3000)) for _ in range(PASS)]}, config)
            chance = None


def noted(store: BaseCheckpointer, note: Callable[[Any], None]) -> BaseCheckpointer:
    """Have a store note each commit once it is acknowledged: the thread, and what tells its records from others."""
    real = store.append

    async def noted_append(commit: Commit) -> Sequence[Signal]:
        signals = await real(commit)
        note(["wrote", commit.key.thread, [mark_of(record) for record in commit.records]])
        return signals

    store.append = noted_append
    noting_steps(store, lambda key, _, record: note(["wrote", key.thread, [mark_of(record)]]))
    assert isinstance(store, Begins)
    begin = store.begin

    async def noted_begin(first: Commit, **options: Any) -> Grant:
        grant = await begin(first, **options)
        if grant.has_begun:
            note(["wrote", first.key.thread, [mark_of(record) for record in first.records]])
        return grant

    store.begin = noted_begin
    return store


class Books:
    """What has to be in a store, by what was noted."""

    def __init__(self, notes: Sequence[Any]) -> None:
        self.acknowledged = defaultdict[str, dict[int, Any]](dict)
        self.is_ending, self.is_gone = set[str](), set[str]()
        self.commits = 0
        for kind, thread, what in notes:
            if kind == "wrote":
                self.commits += 1
                self.acknowledged[thread] |= {mark[0]: mark for mark in what}
            elif kind == "deleting":
                self.is_ending.add(thread)
            elif kind == "deleted":
                self.is_gone.add(thread)

    async def compare(self, app: CompiledGraph) -> tuple[int, list[str]]:
        """Return how many acknowledged records and deletions are missing, and what else is wrong."""
        lost, wrong, store = 0, list[str](), app.checkpointer
        for thread, marks in self.acknowledged.items():
            rows = await all_records(store, ThreadKey("", thread))
            if not rows and thread in self.is_ending:
                continue
            lost += thread in self.is_gone
            sequences = [record.sequence for record in rows]
            first = sequences[0] if sequences else 1
            if sequences != list(range(first, first + len(sequences))):
                wrong.append(f"{thread} has holes: {sequences}")
            if first > 1 and await store.base(ThreadKey("", thread)) is None:
                wrong.append(f"{thread} begins with {first}, and has no base")
            found = {record.sequence: mark_of(record) for record in rows}
            lost += sum(found.get(number) != mark for number, mark in marks.items() if number >= first)
        return lost, wrong

    async def go_on(self, app: CompiledGraph) -> list[str]:
        """Bring each thread to an end, and through one more pass; return what is wrong with them then."""
        wrong = list[str]()

        async def one(thread: str) -> None:
            await turn(app, thread, Random(thread))
            found = await app.aget_state({"thread_id": thread})
            trail = list(found.state.trail)
            if found.status != "completed" or trail != list(range(len(trail))) or len(trail) % PASS:
                wrong.append(f"{thread} is {found.status}, {trail}")

        await asyncio.gather(*map(one, self.acknowledged))
        return wrong


async def all_records(store: BaseCheckpointer, key: ThreadKey) -> list[Record]:
    found = list[Record]()
    while more := await store.read(key, found[-1].sequence if found else 0):
        found += more
    return found
