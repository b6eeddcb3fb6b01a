"""Interrupts and threads are found by what they are called and how they stand."""

from __future__ import annotations

import random
from typing import Any

import pytest

from taf.checkpointer.base import BaseCheckpointer, Listing, ThreadKey
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import KEY, OTHER, RUN, Owner, fill, make_interrupt, make_record

NAMES = [
    "10",
    "9",
    "A",
    "Z",
    "a",
    "a b",
    "a-b",
    "a.b",
    "aB",
    "a_b",
    "ab",
    "b",
    "à",
    "ä",
    "ﬀ",
    "\U0001f600",
    "\U0001f601",
]
"""In the order of their code points, which is neither that of a language nor that of UTF-16."""


class ListingTests(StoreTests):
    """``interrupts`` and ``threads``."""

    async def test_interrupts_are_found_by_thread_id_and_status(self, store: BaseCheckpointer) -> None:
        owner, other = await Owner.of(store), await Owner.of(store, OTHER)
        await owner.step(interrupts=[make_interrupt("a"), make_interrupt("b")])
        await other.step(interrupts=[make_interrupt("c")])
        answered = make_interrupt("a", "answered", node="again", changed=9.0, body=b"answer")
        await owner.step(interrupts=[answered])

        async def found(*args: Any, **filters: Any) -> list[str]:
            return [row.id for row in await store.interrupts(*args, **filters)]

        assert await found() == ["c", "b", "a"]
        assert await found(KEY) == ["b", "a"]
        assert await found(status="open") == ["c", "b"]
        assert await found(KEY, status="open") == ["b"]
        assert await found(interrupt_id="c") == ["c"]
        assert await found(KEY, interrupt_id="c") == []
        assert await found(ThreadKey("", "unknown")) == []
        assert list(await store.interrupts(KEY, interrupt_id="a", status="answered")) == [answered]

    async def test_an_interrupt_that_is_answered_keeps_its_place(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        for name in "abc":
            await owner.step(interrupts=[make_interrupt(name)])
        for name, status in (("b", "answered"), ("a", "withdrawn"), ("b", "open")):
            await owner.step(interrupts=[make_interrupt(name, status, body=status.encode())])

        found = await store.interrupts(KEY)

        assert [(row.id, row.status, row.body) for row in found] == [
            ("c", "open", b"question c"),
            ("b", "open", b"open"),
            ("a", "withdrawn", b"withdrawn"),
        ]

    async def test_interrupts_outlive_the_owner(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step(interrupts=[make_interrupt("a")])
        await owner.release(status="interrupted", interrupts=[make_interrupt("b")])

        assert [row.id for row in await store.interrupts(KEY, status="open")] == ["b", "a"]

    async def test_threads_are_listed_by_name_and_in_pages(self, store: BaseCheckpointer) -> None:
        for name in ("b", "a", "ä", "c"):
            await fill(store, 2, ThreadKey("", name))
        await (await Owner.of(store, ThreadKey("", "b"))).step(status="interrupted")
        await fill(store, 1, ThreadKey("tenant", "z"))
        await Owner.of(store, ThreadKey("", "without records"))

        async def names(*args: Any, **options: Any) -> list[str]:
            return [row.thread_id for row in await store.threads(*args, **options)]

        assert await names() == ["a", "b", "c", "ä"]
        assert await names(limit=2) == ["a", "b"]
        assert await names(after="b") == ["c", "ä"]
        assert await names(listing=Listing(("completed",)), after="a") == ["c", "ä"]
        assert await names("tenant") == ["z"]
        row = (await store.threads(listing=Listing(("interrupted",))))[0]
        assert row[:5] == ("b", "interrupted", 3, RUN, 1003.0)

    async def test_names_stand_in_the_order_of_their_code_points(self, store: BaseCheckpointer) -> None:
        for name in random.Random(1).sample(NAMES, len(NAMES)):
            await fill(store, 1, ThreadKey("", name))

        assert [row.thread_id for row in await store.threads()] == NAMES
        for place, name in enumerate(NAMES):
            found = await store.threads(after=name)
            assert [row.thread_id for row in found] == NAMES[place + 1 :]

    @pytest.mark.parametrize("is_newest_first", [False, True])
    @pytest.mark.parametrize("status", [(), ("completed",)])
    async def test_each_thread_is_on_one_page(
        self, store: BaseCheckpointer, is_newest_first: bool, status: tuple[str, ...]
    ) -> None:
        wanted: list[tuple[float, str]] = []
        for number in range(45):
            key, at = ThreadKey("", f"{number:02}"), float(number * 7 % 10)
            state = "paused" if number % 3 else "completed"
            owner = await Owner.of(store, key)
            await owner.append(make_record(1, at=at), status=state, is_release=True)
            if state in status or not status:
                wanted.append((at, key.thread))
        listing, found, cursor = Listing(status, is_newest_first=is_newest_first), list[str](), ""

        while page := await store.threads(listing=listing, after=cursor, limit=7):
            found += [row.thread_id for row in page]
            assert len(found) <= 45, "the pages do not end"
            cursor = page[-1].cursor

        in_order = sorted(wanted, reverse=True) if is_newest_first else sorted(wanted, key=lambda one: one[1])
        assert found == [name for _, name in in_order]

    async def test_a_listing_shows_what_was_asked_for(self, store: BaseCheckpointer) -> None:
        for name, graph, status in (("a", "g", "paused"), ("b", "g", "completed"), ("c", "", "paused")):
            owner = await Owner.of(store, ThreadKey("", name))
            await owner.append(make_record(ord(name)), status=status, graph=graph, is_release=True)
        owner = await Owner.of(store, ThreadKey("", "d"))
        await owner.append(make_record(ord("d")), graph="g")
        await owner.append(make_record(200, at=1000.0 + ord("d")))  # an empty graph leaves the thread's as it is

        async def names(**wanted: Any) -> str:
            return "".join(row.thread_id for row in await store.threads(listing=Listing(**wanted)))

        assert await names() == "abcd"
        assert await names(status=("paused", "running")) == "acd"
        assert await names(graph="g") == "abd"
        assert await names(graph="") == "c"
        assert await names(since=1000.0 + ord("b"), before=1000.0 + ord("d")) == "bc"
        assert await names(status=("paused",), graph="g", since=0.0) == "a"
        assert await names(status=("unknown",)) == ""
        rows = await store.threads()
        assert [(row.graph, row.is_owned) for row in rows] == [("g", False), ("g", False), ("", False), ("g", True)]
        assert not await store.threads(limit=0)
