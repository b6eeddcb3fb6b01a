"""Threads are found by how they stand, whose they are and when they were written to last."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taf.checkpointer import BaseCheckpointer
from taf.errors import AppClosedError, ConfigError
from taf.graph import CompiledGraph, StateGraph, interrupt
from tests.graph.trail import Trail, graph_of
from tests.stopping.slow import Slow


async def ask(state: Trail) -> dict[str, Any]:
    if state.last == "fail":
        raise ValueError("failed")
    return {} if state.last == "pass" else {"trail": await interrupt("name?", answer=str)}


def asking(store: BaseCheckpointer, **options: Any) -> CompiledGraph:
    return StateGraph(Trail).add_node("ask", ask).compile(store, **options)


class Minutes:
    """A clock that goes on by a minute at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 60
        return self.now


async def names(app: CompiledGraph, **wanted: Any) -> str:
    return "".join(row.thread_id for row in await app.athreads(**wanted))


async def test_threads_are_listed_by_status(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        for name, last in {"a": "pass", "b": "ask", "c": "fail", "d": "pass"}.items():
            await asyncio.gather(app.ainvoke({"last": last}, {"thread_id": name}), return_exceptions=True)

        assert await names(app, status="completed") == "ad"
        assert await names(app, status=["interrupted_before", "error"]) == "bc"
        assert await names(app, status=iter(["error"])) == "c"
        assert await names(app, status=()) == "abcd"
        with pytest.raises(ConfigError, match='Did you mean "completed"'):
            await app.athreads(status="complete")


async def test_threads_are_listed_by_graph(store: BaseCheckpointer) -> None:
    async with asking(store, name="first") as first, asking(store, name="second") as second, asking(store) as plain:
        assert (first.name, plain.name) == ("first", "")
        for name, app in {"a": first, "b": second, "c": plain, "d": first}.items():
            await app.ainvoke({}, {"thread_id": name})

        assert [await names(plain, graph=graph) for graph in (None, "first", "second", "", "third")] == [
            *("abcd", "ad", "b", "c", "")
        ]
        assert [row.graph for row in await first.athreads()] == ["first", "second", "", "first"]


async def test_a_graph_without_a_name_takes_nobodys_name_away(store: BaseCheckpointer) -> None:
    async with asking(store, name="first") as app, asking(store) as plain:
        await app.ainvoke({}, {"thread_id": "a"})
        await plain.astop({"thread_id": "a"})
        assert [(row.graph, row.status) for row in await plain.athreads()] == [("first", "stopped")]


async def test_threads_are_listed_by_time(store: BaseCheckpointer) -> None:
    async with asking(store, clock=Minutes()) as app:
        for name in "abcd":
            await app.ainvoke({"last": "pass"}, {"thread_id": name})
        updated = [datetime.fromtimestamp(row.updated, UTC) for row in await app.athreads()]

        assert await names(app, since=updated[1]) == "bcd"
        assert await names(app, before=updated[2]) == "ab"
        assert await names(app, since=updated[1], before=updated[2] + timedelta(seconds=1)) == "bc"
        assert await names(app, since=updated[0], status="error") == ""
        with pytest.raises(ConfigError):
            await app.athreads(since=5)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_what_is_written_meanwhile_neither_hides_nor_repeats_the_others(
    store: BaseCheckpointer, newest_first: bool
) -> None:
    async with asking(store, clock=Minutes()) as app:
        for name in "abcdefgh":
            await app.ainvoke({"last": "pass"}, {"thread_id": name})
        cursor, found = "", ""
        while page := await app.athreads(newest_first=newest_first, after=cursor, limit=3):
            found += "".join(row.thread_id for row in page)
            cursor = page[-1].cursor
            await app.ainvoke({"last": "pass"}, {"thread_id": found[0]})
            await app.adelete_thread({"thread_id": found[1]})

        assert found == ("hgfedcba" if newest_first else "abcdefgh")
        assert (await names(app, newest_first=True))[0] == found[0]


async def test_a_cursor_of_another_order_is_refused(store: BaseCheckpointer) -> None:
    async with asking(store) as app:
        for cursor in ("thread", "no time"):
            with pytest.raises(ConfigError, match="cursor"):
                await app.athreads(newest_first=True, after=cursor)


async def test_a_listing_says_who_runs(store: BaseCheckpointer, tmp_path: Any) -> None:
    slow = Slow()
    async with asyncio.timeout(10), StateGraph(Trail).add_node("slow", slow.in_loop).compile(store) as app:
        async with graph_of("x").compile(store) as quick:
            await quick.ainvoke({}, {"thread_id": "a"})
        await app.asubmit({}, {"thread_id": "b"})
        assert [row.is_owned for row in await app.athreads()] == [False, True]
        slow.let_go.set()
        await app.ajoin({"thread_id": "b"})
        assert [row.is_owned for row in await app.athreads()] == [False, False]


async def test_a_name_is_a_text(store: BaseCheckpointer) -> None:
    with pytest.raises(ConfigError, match="name of a graph"):
        asking(store, name=5)


def test_the_sync_twin_does_the_same(store: BaseCheckpointer) -> None:
    app = asking(store, name="mine")
    with app:
        for name in "ab":
            app.invoke({}, {"thread_id": name})
        assert [row.thread_id for row in app.threads(newest_first=True, graph="mine")] == ["b", "a"]
        assert not app.threads(since=datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(AppClosedError):
        app.threads()
