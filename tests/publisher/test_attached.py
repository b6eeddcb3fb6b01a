"""Publishers that come to a bus, or to an app, while it is at work, and leave it again."""

import asyncio

from taf import AgentState, Message, StateGraph, emit
from taf.publisher import Bus, CollectingPublisher
from taf.testing.publisher import make_events
from tests.publisher.observers import SyncPublisher, numbers


async def test_a_publisher_that_is_attached_gets_what_comes_from_then_on():
    first, second = CollectingPublisher(), CollectingPublisher()
    bus = Bus([first])
    bus.publish(make_events(2))
    detach = bus.attach(second)
    bus.publish(make_events(2, 3))
    await bus.settle()
    detach()
    bus.publish(make_events(2, 5))
    await bus.aclose()

    assert [event.sequence for event in first.events] == numbers(6)
    assert [event.sequence for event in second.events] == [3, 4]


async def test_a_bus_is_silent_while_nobody_is_attached():
    bus = Bus([])
    detach = bus.attach(CollectingPublisher())
    assert not bus.is_silent
    detach()
    detach()

    assert bus.is_silent
    await bus.aclose()


async def test_what_was_published_before_it_left_is_still_delivered():
    slow = SyncPublisher(0.005)
    bus = Bus([])
    detach = bus.attach(slow)
    bus.publish(make_events(10))
    detach()
    async with asyncio.timeout(10):
        while len(slow.got) < 10:
            await asyncio.sleep(0.005)

    assert slow.got == numbers(10)


async def test_who_is_attached_can_be_waited_for():
    quick = CollectingPublisher()
    bus = Bus([], settle_seconds=0)
    listening = bus.attach(quick)
    await listening.settle()
    bus.publish(make_events(5))
    await listening.settle()

    assert [event.sequence for event in quick.events] == numbers(5)


async def test_a_listener_of_an_app_hears_of_its_runs_and_their_partials():
    async def write(state: AgentState) -> Message:
        emit("half")
        return Message.text_message("whole", role="assistant")

    heard = CollectingPublisher()
    async with StateGraph().add_node(write).compile() as app:
        leave = app.listen(heard)
        await app.ainvoke({}, {"thread_id": "t"})
        leave()
        await app.ainvoke({}, {"thread_id": "t"})

    assert [event.event_type.value for event in heard.events] == ["started", "partial", "node_completed", "completed"]
