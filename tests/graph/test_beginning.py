"""A run that begins in one go with its claim is no other run: whatever the thread turns out to be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest

from taf import END, START, AgentState, CompiledGraph, StateGraph
from taf.errors import InvalidInputError, ThreadBusyError
from taf.events import Event
from taf.graph.multitask import MultitaskStrategy
from taf.publisher import CollectingPublisher
from taf.state.reducers import append
from tests.pg.proxy import Proxy
from tests.places import open_store

THREAD = {"thread_id": "t"}
CLAIM, BEGIN = "INSERT INTO", "WITH claimed"


class Notes(AgentState):
    said: Annotated[list[str], append] = []
    count: int = 0


class Apps:
    """Apps of one graph, each with a store of its own, as in processes of their own."""

    def __init__(self, place: str, stack: AsyncExitStack, strategy: str) -> None:
        self.place, self._stack, self._strategy = place, stack, strategy
        self.routed: list[int] = []

    async def one(self, *, has_router: bool = False, **options: Any) -> CompiledGraph:
        store = await self._stack.enter_async_context(open_store(self.place))
        graph = StateGraph(Notes)
        graph.add_node("count", lambda state: {"count": state.count + 1}).add_node("rest", lambda state: None)
        if has_router:
            graph.add_conditional_edges(START, self._route, ["count", END])
        else:
            graph.add_edge(START, "count")
        graph.add_edge("count", "rest")
        options = {"multitask_strategy": self._strategy, **options}
        return await self._stack.enter_async_context(graph.compile(store, **options))

    def _route(self, state: Notes) -> str:
        self.routed.append(len(state.said))
        return "count"


@pytest.fixture(params=[("sqlite", "reject"), ("sqlite", "interrupt"), ("postgres", "reject"), ("postgres", "enqueue")])
async def apps(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Apps]:
    place, strategy = request.param
    async with AsyncExitStack() as stack:
        yield Apps(
            request.getfixturevalue("pg_dsn") if place == "postgres" else str(tmp_path / "t.db"), stack, strategy
        )


@pytest.fixture(params=get_args(MultitaskStrategy))
async def far(request: pytest.FixtureRequest, pg_proxy: Proxy) -> AsyncIterator[Apps]:
    """Apps that reach their server by way of the proxy."""
    async with AsyncExitStack() as stack:
        yield Apps(pg_proxy.dsn, stack, request.param)


def made(proxy: Proxy) -> tuple[int, int]:
    """Count the plain claims so far, and those with a beginning."""
    counts = [(text.startswith(CLAIM), text.startswith(BEGIN), n) for text, n in proxy.statements.items()]
    return sum(n for claims, _, n in counts if claims), sum(n for _, begins, n in counts if begins)


async def say(app: CompiledGraph, word: str) -> Notes:
    result = await app.ainvoke({"said": [word]}, THREAD)
    assert isinstance(result.state, Notes)
    return result.state


async def test_turns_of_one_thread_begin_with_their_claim(pg_proxy: Proxy, far: Apps) -> None:
    app = await far.one()
    await say(app, "a")
    pg_proxy.statements.clear()
    for word in "bcd":
        state = await say(app, word)
    assert (state.said, state.count) == (["a", "b", "c", "d"], 4)
    assert made(pg_proxy) == (0, 3)
    assert [event.sequence async for event in app.aevents(THREAD)] == list(range(1, 17))


async def test_what_others_wrote_meanwhile_is_built_upon(apps: Apps) -> None:
    here, there = await apps.one(), await apps.one()
    await say(here, "a")
    await say(there, "b")
    state = await say(here, "c")
    assert (state.said, state.count) == (["a", "b", "c"], 3)
    fresh = await apps.one()
    assert (await say(fresh, "d")).said == ["a", "b", "c", "d"]


async def test_one_that_was_removed_and_made_anew_begins_anew(apps: Apps) -> None:
    here, there = await apps.one(), await apps.one()
    await say(here, "a")
    await there.adelete_thread(THREAD)
    assert (await say(here, "b")).said == ["b"]
    await there.adelete_thread(THREAD)
    await say(there, "c")
    assert (await say(here, "d")).said == ["c", "d"]


async def test_a_pause_that_came_elsewhere_is_met_as_ever(apps: Apps) -> None:
    here, there = await apps.one(), await apps.one(interrupt_before=["rest"])
    await say(here, "a")
    result = await there.ainvoke({"said": ["b"]}, THREAD)
    assert result.status.is_interrupted
    state = await say(here, "c")
    assert (state.said, state.count) == (["a", "b", "c"], 2)


async def test_a_busy_thread_is_told_before_wrong_input_is(apps: Apps) -> None:
    here, there = await apps.one(multitask_strategy="reject"), await apps.one(multitask_strategy="reject")
    await say(here, "a")
    with pytest.raises(InvalidInputError):
        await here.ainvoke({"nonsense": 1}, THREAD)
    async with open_store(apps.place) as store:
        grant = await store.acquire(here.runtime.journal.key("t"), lease_seconds=15)
        assert grant is not None
        with pytest.raises(ThreadBusyError):
            await there.ainvoke({"nonsense": 1}, THREAD)
        with pytest.raises(ThreadBusyError):
            await say(here, "b")
    assert (await say(here, "c")).said == ["a", "c"]


async def test_routers_at_the_beginning_are_asked_once_behind_the_claim(pg_proxy: Proxy, far: Apps) -> None:
    here, there = await far.one(has_router=True), await far.one(has_router=True)
    await say(here, "a")
    await say(there, "b")
    await say(here, "c")
    assert far.routed == [1, 2, 3]
    assert made(pg_proxy)[1] == 0


async def test_a_beginning_is_told_once_wherever_it_is_made(apps: Apps) -> None:
    seen = CollectingPublisher()
    here, there = await apps.one(publisher=seen), await apps.one()
    await say(here, "a")
    await say(there, "b")
    streamed = [event async for event in here.astream({"said": ["c"]}, THREAD)]
    committed = [event for event in seen.events if event.committed]
    assert [event.sequence for event in committed] == [1, 2, 3, 4, 9, 10, 11, 12]
    assert [event.sequence for event in streamed if isinstance(event, Event) and event.committed] == [9, 10, 11, 12]
