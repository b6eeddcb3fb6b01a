"""Order, once, and slow publishers: what a bus promises on one loop."""

import asyncio
import contextvars
import threading
import time

import pytest

from taf.errors import ConfigError
from taf.publisher import Bus, CollectingPublisher, CompositePublisher, Event
from taf.testing.publisher import make_event, make_events
from tests.publisher.observers import AsyncPublisher, Hung, SyncPublisher, is_soon_over, numbers

# -- coming and going ------------------------------------------------------------------------------


def test_a_bus_without_publishers_is_silent():
    assert Bus([]).is_silent
    assert not Bus([CollectingPublisher()]).is_silent


async def test_a_silent_bus_takes_everything():
    bus = Bus([])

    assert bus.publish(make_events(3))
    await bus.room()
    await bus.settle()
    await bus.aclose()


@pytest.mark.parametrize("options", [{"buffer_size": 0}, {"settle_seconds": -1}, {"patience_seconds": -1}])
def test_options_that_make_no_sense_are_refused(options: dict[str, int]):
    with pytest.raises(ConfigError, match="A bus needs"):
        Bus([], **options)


async def test_every_publisher_gets_every_event_once_and_in_order():
    sync, later, collecting = SyncPublisher(), AsyncPublisher(), CollectingPublisher()
    mixed = SyncPublisher(), AsyncPublisher()
    bus = Bus([sync, later, collecting, CompositePublisher(mixed)])

    for first in range(1, 501, 5):
        bus.publish(make_events(5, first))
        if first % 50 == 1:
            await asyncio.sleep(0.001)
    await bus.aclose()

    assert sync.got == later.got == numbers(500)
    assert [event.sequence for event in collecting.events] == numbers(500)
    assert mixed[0].got == mixed[1].got == numbers(500)


async def test_publishers_get_the_same_objects():
    publisher = CollectingPublisher()
    bus = Bus([publisher])
    events = make_events(3)

    bus.publish(events)
    await bus.settle()

    assert all(got is event for got, event in zip(publisher.events, events, strict=True))


async def test_sync_publishers_run_in_a_worker_thread():
    publisher = SyncPublisher()
    bus = Bus([publisher])

    bus.publish(make_events(3))
    await bus.settle()

    assert threading.current_thread() not in publisher.threads
    assert len(publisher.threads) == 1


async def test_an_idle_bus_has_no_task():
    bus = Bus([SyncPublisher(), AsyncPublisher(), CollectingPublisher()])

    bus.publish(make_events(3))
    await bus.settle()
    await asyncio.sleep(0.01)

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_publisher_sees_the_variables_of_no_run():
    variable = contextvars.ContextVar("variable", default="nobody")
    seen: list[str] = []

    async def later(event: Event) -> None:
        seen.append(variable.get())

    variable.set("this run")
    bus = Bus([lambda event: seen.append(variable.get()), later])
    bus.publish(make_events(1))
    await bus.aclose()

    assert seen == ["nobody", "nobody"]


async def test_a_publisher_may_publish():
    later: list[int] = []

    def echo(event: Event) -> None:
        later.append(event.sequence)
        if event.sequence < 5:
            bus.publish([make_event(event.sequence + 1)])

    bus = Bus([echo])
    bus.publish([make_event(1)])
    while len(later) < 5:
        await bus.settle()
    await bus.aclose()

    assert later == numbers(5)


# -- slow ------------------------------------------------------------------------------------------


async def test_a_blocking_publisher_does_not_block_the_loop(hung: Hung):
    bus = Bus([hung])

    bus.publish(make_events(2))
    for _ in range(20):
        await asyncio.sleep(0.005)

    assert not hung.got
    hung.is_free.set()
    await bus.aclose()
    assert hung.got == numbers(2)
    assert threading.current_thread() not in hung.threads


async def test_an_async_publisher_that_never_waits_lets_others_have_the_loop():
    seen: list[int] = []

    async def instant(event: Event) -> None:
        seen.append(event.sequence)

    bus = Bus([instant])
    bus.publish(make_events(1000))
    while not seen:
        await asyncio.sleep(0)

    assert len(seen) < 1000
    await bus.aclose()
    assert len(seen) == 1000


