"""Signals are for one run, none that was taken gets lost, and who watches a thread hears of it."""

from __future__ import annotations

import asyncio

from taf.checkpointer.base import BaseCheckpointer, Change, Signal
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import HANG, KEY, OTHER, RUN, Owner, loops, make_record, until


class SignalTests(StoreTests):
    """``signal`` and ``watch``."""

    async def test_a_signal_reaches_the_active_run_only(self, store: BaseCheckpointer) -> None:
        assert not await store.signal(KEY, Signal("stop", RUN))
        owner = await Owner.of(store)
        assert not await owner.step()
        assert not await store.signal(KEY, Signal("stop", "run-0"))
        assert await store.signal(KEY, Signal("steer", RUN, b"\x00\xff"))
        assert await store.signal(KEY, Signal("stop", RUN))

        for _ in range(2):
            steer, stop = await owner.step()
            assert steer[:3] == ("steer", RUN, b"\x00\xff")
            assert stop.kind == "stop"
            assert 0 < steer.id < stop.id

        assert not await owner.step(run_id="run-2")
        assert not await store.signal(KEY, Signal("stop", RUN))

    async def test_a_release_takes_the_last_signals_along(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        await store.signal(KEY, Signal("stop", RUN))

        assert [signal.kind for signal in await owner.release()] == ["stop"]

        assert not await store.signal(KEY, Signal("stop", RUN))
        assert not await (await Owner.of(store)).step()

    async def test_a_run_whose_owner_is_gone_takes_no_signals(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        store.abandon(KEY, owner.epoch)

        assert not await store.signal(KEY, Signal("stop", RUN))

    async def test_signals_come_in_the_order_in_which_they_were_left(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        for number in range(20):
            assert await store.signal(KEY, Signal("steer", RUN, b"%d" % number))

        signals = await owner.step()

        assert [signal.body for signal in signals] == [b"%d" % number for number in range(20)]
        assert [signal.id for signal in signals] == sorted({signal.id for signal in signals})

    async def test_signals_stay_with_their_thread(self, store: BaseCheckpointer) -> None:
        owner, other = await Owner.of(store), await Owner.of(store, OTHER)
        await owner.step()
        await other.step()

        assert await store.signal(KEY, Signal("stop", RUN))

        assert not await other.step()
        assert len(await owner.step()) == 1

    async def test_every_signal_that_was_taken_reaches_the_owner(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        bodies = [b"%d" % number for number in range(60)]
        got: set[bytes] = set()

        async def write() -> None:
            for _ in range(20):
                got.update(signal.body for signal in await owner.step())
                await asyncio.sleep(0)
            got.update(signal.body for signal in await owner.release())

        async def leave(body: bytes) -> bytes | None:
            return body if await store.signal(KEY, Signal("steer", RUN, body)) else None

        with loops(3) as running:
            found = await running.run(write, *[lambda body=body: leave(body) for body in bodies])

        assert not [one for one in found if isinstance(one, BaseException)]
        assert got == {body for body in found if body is not None}

    async def test_a_watcher_is_told_of_commits_and_signals(self, store: BaseCheckpointer) -> None:
        told: list[Change] = []
        owner = await Owner.of(store)
        unwatch = store.watch(KEY, told.append)

        await owner.step()
        await until(lambda: told == [Change(1, "running", RUN, ())])
        await store.signal(KEY, Signal("stop", RUN, b"now"))
        await until(lambda: len(told) == 2)
        assert (told[1].head, [signal.body for signal in told[1].signals]) == (1, [b"now"])
        await owner.release(status="stopped")
        await until(lambda: len(told) == 3)
        assert told[2] == Change(1, "stopped", RUN, ())

        unwatch()
        unwatch()
        await (await Owner.of(store)).step()
        assert len(told) == 3

    async def test_who_watches_for_signals_only_is_not_told_of_moves(self, store: BaseCheckpointer) -> None:
        moves: list[Change] = []
        told: list[Change] = []
        owner = await Owner.of(store)
        unwatch = store.watch(KEY, told.append, signals_only=True)
        store.watch(KEY, moves.append)
        for _ in range(3):
            await owner.step()
        await until(lambda: moves and moves[-1].head == 3)
        assert told == []

        await store.signal(KEY, Signal("stop", RUN, b"now"))
        await until(lambda: told)
        assert [signal.body for signal in told[0].signals] == [b"now"]

        unwatch()
        count = len(told)
        await store.signal(KEY, Signal("stop", RUN, b"again"))
        await until(lambda: len(moves[-1].signals) == 2)
        assert len(told) == count

    async def test_each_watcher_hears_of_its_thread(self, store: BaseCheckpointer) -> None:
        mine: list[Change] = []
        also: list[Change] = []
        other: list[Change] = []
        owner = await Owner.of(store)
        ends = [store.watch(KEY, mine.append), store.watch(KEY, also.append), store.watch(OTHER, other.append)]

        await owner.step()
        await until(lambda: mine and also)
        ends[0]()
        await owner.step()
        await until(lambda: also[-1].head == 2)

        assert (mine[-1].head, other) == (1, [])
        ends[1]()
        ends[2]()

    async def test_a_watcher_that_raises_harms_nobody(self, store: BaseCheckpointer) -> None:
        told: list[Change] = []

        def fail(change: Change) -> None:
            raise RuntimeError("watcher")

        owner = await Owner.of(store)
        store.watch(KEY, fail)
        store.watch(KEY, told.append)

        await owner.step()
        await store.signal(KEY, Signal("stop", RUN))
        await owner.step()

        await until(lambda: told and told[-1].head == 2)

    async def test_a_watcher_in_another_loop_hears_too(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        is_watched = asyncio.Event()
        here = asyncio.get_running_loop()

        async def hear() -> int:
            loop, heard = asyncio.get_running_loop(), asyncio.Event()
            heads: list[int] = []

            def note(change: Change) -> None:
                heads.append(change.head)
                loop.call_soon_threadsafe(heard.set)

            unwatch = store.watch(KEY, note)
            here.call_soon_threadsafe(is_watched.set)
            async with asyncio.timeout(HANG):
                while 2 not in heads:
                    await heard.wait()
                    heard.clear()
            unwatch()
            return heads[-1]

        with loops(1) as running:
            hearing = asyncio.create_task(running.run(hear))
            async with asyncio.timeout(HANG):
                await is_watched.wait()
            await owner.append(make_record(1), make_record(2))
            assert await hearing == [2]
