"""Publishers that are given to ``compile``: all hear everything, and none can hurt a run."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from taf import AgentState, ExecutionStatus, StateGraph
from taf.checkpointer.base import BaseCheckpointer
from taf.events import Event
from taf.publisher import BasePublisher, CollectingPublisher, CompositePublisher, ConsolePublisher

CONFIG = {"thread_id": "t"}


async def one(state: AgentState) -> None:
    return None


async def two(state: AgentState) -> None:
    return None


def app_with(publisher: Any, store: BaseCheckpointer | None = None) -> Any:
    return StateGraph().add_node(one).add_node(two).compile(store, publisher=publisher)


EXPECTED = ["started", "node_completed", "node_completed", "completed"]


async def test_one_publisher_hears_everything(store: BaseCheckpointer) -> None:
    heard = CollectingPublisher()
    async with app_with(heard, store) as app:
        await app.ainvoke({}, CONFIG)
        assert [event.event_type for event in heard.events] == EXPECTED


async def test_several_publishers_of_all_kinds_hear_the_same() -> None:
    by_function: list[Event] = []
    by_coroutine: list[Event] = []

    async def heard_async(event: Event) -> None:
        by_coroutine.append(event)

    inner, outer = CollectingPublisher(), CollectingPublisher()
    publishers = [by_function.append, heard_async, CompositePublisher([inner]), outer]
    async with app_with(publishers) as app:
        await app.ainvoke({}, CONFIG)
    assert [event.event_type for event in by_function] == EXPECTED
    assert by_function == by_coroutine == inner.events == outer.events


async def test_the_console_prints(capsys: pytest.CaptureFixture[str]) -> None:
    async with app_with(ConsolePublisher()) as app:
        await app.ainvoke({}, CONFIG)
    assert capsys.readouterr().out.count("\n") >= len(EXPECTED)


def test_a_sync_run_is_told_as_well() -> None:
    heard = CollectingPublisher()
    with app_with(heard) as app:
        app.invoke({}, CONFIG)
    assert [event.event_type for event in heard.events] == EXPECTED


async def test_one_that_raises_is_reported_once_and_fails_no_run(store: BaseCheckpointer) -> None:
    heard = CollectingPublisher()

    def bad(event: Event) -> None:
        raise ValueError("broken")

    async def several() -> None:
        async with app_with([bad, heard], store) as app:
            for _ in range(2):
                assert (await app.ainvoke({}, CONFIG)).status is ExecutionStatus.COMPLETED

    with pytest.warns(RuntimeWarning, match="bad raised ValueError: broken") as found:
        await several()
    assert len(found) == 1
    assert [event.event_type for event in heard.events] == EXPECTED * 2


async def test_a_slow_one_does_not_keep_runs_waiting_and_still_gets_everything(store: BaseCheckpointer) -> None:
    heard: list[Event] = []
    let_go = asyncio.Event()

    async def slow(event: Event) -> None:
        await let_go.wait()
        heard.append(event)

    async with asyncio.timeout(20), app_with(slow, store) as app:
        for number in range(5):
            assert (await app.ainvoke({}, {"thread_id": str(number)})).status is ExecutionStatus.COMPLETED
        assert heard == []
        let_go.set()
    assert [event.event_type for event in heard] == EXPECTED * 5


async def test_leaving_delivers_what_is_buffered_also_from_a_blocking_one() -> None:
    class Blocking(BasePublisher):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def publish(self, event: Event) -> None:
            time.sleep(0.005)
            self.heard.append(event.event_type)

    blocking = Blocking()
    app = app_with(blocking)
    receipts = [await app.asubmit({}, {"thread_id": str(number)}) for number in range(5)]
    for receipt in receipts:
        await app.ajoin({"thread_id": receipt.thread_id})
    await app.aclose()
    assert blocking.heard.count("completed") == 5
