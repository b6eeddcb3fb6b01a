"""A graph with one of everything that is committed, and how it is brought to its end from wherever it is.

Each node and each task leaves a line in a ledger file as it runs: what ran, whatever the store says of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from taf import END, START, AgentState, CompiledGraph, ExecutionStatus, StateGraph, interrupt, task
from taf.checkpointer import BaseCheckpointer
from taf.errors import UnknownThreadError
from taf.graph.subgraph import inner_tenant
from taf.publisher import BasePublisher
from taf.publisher.events import Event
from taf.state import append

CONFIG = {"thread_id": "journey"}
INPUT = {"trail": ["input"]}
ANSWERS: dict[str, Any] = {"how many?": 3, "inside?": "yes"}
STEPS = [{"first"}, {"left", "right"}, {"work"}, {"ask"}, {"guarded"}, {"flag"}, {"again"}, {"last"}]
INNER_STEPS = [{"in one"}, {"in ask"}, {"in two"}]
TWICE = {"ask", "in ask", "again"}
"""Nodes that run again when they were answered."""


class Walk(AgentState):
    trail: Annotated[list[str], append] = []
    left: int = 0
    note: str = ""


class Files:
    """The files of one journey. Lines are written at once, so that they survive the process."""

    def __init__(self, folder: Path) -> None:
        self.db, self._folder = folder / "t.db", folder

    def write(self, name: str, line: Any) -> None:
        file = os.open(self._folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, json.dumps(line).encode() + b"\n")
        os.close(file)

    def lines(self, name: str) -> list[Any]:
        path = self._folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Told(BasePublisher):
    """Writes down what was told to the world."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def publish(self, event: Event) -> None:
        if event.committed:
            self._files.write("told", written(event))


Leave = Callable[[str], str]


def leaver(files: Files) -> Leave:
    def leave(name: str) -> str:
        files.write("ledger", name)
        return name

    return leave


def plain(name: str, leave: Leave) -> Callable[[Walk], Any]:
    def node(state: Walk) -> dict[str, Any]:
        return {"trail": [leave(name)]}

    return node


def build_inner(files: Files) -> StateGraph:
    leave = leaver(files)

    async def in_ask(state: Walk) -> dict[str, Any]:
        leave("in ask")
        asked = await task("inner", leave, "task inner")
        return {"trail": [asked], "note": await interrupt("inside?", answer=str)}

    inner = StateGraph(Walk)
    for name, fn in {"in one": plain("in one", leave), "in ask": in_ask, "in two": plain("in two", leave)}.items():
        inner.add_node(name, fn)
    return inner


def build(files: Files) -> StateGraph:
    """Return the journey's graph."""
    leave = leaver(files)

    async def left(state: Walk) -> dict[str, Any]:
        return {"trail": [leave("left")], "left": state.left + 1}

    async def work(state: Walk) -> dict[str, Any]:
        leave("work")
        return {"trail": [await task(name, leave, f"task {name}") for name in ("fetch", "charge")]}

    async def ask(state: Walk) -> dict[str, Any]:
        leave("ask")
        asked = await task("prepare", leave, "task prepare")
        count = await interrupt("how many?", answer=int)
        return {"trail": [asked, await task("use", leave, "task use"), str(count)]}

    async def flag(state: Walk) -> Walk:
        state.trail.append(leave("flag"))
        state.set_interrupt("flag", "look", ExecutionStatus.INTERRUPTED_AFTER, data={"pair": (1, 2)})
        return state

    def again(state: Walk) -> Walk:
        state.trail.append(leave("again"))
        state.set_interrupt("again", "look again", ExecutionStatus.INTERRUPTED_BEFORE)
        return state

    outer = StateGraph(Walk)
    behind = {"work": work, "ask": ask, "guarded": plain("guarded", leave), "flag": flag, "again": again}
    for name, fn in {"first": plain("first", leave), "left": left, "right": plain("right", leave), **behind}.items():
        outer.add_node(name, fn)
    outer.add_node("inner", build_inner(files).compile()).add_node("last", plain("last", leave))
    outer.add_edge(START, "first")
    for name in ("left", "right"):
        outer.add_edge("first", name).add_edge(name, "work")
    row = [*behind, "inner", "last", END]
    for source, target in pairwise(row):
        outer.add_edge(source, target)
    return outer


def compiled(graph: StateGraph, store: BaseCheckpointer, files: Files) -> CompiledGraph:
    return graph.compile(store, Told(files), interrupt_before=["guarded"])


async def go_on(app: CompiledGraph, files: Files, calls: int = 100) -> dict[str, Any]:
    """Bring the thread to its end, or make so many calls, answering what it asks; return its state at the end."""
    for _ in range(calls):
        try:
            found = await app.aget_state(CONFIG)
        except UnknownThreadError:
            await app.ainvoke(INPUT, CONFIG)
            continue
        files.write("events", await journal(app))
        for record in found.interrupts:
            files.write("questions", [record.reason, record.id])
        if found.status is ExecutionStatus.COMPLETED:
            return found.state.model_dump()
        if not found.interrupts:
            await app.ainvoke(None, CONFIG)
        elif found.interrupts[0].reason in ANSWERS:
            await app.aresume(CONFIG, ANSWERS[found.interrupts[0].reason])
        else:
            await app.aresume(CONFIG)
    return {}


def written(event: Event) -> str:
    return json.dumps({one.name: getattr(event, one.name) for one in fields(event)}, sort_keys=True, default=repr)


async def journal(app: CompiledGraph) -> list[str]:
    return [written(event) async for event in app.aevents(CONFIG)]


async def committed(app: CompiledGraph, files: Files) -> list[str]:
    """What ran and is on record, also in the subgraph: nodes, and the tasks inside them."""
    inner = build_inner(files).compile(app.checkpointer, tenant=inner_tenant(""))
    ran = list[str]()
    for one, threads in ((app, [CONFIG["thread_id"]]), (inner, [row.thread_id for row in await inner.athreads()])):
        for thread in threads:
            async for event in one.aevents({"thread_id": thread}):
                if event.event_type == "node_completed":
                    ran.append(str(event.node_name))
                elif event.event_type == "task_recorded":
                    ran.append(f"task {event.data['task']}")
    return ran
