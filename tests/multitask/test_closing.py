"""A run that began after it had waited is stopped like any other."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from taf.checkpointer import BaseCheckpointer
from tests.multitask.talk import HANG, Slow, said
from tests.stopping.slow import until

CONFIG = {"thread_id": "t"}


@pytest.mark.parametrize("strategy", ["interrupt", "enqueue"])
async def test_the_end_of_the_app_stops_it(store: BaseCheckpointer, strategy: Literal["interrupt", "enqueue"]) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG):
        app = slow.app(store)
        await app.asubmit(said("one"), CONFIG)
        await until(lambda: slow.began == ["one"])
        await app.asubmit(said("two"), CONFIG, multitask_strategy=strategy)
        if strategy == "enqueue":
            slow.gate.set()
            slow.gate = asyncio.Event()
        await until(lambda: slow.began == ["one", "two"])
        await app.aclose()
        assert slow.left == ["one", "two"]
        async with slow.app(store) as later:
            stopped = await later.aget_state(CONFIG)
            assert (stopped.status, stopped.state.messages[-1].text()) == ("stopped", "two")


async def test_a_caller_that_is_cancelled_stops_it() -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app() as app:
        await app.asubmit(said("one"), CONFIG)
        await until(lambda: slow.began == ["one"])
        calling = asyncio.create_task(app.ainvoke(said("two"), CONFIG, multitask_strategy="interrupt"))
        await until(lambda: slow.began == ["one", "two"])
        calling.cancel()
        await asyncio.wait([calling])
        assert (calling.cancelled(), slow.left) == (True, ["one", "two"])
        assert (await app.aget_state(CONFIG)).status == "stopped"