async def test_one_slow_publisher_holds_up_no_other():
    slow, quick = SyncPublisher(0.05), SyncPublisher()
    bus = Bus([slow, quick])

    bus.publish(make_events(20))
    await bus.settle()

    assert quick.got == numbers(20)
    assert len(slow.got) < 20
    await bus.aclose()
    assert slow.got == numbers(20)


async def test_settle_waits_until_events_are_told():
    for publisher in (SyncPublisher(0.001), AsyncPublisher(0.001)):
        bus = Bus([publisher], settle_seconds=10)
        bus.publish(make_events(10))
        await bus.settle()
        assert publisher.got == numbers(10)


async def test_settle_waits_only_until_the_oldest_event_is_so_old(hung: Hung):
    bus = Bus([hung], settle_seconds=0.1)

    start = time.monotonic()
    bus.publish(make_events(10))
    await bus.settle()
    assert time.monotonic() - start >= 0.1
    await asyncio.to_thread(hung.has_begun.wait)
    await asyncio.sleep(0.1)
    await is_soon_over(bus.settle())
    bus.publish(make_events(1, 11))
    await is_soon_over(bus.settle())

    assert not hung.got
    hung.is_free.set()
    await bus.aclose()
    assert hung.got == numbers(11)


async def test_a_blocked_loop_is_not_taken_for_a_slow_publisher():
    sync, later = SyncPublisher(), AsyncPublisher()
    bus = Bus([sync, later], settle_seconds=0.1)

    bus.publish(make_events(2))
    time.sleep(0.15)  # noqa: ASYNC251 - the node of somebody who does not know better
    await bus.settle()

    assert sync.got == later.got == numbers(2)


async def test_publish_says_when_a_buffer_is_full_and_room_waits_for_it():
    slow = SyncPublisher(0.02)
    bus = Bus([slow], buffer_size=4)

    assert bus.publish(make_events(3))
    assert not bus.publish(make_events(3, 4))
    await bus.room()
    assert len(slow.got) >= 3
    assert bus.publish([])

    await bus.aclose()
    assert slow.got == numbers(6)
    assert bus.dropped == 0


async def test_room_is_there_at_once_where_buffers_are_not_full(hung: Hung):
    bus = Bus([hung])

    bus.publish(make_events(3))
    await is_soon_over(bus.room())

    hung.is_free.set()
    await bus.aclose()


async def test_a_slow_publisher_that_moves_on_is_not_stuck():
    slow = SyncPublisher(0.03)
    bus = Bus([slow], buffer_size=1, patience_seconds=0.1)

    bus.publish(make_events(10))
    await bus.room()  # ends after 0.1 s, without a warning
    bus.publish(make_events(1, 11))
    await bus.aclose()

    assert slow.got == numbers(11)
    assert bus.dropped == 0


# -- the end ---------------------------------------------------------------------------------------


async def test_the_end_delivers_everything_however_long_it_takes():
    sync, later = SyncPublisher(0.03), AsyncPublisher(0.03)
    bus = Bus([sync, later], patience_seconds=0.1)

    bus.publish(make_events(10))
    await bus.aclose()

    assert sync.got == later.got == numbers(10)
    assert sync.ends == later.ends == 1


async def test_after_the_end_nothing_is_published_and_nothing_closed_again():
    sync = SyncPublisher()
    bus = Bus([sync])

    await bus.aclose()
    await bus.aclose()
    assert bus.is_silent
    assert bus.publish(make_events(1))
    await bus.settle()

    assert sync.got == []
    assert sync.ends == 1


async def test_an_end_that_was_cancelled_can_be_tried_again():
    sync, later = SyncPublisher(0.02), AsyncPublisher(0.02)
    bus = Bus([sync, later])
    bus.publish(make_events(10))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await bus.aclose()
    assert len(sync.got) < 10
    await bus.aclose()

    assert sync.got == later.got == numbers(10)
    assert sync.ends == later.ends == 1


async def test_several_may_end_it_at_once():
    sync = SyncPublisher(0.005)
    bus = Bus([sync])
    bus.publish(make_events(5))

    await asyncio.gather(bus.aclose(), bus.aclose(), bus.settle(), bus.room())

    assert sync.got == numbers(5)
    assert sync.ends == 1
