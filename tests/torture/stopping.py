"""A journey that is stopped from another store while it runs, and what has to hold wherever that is broken off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Protocol, TypeVar

from taf import AgentState, CompiledGraph, StateGraph
from taf.checkpointer import PgCheckpointer
from taf.errors import NothingToResumeError, ThreadBusyError, UnknownThreadError
from taf.state import append
from tests.crash.journey import Files

T = TypeVar("T")

HANG = 10.0
CONFIG = {"thread_id": "stopping"}
TRAIL = ["first", "wait", "last"]


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call until nobody has the thread: the server takes a moment to see that a killed owner is gone."""
    async with asyncio.timeout(HANG):
        while True:
            try:
                return await call()
            except ThreadBusyError:
                await asyncio.sleep(0.005)


class Attempt(Protocol):
    files: Files

    def store(self) -> PgCheckpointer: ...


class Walk(AgentState):
    trail: Annotated[list[str], append] = []


def compiled(store: PgCheckpointer, entered: asyncio.Event, is_open: asyncio.Event) -> CompiledGraph:
    """Return a graph whose second node says that it is entered, and waits for a gate."""

    async def first(state: Walk) -> dict[str, Any]:
        return {"trail": ["first"]}

    async def wait(state: Walk) -> dict[str, Any]:
        entered.set()
        await is_open.wait()
        return {"trail": ["wait"]}

    async def last(state: Walk) -> dict[str, Any]:
        return {"trail": ["last"]}

    graph = StateGraph(Walk)
    for name, fn in {"first": first, "wait": wait, "last": last}.items():
        graph.add_node(name, fn)
    return graph.compile(store)


async def travel_stopping(attempt: Attempt) -> None:
    """Run the thread in one store, stop it from another one, and go on with it there."""
    entered, is_open = asyncio.Event(), asyncio.Event()
    async with (
        attempt.store() as one,
        attempt.store() as two,
        compiled(one, entered, is_open) as here,
        compiled(two, entered, is_open) as there,
    ):
        running = asyncio.create_task(here.ainvoke({}, CONFIG))
        try:
            await _either(running, asyncio.create_task(entered.wait()))
            answer = await there.astop(CONFIG)
            attempt.files.write("answers", [answer["ok"], answer["status"]])
            await running
            is_open.set()
            await there.aresume(CONFIG)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _either(running: asyncio.Task[Any], entering: asyncio.Task[Any]) -> None:
    try:
        await asyncio.wait([running, entering], return_when=asyncio.FIRST_COMPLETED)
    finally:
        entering.cancel()


async def inherit_stopping(attempt: Attempt) -> None:
    """Write down how the thread stands, stop it, and bring it to its end."""
    entered, is_open = asyncio.Event(), asyncio.Event()
    is_open.set()
    async with attempt.store() as store, compiled(store, entered, is_open) as app:
        with suppress(UnknownThreadError):
            attempt.files.write("found", (await app.aget_state(CONFIG)).status)
        stopped = await app.astop(CONFIG)
        attempt.files.write("stopped", [stopped["ok"], stopped["status"], stopped["reason"]])
        with suppress(NothingToResumeError):
            await patiently(lambda: app.ainvoke(None, CONFIG))
        found = await app.aget_state(CONFIG)
        events = [event async for event in app.aevents(CONFIG)]
        end = [found.status, found.state.trail, [event.sequence for event in events]]
        attempt.files.write("end", [*end, [event.event_type for event in events]])


def check_stopping(files: Files, plain: Files) -> None:
    """No step is lost or made twice, an answered stop is there, and the thread is not stuck."""
    ((status, trail, sequences, kinds),) = files.lines("end")
    assert (status, trail) == ("completed", TRAIL), (status, trail)
    assert sequences == list(range(1, len(sequences) + 1)), sequences
    assert kinds.count("node_completed") == len(TRAIL), kinds
    ((is_ok, _, reason),) = files.lines("stopped")
    assert is_ok or reason == "unknown-thread", reason
    found, answers = files.lines("found"), files.lines("answers")
    assert set(found) <= {"running", "stopped", "completed"}, found
    if [True, "stopped"] in answers:
        assert "stopped" in kinds, kinds
    assert kinds.count("stopped") <= 2, kinds
    assert plain.lines("answers") == [[True, "stopped"]], plain.lines("answers")
