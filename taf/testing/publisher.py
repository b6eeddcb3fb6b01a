"""What every publisher has to keep, as tests to inherit.

Derive a class whose name begins with ``Test``, make your publisher in ``make_publisher`` and tell in ``received`` what
got through to where it publishes to:

    class TestMyPublisher(PublisherContract):
        def make_publisher(self) -> MyPublisher:
            return MyPublisher(self.tmp_path / "events")

        def received(self, publisher: MyPublisher) -> list[int]:
            return [event["sequence"] for event in publisher.read_back()]

Both may be async. Where ``make_publisher`` is not enough, override the fixture ``publisher``.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from taf.graph import CompiledGraph, RunResult, StateGraph
from taf.publisher import BasePublisher, Bus, Event, EventType

HANG = 20.0
"""Bounds what would otherwise hang, in seconds; nothing is measured by it."""


def make_event(sequence: int = 1, event_type: EventType = EventType.NODE_COMPLETED, **facts: Any) -> Event:
    """Return an event of thread "t", with an hour that is always the same."""
    known: dict[str, Any] = {
        "thread_id": "t",
        "run_id": "r",
        "step": sequence,
        "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
        "node_name": "write",
        "content": f"text {sequence}",
    }
    return Event(event_type=event_type, sequence=sequence, **known | facts)


def make_events(count: int, first: int = 1) -> list[Event]:
    """Return so many events in a row."""
    return [make_event(sequence) for sequence in range(first, first + count)]


async def tell(publisher: BasePublisher, event: Event) -> None:
    """Publish one event, whether that is sync or async."""
    result = publisher.publish(event)
    if inspect.isawaitable(result):
        await result


class Slow(BasePublisher):
    """Takes its time in a worker thread."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def publish(self, event: Event) -> None:
        """Wait, then note."""
        time.sleep(0.002)
        self.got.append(event.sequence)


class Raising(BasePublisher):
    """Takes nothing."""

    def publish(self, event: Event) -> None:
        """Fail."""
        raise OSError("planted: this publisher takes nothing")


def _app(publishers: Sequence[BasePublisher]) -> CompiledGraph:
    def first(state: Any) -> dict[str, Any]:
        return {"first": True}

    async def second(state: Any) -> dict[str, Any]:
        return {"second": state.first}

    graph = StateGraph().add_node("first", first).add_node("second", second)
    return graph.compile(publisher=publishers, interrupt_before=["second"])


