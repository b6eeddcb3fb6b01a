"""A reader that comes back gets what it missed, as it was told live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from taf import END, START, AgentState, Message, Reject, Send, StateGraph, emit, interrupt, task
from taf.checkpointer.base import BaseCheckpointer
from taf.events import Event
from taf.publisher import CollectingPublisher
from taf.state.reducers import append, merge

CONFIG = {"thread_id": "t"}


class Item(BaseModel):
    name: str
    price: Decimal


class Shop(AgentState):
    items: Annotated[list[Item], append] = []
    notes: Annotated[dict[str, tuple[int, ...]], merge] = {}
    tags: set[str] = set()
    total: Decimal = Decimal(0)


async def fill(state: Shop) -> dict[str, Any]:
    emit("filling", key="k")
    await task("count", lambda: {"n": (1, 2)})
    return {"items": [Item(name="a", price=Decimal("1.10"))], "notes": {"fill": (1, 2)}, "tags": {"x"}}


async def ask(state: Shop) -> dict[str, Any]:
    return {"total": await interrupt("How much?", answer=Decimal, data={"t": (1, 2)})}


async def work(state: Shop) -> dict[str, Any]:
    return {"messages": [Message.text_message(f"work {sorted(state.tags)}")]}


def shop(store: BaseCheckpointer, **options: Any) -> Any:
    graph = StateGraph(Shop).add_node(fill).add_node(ask).add_node(work)
    graph.add_edge(START, "fill").add_edge("fill", "ask")
    graph.add_conditional_edges("ask", lambda state: [Send("work", {"tags": {n}}) for n in "pq"], ["work"])
    return graph.add_edge("work", END).compile(store, interrupt_after=["fill"], **options)


async def a_life(app: Any) -> None:
    """Most of what can happen to a thread."""
    await app.ainvoke({"messages": [Message.text_message("hi")]}, CONFIG)
    await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG, "12.50", by="alice")
    await app.aupdate_state(CONFIG, {"tags": {"y", "z"}})
    await app.ainvoke({"total": 3}, CONFIG)
    await app.astop(CONFIG, "changed my mind")
    await app.ainvoke(None, CONFIG)
    await app.aresume(CONFIG, Reject("no"), by="bob")


async def replay(app: Any, **options: Any) -> list[Event]:
    return [event async for event in app.aevents(CONFIG, **options)]


async def test_a_replay_equals_what_was_told_live(store: BaseCheckpointer, reopen: Callable[[], Any]) -> None:
    heard = CollectingPublisher()
    async with asyncio.timeout(20), shop(store, publisher=heard) as app:
        await a_life(app)
        again = await replay(app)
    async with shop(reopen()) as other:
        elsewhere = await replay(other)
    live = [event for event in heard.events if event.committed]
    assert len(live) > 15
    assert again == live
    assert elsewhere == live
    assert [event.sequence for event in live] == list(range(1, len(live) + 1))


async def test_an_error_and_a_fork_come_back_too(store: BaseCheckpointer, reopen: Callable[[], Any]) -> None:
    heard = CollectingPublisher()

    async def bad(state: Shop) -> None:
        raise ValueError("oh \ud800 no")

    async with asyncio.timeout(20), StateGraph(Shop).add_node(bad).compile(store, publisher=heard) as app:
        with pytest.raises(ValueError, match="oh"):
            await app.ainvoke({}, CONFIG)
        fork = await app.afork(CONFIG)
        found = [*await replay(app), *[event async for event in app.aevents(fork)]]
        assert found == heard.events
        assert [event.event_type for event in found] == ["started", "error", "forked"]


async def test_a_reader_gets_what_is_behind_the_last_sequence_it_saw(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(20), shop(store) as app:
        await a_life(app)
        everything = await replay(app)
        for after in range(len(everything) + 1):
            assert await replay(app, after=after) == everything[after:]


async def test_a_reader_gets_one_run_alone(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(20), shop(store) as app:
        await app.ainvoke({}, {**CONFIG, "run_id": "one"})
        await app.ainvoke({}, {**CONFIG, "run_id": "two"})
        everything = await replay(app)
        assert await replay(app, run_id="two") == [event for event in everything if event.run_id == "two"] != []
        assert await replay(app, run_id="three") == []


def test_the_sync_twin_reads_the_same(store: BaseCheckpointer) -> None:
    with shop(store) as app:
        app.invoke({}, CONFIG)
        assert list(app.events(CONFIG)) == asyncio.run(replay(app))
        assert list(app.events(CONFIG, after=2)) == list(app.events(CONFIG))[2:]


async def test_a_follower_gets_what_comes_and_ends_when_it_is_closed(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(20), shop(store) as app:
        await app.ainvoke({}, CONFIG)
        found: list[Event] = []

        async def follow() -> None:
            async for event in app.aevents(CONFIG, after=1, follow=True):
                found.append(event)

        following = asyncio.create_task(follow())
        await app.ainvoke({}, CONFIG)
        expected = (await replay(app))[1:]
        while len(found) < len(expected):
            await asyncio.sleep(0.001)
        assert found == expected
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following


async def test_a_follower_of_a_thread_that_is_not_there_yet_waits_for_it(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(20), shop(store) as app:
        follower = app.aevents(CONFIG, follow=True)
        first = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0.01)
        await app.ainvoke({}, CONFIG)
        assert (await first).event_type == "started"
        await follower.aclose()


async def test_a_follower_in_another_app_gets_it_too(store: BaseCheckpointer, reopen: Callable[[], Any]) -> None:
    async with asyncio.timeout(20), shop(store) as app, shop(reopen()) as other:
        follower = other.aevents(CONFIG, follow=True)
        first = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0.01)
        await app.ainvoke({}, CONFIG)
        found = [await first]
        while found[-1].event_type != "interrupted":
            found.append(await anext(follower))
        assert found == await replay(app)
        await follower.aclose()


async def test_a_follower_ends_with_its_app(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(20):
        app = shop(store)
        await app.ainvoke({}, CONFIG)
        following = asyncio.create_task(replay(app, follow=True))
        await asyncio.sleep(0.01)
        await app.aclose()
        assert (await following)[0].event_type == "started"


def test_a_sync_follower_can_be_left(store: BaseCheckpointer) -> None:
    with shop(store) as app:
        app.invoke({}, CONFIG)
        for event in app.events(CONFIG, follow=True):
            if event.event_type == "interrupted":
                break
        assert app.invoke({}, CONFIG).interrupted
