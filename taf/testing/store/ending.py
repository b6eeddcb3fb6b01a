"""A store that is closed takes no more runs, and what was begun before is written or refused, never in doubt."""

from __future__ import annotations

import asyncio

import pytest

from taf.checkpointer.base import BaseCheckpointer, Signal, ThreadKey
from taf.errors import CheckpointerClosedError, CheckpointerError, StaleOwnerError
from taf.testing.store.base import StoreTests
from taf.testing.store.owner import HANG, KEY, OTHER, RUN, Owner


class EndingTests(StoreTests):
    """``close`` and ``aclose``."""

    async def test_a_closed_store_takes_no_more_runs(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        await store.aclose()
        store.close()

        with pytest.raises(CheckpointerClosedError):
            await Owner.of(store, OTHER)
        store.abandon(KEY, owner.epoch)

    async def test_a_store_that_was_never_used_can_be_closed(self, store: BaseCheckpointer) -> None:
        await store.aclose()
        store.close()
        await store.aclose()

    async def test_a_store_that_was_used_can_be_closed_without_a_loop(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()

        await asyncio.to_thread(store.close)

        with pytest.raises(CheckpointerClosedError):
            await Owner.of(store, OTHER)

    async def test_leaving_a_block_closes(self, store: BaseCheckpointer) -> None:
        async with store as entered:
            assert entered is store
            await (await Owner.of(store)).step()

        with pytest.raises(CheckpointerClosedError):
            await Owner.of(store, OTHER)

    async def test_a_call_after_the_end_is_answered_or_refused_in_our_words(self, store: BaseCheckpointer) -> None:
        owner = await Owner.of(store)
        await owner.step()
        await store.aclose()

        calls = (
            owner.step(),
            store.load(KEY),
            store.read(KEY),
            store.signal(KEY, Signal("stop", RUN)),
            store.interrupts(),
            store.threads(),
            store.delete(OTHER),
        )
        async with asyncio.timeout(HANG):
            outcomes = await asyncio.gather(*calls, return_exceptions=True)

        for outcome in outcomes:
            assert not isinstance(outcome, BaseException) or isinstance(outcome, CheckpointerError | StaleOwnerError)

    async def test_what_was_begun_before_the_end_is_written_or_refused(self, store: BaseCheckpointer) -> None:
        owners = [await Owner.of(store, ThreadKey("", f"t{number}")) for number in range(30)]
        writes = [asyncio.create_task(owner.step()) for owner in owners]
        await asyncio.sleep(0)

        async with asyncio.timeout(HANG):
            await store.aclose()
            outcomes = await asyncio.gather(*writes, return_exceptions=True)

        for outcome in outcomes:
            assert not isinstance(outcome, BaseException) or isinstance(outcome, CheckpointerError | StaleOwnerError)