class PublisherContract:
    """Gets all events in order and once, knows or ignores every type, keeps no run up, and can be closed twice."""

    pytestmark: ClassVar[Any] = pytest.mark.asyncio

    tmp_path: Path
    """A folder of the test's own."""

    def make_publisher(self) -> Any:
        """Make a fresh publisher. May be async, and may use ``self.tmp_path``."""
        raise NotImplementedError("Write make_publisher(self), or a fixture of the name `publisher`.")

    def received(self, publisher: Any) -> Any:
        """Return the ``sequence`` of each event that got through, in order. May be async."""
        raise NotImplementedError("Write received(self, publisher): the sequences of the events that got through.")

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    @pytest_asyncio.fixture(loop_scope="function")
    async def publisher(self) -> AsyncIterator[BasePublisher]:
        """The publisher that is tried."""
        made = self.make_publisher()
        publisher: object = await made if inspect.isawaitable(made) else made
        assert isinstance(publisher, BasePublisher)
        yield publisher
        await publisher.aclose()

    async def _received(self, publisher: BasePublisher) -> list[int]:
        found = self.received(publisher)
        return list(await found if inspect.isawaitable(found) else found)

    # -- told by hand ------------------------------------------------------------------------------

    async def test_it_gets_all_events_in_order_and_once(self, publisher: BasePublisher) -> None:
        for event in make_events(20):
            await tell(publisher, event)
        await publisher.aclose()

        assert await self._received(publisher) == list(range(1, 21))

    async def test_it_tolerates_every_type_of_event(self, publisher: BasePublisher) -> None:
        for sequence, event_type in enumerate(EventType, 1):
            await tell(publisher, make_event(sequence, event_type))
        await publisher.aclose()

        assert await self._received(publisher) == list(range(1, len(EventType) + 1))

    async def test_it_tolerates_events_that_say_little_or_odd_things(self, publisher: BasePublisher) -> None:
        await tell(publisher, make_event(1, node_name=None, content="", data={}, metadata={}))
        await tell(publisher, make_event(2, content="two\nlines \x00 \x1b[31m \ud800 🛑", metadata={"status": "so"}))
        await tell(publisher, make_event(3, content="long " * 10_000, data={"deep": {"list": [1, None]}}))
        await publisher.aclose()

        assert await self._received(publisher) == [1, 2, 3]

    async def test_it_tolerates_values_that_are_no_json(self, publisher: BasePublisher) -> None:
        await tell(publisher, make_event(1, data={"when": datetime(2026, 1, 1, tzinfo=UTC), "bytes": b"\xff", 3: {4}}))
        await tell(publisher, make_event(2, data={"object": object(), "number": float("nan")}))
        await publisher.aclose()

        assert await self._received(publisher) == [1, 2]

    # -- told by a bus and by an app ---------------------------------------------------------------

    async def test_it_gets_all_events_from_a_bus(self, publisher: BasePublisher) -> None:
        bus = Bus([publisher])

        for first in range(1, 101, 10):
            bus.publish(make_events(10, first))
        await bus.aclose()

        assert await self._received(publisher) == list(range(1, 101))

    async def test_it_gets_events_from_several_loops(self, publisher: BasePublisher) -> None:
        bus = Bus([publisher], settle_seconds=HANG)

        async def publish(first: int) -> None:
            bus.publish(make_events(10, first))
            await bus.settle()

        def program(first: int) -> None:
            asyncio.run(publish(first))

        for first in (1, 11, 21):
            await asyncio.to_thread(program, first)
        await bus.aclose()

        assert await self._received(publisher) == list(range(1, 31))

    async def test_it_gets_what_an_app_committed(self, publisher: BasePublisher) -> None:
        async with _app([publisher]) as app:
            result = await app.ainvoke({}, {"thread_id": "t"})
            assert (result.interrupted, (await app.aresume({"thread_id": "t"})).state.second) == (True, True)
            told = [event.sequence async for event in app.aevents({"thread_id": "t"})]

        assert await self._received(publisher) == told == list(range(1, len(told) + 1))

    async def test_it_gets_what_a_sync_program_committed(self, publisher: BasePublisher) -> None:
        def program() -> list[int]:
            with _app([publisher]) as app:
                app.invoke({}, {"thread_id": "t"})
                app.resume({"thread_id": "t"})
                return [event.sequence for event in app.events({"thread_id": "t"})]

        told = await asyncio.to_thread(program)

        assert await self._received(publisher) == told != []

    async def test_beside_a_slow_and_a_raising_one_nobody_is_harmed(self, publisher: BasePublisher) -> None:
        slow = Slow()

        async def program() -> RunResult:
            async with asyncio.timeout(HANG), _app([Raising(), slow, publisher]) as app:
                await app.ainvoke({}, {"thread_id": "t"})
                return await app.aresume({"thread_id": "t"})

        with pytest.warns(RuntimeWarning, match="planted") as reported:
            result = await program()

        assert (result.status, result.state.second) == ("completed", True)
        assert len(reported) == 1
        assert await self._received(publisher) == slow.got != []

    # -- the end -----------------------------------------------------------------------------------

    async def test_closing_twice_is_no_fault(self, publisher: BasePublisher) -> None:
        await publisher.aclose()
        await publisher.aclose()
        publisher.close()
        publisher.close()

    async def test_what_was_told_is_through_when_it_is_closed(self, publisher: BasePublisher) -> None:
        await tell(publisher, make_event(1))
        async with asyncio.timeout(HANG):
            await publisher.aclose()

        assert await self._received(publisher) == [1]

    async def test_one_that_was_told_nothing_can_be_closed(self, publisher: BasePublisher) -> None:
        async with asyncio.timeout(HANG):
            await Bus([publisher]).aclose()

        assert await self._received(publisher) == []
