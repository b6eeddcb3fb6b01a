"""Bytes, texts and numbers come back as they went in, however large or odd; what cannot be kept is refused."""

from __future__ import annotations

from typing import Any

import pytest

from taf.checkpointer.base import BaseCheckpointer, Listing, Signal, Snapshot, ThreadKey
from taf.errors import TafError
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import KEY, RUN, Owner, load, make_interrupt, make_record

MEGABYTE = bytes(range(256)) * 4096
LONE = "a\ud800b"
"""Half of a surrogate pair: text in Python, and not in UTF-8."""


class ValueTests(StoreTests):
    """What a store makes of odd values."""

    async def test_bytes_and_text_come_back_as_they_went_in(self, store: BaseCheckpointer) -> None:
        body = bytes(range(256)) + b"\xff\xfe\x00\xed\xa0\x80"
        key = ThreadKey("ten\x00ant'; --", 'thread "\U0001f600" \x00 %')
        owner = await Owner.of(store, key)
        record = make_record(1, kind="kind \x00 é", body=body, items=b"", run_id="\U0001f600")
        snapshot = Snapshot(1, 1, (b"", body, b"\x00"))
        await owner.append(record, snapshot=snapshot, interrupts=[make_interrupt("\x00i", body=body)], run_id="r\x00")

        stored = await load(store, key)

        assert (stored.snapshot, list(stored.items), stored.run_id) == (snapshot, [(1, b"")], "r\x00")
        assert list(await store.read(key)) == [record]
        assert [row.body for row in await store.interrupts(key)] == [body]
        assert [row.thread_id for row in await store.threads(key.tenant)] == [key.thread]

    async def test_a_large_record_is_kept_whole(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        body = bytes(range(256)) * 4096 * 4
        await owner.append(make_record(1, body=body, items=body[1:]))

        (found,) = await store.read(KEY)

        assert (found.body == body, found.items == body[1:]) == (True, True)

    async def test_a_megabyte_is_kept_in_each_place(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        snapshot, row = Snapshot(1, 1, (MEGABYTE, b"", MEGABYTE)), make_interrupt("large", body=MEGABYTE)
        await owner.append(make_record(1, body=MEGABYTE, items=MEGABYTE), snapshot=snapshot, interrupts=[row])

        stored = await load(store)

        assert stored.snapshot is not None
        assert [part == MEGABYTE for part in stored.snapshot.parts] == [True, False, True]
        assert [(sequence, items == MEGABYTE) for sequence, items in stored.items] == [(1, True)]
        assert [row.body == MEGABYTE for row in await store.interrupts()] == [True]

    async def test_a_signal_may_be_long(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        body = MEGABYTE[:100_000]
        assert await store.signal(KEY, Signal("steer", RUN, body))

        (signal,) = await owner.step()

        assert signal.body == body

    async def test_numbers_come_back_exactly(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        records = [
            make_record(1, at=0.1 + 0.2, step=0),
            make_record(2, at=1767225600.1234567, step=10**6),
            make_record(2**40, at=-62135596800.0, step=2**31 - 1),
        ]
        await owner.append(*records, interrupts=[make_interrupt("a", changed=1767225600.1234567)])

        assert list(await store.read(KEY)) == records
        assert (await load(store)).head == 2**40
        assert [row.changed for row in await store.interrupts()] == [1767225600.1234567]

    @pytest.mark.parametrize("text", ["", "a\x00b", "\x00", "\U0001f600\ufffd\u200b", "'; DROP TABLE x; --", "%_\\"])
    async def test_any_text_can_stand_in_a_record(self, store: BaseCheckpointer, text: str) -> None:
        owner = await Owner.of(store)
        record, row = make_record(1, kind=text, run_id=text), make_interrupt(f"id {text}", f"s{text}", node=text)
        await owner.append(record, status=f"s{text}", run_id=f"r{text}", interrupts=[row])

        assert (await load(store))[2:4] == (f"s{text}", f"r{text}")
        assert list(await store.read(KEY)) == [record]
        assert list(await store.interrupts(KEY, interrupt_id=f"id {text}", status=f"s{text}")) == [row]
        assert [row.thread_id for row in await store.threads(listing=Listing((f"s{text}",)))] == [KEY.thread]

    @pytest.mark.parametrize("key", [ThreadKey(LONE, "t"), ThreadKey("", LONE)], ids=["tenant", "thread"])
    async def test_a_name_that_is_no_unicode_is_kept_or_refused(self, store: BaseCheckpointer, key: ThreadKey) -> None:
        try:
            owner = await Owner.of(store, key)
            await owner.step()
        except TafError:
            assert not await store.threads()
        else:
            assert (await load(store, key)).head == 1
            assert [row.thread_id for row in await store.threads(key.tenant)] == [key.thread]
        await (await Owner.of(store)).step()

    @pytest.mark.parametrize("place", ["kind", "record's run", "status", "run", "interrupt", "its status", "its node"])
    async def test_text_that_is_no_unicode_is_kept_or_refused(self, store: BaseCheckpointer, place: str) -> None:
        record = make_record(1, **{"kind": {"kind": LONE}, "record's run": {"run_id": LONE}}.get(place, {}))
        named: dict[str, dict[str, Any]] = {"its status": {"status": LONE}, "its node": {"node": LONE}}
        row = make_interrupt(LONE if place == "interrupt" else "a", **named.get(place, {}))
        facts = {"status": {"status": LONE}, "run": {"run_id": LONE}}.get(place, {})
        owner = await Owner.of(store)
        try:
            await owner.append(record, interrupts=[row], **facts)
        except TafError:
            assert await store.load(KEY) is None
            assert not await store.read(KEY)
            assert not await store.interrupts()
            await owner.step()
        else:
            assert list(await store.read(KEY)) == [record]
            assert list(await store.interrupts()) == [row]
            assert (await load(store))[2:4] == (facts.get("status", "running"), facts.get("run_id", RUN))
