"""Whatever a run is waiting for in its store when it is told to end, nothing of it runs afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, get_args

import pytest

from taf import AgentState, CompiledGraph, InMemoryCheckpointer, StateGraph, task
from taf.graph.multitask import MultitaskStrategy
from tests.multitask.talk import HANG

CONFIG = {"thread_id": "t"}


class Gate:
    """Holds up one call of a method of a store: the how many-th, before it is done or (``is_late``) behind it."""

    def __init__(self, store: Any, name: str, number: int, *, is_late: bool) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        self._method, self._left, self._is_late = getattr(store, name), number, is_late
        setattr(store, name, self)

    async def __call__(self, *args: Any, **options: Any) -> Any:
        self._left -= 1
        is_held = self._left == 0
        if is_held and not self._is_late:
            await self._hold()
        try:
            return await self._method(*args, **options)
        finally:
            if is_held and self._is_late:
                await self._hold()

    async def _hold(self) -> None:
        self.reached.set()
        await self.opened.wait()


class Row:
    """Two nodes that note that they run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def first(self, state: AgentState) -> None:
        self.ran.append("first")

    async def second(self, state: AgentState) -> None:
        await task("once", lambda: self.ran.append("task"))
        self.ran.append("second")
        await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def app(self, store: InMemoryCheckpointer, **options: Any) -> AsyncIterator[CompiledGraph]:
        graph = StateGraph(AgentState).add_sequence([self.first, self.second])
        async with graph.set_entry_point("first").compile(store, **options) as app:
            yield app


async def read_to_the_end(app: CompiledGraph) -> None:
    async for _ in app.astream({}, CONFIG):
        pass


CALLS: dict[str, Callable[[CompiledGraph], Awaitable[Any]]] = {
    "invoke": lambda app: app.ainvoke({}, CONFIG),
    "stream": read_to_the_end,
}
ENDS: dict[str, Callable[[CompiledGraph, asyncio.Task[Any]], Awaitable[Any]]] = {
    "stop": lambda app, _: app.astop(CONFIG),
    "close": lambda app, _: app.aclose(),
    "cancel": lambda _, caller: asyncio.sleep(0, caller.cancel()),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("method", ["acquire", "append"])
@pytest.mark.parametrize("strategy", get_args(MultitaskStrategy))
async def test_nothing_runs_once_it_was_told_to_end(strategy: str, method: str, call: str, end: str) -> None:
    reached = 0
    for number, is_late in [(1, False), (1, True), (2, False), (2, True), (3, False), (3, True)]:
        row, store = Row(), InMemoryCheckpointer()
        async with asyncio.timeout(HANG), row.app(store, multitask_strategy=strategy) as app:
            gate = Gate(store, method, number, is_late=is_late)
            caller = asyncio.ensure_future(CALLS[call](app))
            reaching = asyncio.ensure_future(gate.reached.wait())
            await asyncio.wait([caller, reaching], return_when=asyncio.FIRST_COMPLETED)
            if reaching.done():
                reached += 1
                ending = asyncio.ensure_future(ENDS[end](app, caller))
                await asyncio.sleep(0.005)
                before = list(row.ran)
                gate.opened.set()
                await asyncio.wait([caller, ending])
                assert row.ran == before
            gate.opened.set()
            reaching.cancel()
        async with row.app(store) as later:  # and the thread is free
            assert (await later.ainvoke({"messages": []}, CONFIG)).status == "completed"
    assert reached >= 2


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("end", ["close", "cancel"])
async def test_a_message_whose_turn_comes_just_when_its_caller_leaves_is_not_run(end: str, is_late: bool) -> None:
    row, store = Row(), InMemoryCheckpointer()
    async with asyncio.timeout(HANG), row.app(store, multitask_strategy="enqueue") as app:
        first = asyncio.create_task(app.ainvoke({}, {**CONFIG, "run_id": "r1"}))
        while "second" not in row.ran:
            await asyncio.sleep(0)
        gate = Gate(store, "acquire", 2, is_late=is_late)  # the first finds the thread busy
        second = asyncio.create_task(app.ainvoke({}, {**CONFIG, "run_id": "r2"}))
        await gate.reached.wait()
        assert (await first).status == "completed"
        before = list(row.ran)
        ending = asyncio.ensure_future(ENDS[end](app, second))
        await asyncio.sleep(0.005)
        gate.opened.set()
        await asyncio.wait([second, ending])
    assert row.ran == before
    async with row.app(store) as later:
        assert [one.run_id for one in await later.aqueue(CONFIG)] == (["r2"] if end == "close" else [])
