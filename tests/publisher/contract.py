"""What every publisher has to keep, as tests to inherit.

Derive a class whose name begins with ``Test``, make your publisher in ``make_publisher`` and tell in ``received`` what
it got:

    class TestMyPublisher(PublisherContract):
        def make_publisher(self) -> MyPublisher: ...
        def received(self, publisher: MyPublisher) -> list[int]: ...
"""

import inspect
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

from taf.publisher import BasePublisher, Bus, Event, EventType


def make_event(sequence: int = 1, event_type: EventType = EventType.NODE_COMPLETED, **facts: Any) -> Event:
    """An event of thread "t", with an hour that is always the same."""
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
    return [make_event(sequence) for sequence in range(first, first + count)]


async def tell(publisher: BasePublisher, event: Event) -> None:
    result = publisher.publish(event)
    if inspect.isawaitable(result):
        await result


class PublisherContract(ABC):
    """Gets all events in order, knows or ignores every type, and does not mind being closed twice."""

    @abstractmethod
    def make_publisher(self) -> Any:
        """A fresh publisher."""

    @abstractmethod
    def received(self, publisher: Any) -> list[int]:
        """The ``sequence`` of each event that reached the publisher, in order."""

    def ready(self) -> BasePublisher:
        publisher = self.make_publisher()
        assert isinstance(publisher, BasePublisher)
        return publisher

    async def test_it_gets_all_events_in_order_and_once(self) -> None:
        publisher = self.ready()

        for event in make_events(20):
            await tell(publisher, event)
        await publisher.aclose()

        assert self.received(publisher) == list(range(1, 21))

    async def test_it_gets_all_events_from_a_bus(self) -> None:
        publisher = self.ready()
        bus = Bus([publisher])

        for first in range(1, 101, 10):
            bus.publish(make_events(10, first))
        await bus.aclose()

        assert self.received(publisher) == list(range(1, 101))

    async def test_it_tolerates_every_type_of_event(self) -> None:
        publisher = self.ready()

        for sequence, event_type in enumerate(EventType, 1):
            await tell(publisher, make_event(sequence, event_type))
        await publisher.aclose()

        assert self.received(publisher) == list(range(1, len(EventType) + 1))

    async def test_it_tolerates_events_that_say_little_or_odd_things(self) -> None:
        publisher = self.ready()

        await tell(publisher, make_event(1, node_name=None, content="", data={}, metadata={}))
        await tell(publisher, make_event(2, content="two\nlines \x00 \x1b[31m \ud800 🛑", metadata={"status": "so"}))
        await tell(publisher, make_event(3, content="long " * 10_000, data={"deep": {"list": [1, None]}}))
        await publisher.aclose()

        assert self.received(publisher) == [1, 2, 3]

    async def test_closing_twice_is_no_fault(self) -> None:
        publisher = self.ready()

        await publisher.aclose()
        await publisher.aclose()
        publisher.close()
        publisher.close()
