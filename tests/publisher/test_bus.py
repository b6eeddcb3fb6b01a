"""Order, once, slow, raising, hung: what a bus promises on one loop."""

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from taf.errors import ConfigError
from taf.publisher import BasePublisher, Bus, CollectingPublisher, CompositePublisher, Event

from tests.publisher.contract import make_event, make_events


class SyncPublisher(BasePublisher):
    """Collects in a worker thread; may be slow."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.got: list[int] = []
        self.threads: set[threading.Thread] = set()
        self.ends = 0

    def publish(self, event: Event) -> None:
        self.threads.add(threading.current_thread())
        time.sleep(self.seconds)
        self.got.append(event.sequence)

    def close(self) -> None:
        self.ends += 1


class AsyncPublisher(BasePublisher):
    """Collects on the loop; may be slow."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.got: list[int] = []
        self.ends = 0

    async def publish(self, event: Event) -> None:
        await asyncio.sleep(self.seconds)
        self.got.append(event.sequence)

    async def aclose(self) -> None:
        self.ends += 1


class Hung(SyncPublisher):
    """Stays in its first event until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_free = threading.Event()

    def publish(self, event: Event) -> None:
        self.is_free.wait()
        super().publish(event)


class AsyncHung(AsyncPublisher):
    was_cancelled = False

    async def publish(self, event: Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.was_cancelled = True


@pytest.fixture
def hung() -> Iterator[Hung]:
    publisher = Hung()
    yield publisher
    publisher.is_free.set()


def numbers(last: int) -> list[int]:
    return list(range(1, last + 1))


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
        Bus([], **options)  # type: ignore[arg-type]


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
    await bus.settle()

    assert later == numbers(5)


# -- slow ------------------------------------------------------------------------------------------


async def test_a_blocking_publisher_does_not_block_the_loop():
    bus = Bus([SyncPublisher(0.05)])
    start = time.monotonic()

    bus.publish(make_events(4))
    longest = 0.0
    for _ in range(20):
        turn = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - turn)

    assert longest < 0.045
    await bus.aclose()
    assert time.monotonic() - start >= 0.2


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


async def test_settle_waits_only_until_the_oldest_event_is_so_old():
    slow = SyncPublisher(0.05)
    bus = Bus([slow, AsyncPublisher(0.05)], settle_seconds=0.1)

    bus.publish(make_events(10))
    start = time.monotonic()
    await bus.settle()
    first = time.monotonic() - start
    await bus.settle()
    second = time.monotonic() - start - first
    bus.publish(make_events(1, 11))
    await bus.settle()
    third = time.monotonic() - start - first - second

    assert 0.08 < first < 0.15
    assert second < 0.02
    assert third < 0.02
    await bus.aclose()
    assert slow.got == numbers(11)


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


async def test_room_is_there_at_once_where_buffers_are_not_full():
    bus = Bus([SyncPublisher(0.05)])

    bus.publish(make_events(3))
    start = time.monotonic()
    await bus.room()

    assert time.monotonic() - start < 0.02
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


# -- raising ---------------------------------------------------------------------------------------


class Broken(SyncPublisher):
    def publish(self, event: Event) -> None:
        super().publish(event)
        raise ValueError(f"no {event.sequence}")


class AsyncBroken(AsyncPublisher):
    async def publish(self, event: Event) -> None:
        await super().publish(event)
        raise ValueError(f"no {event.sequence}")


@pytest.mark.parametrize("make", [Broken, AsyncBroken])
async def test_a_publisher_that_raises_is_reported_once_and_goes_on(make: type[SyncPublisher]):
    broken, good = make(), SyncPublisher()
    bus = Bus([broken, good])

    with pytest.warns(RuntimeWarning) as caught:
        bus.publish(make_events(5))
        await bus.settle()
        bus.publish(make_events(5, 6))
        await bus.aclose()

    assert broken.got == good.got == numbers(10)
    assert len(caught) == 1
    name = make.__qualname__
    assert str(caught[0].message).startswith(f'{name} raised ValueError: no 1 on "node_completed".')


async def test_each_publisher_is_reported_for_itself_by_its_name():
    def hear(event: Event) -> None:
        raise KeyError("gone")

    with pytest.warns(RuntimeWarning) as caught:
        bus = Bus([Broken(), CompositePublisher([CollectingPublisher(), AsyncBroken()]), hear])
        bus.publish(make_events(2))
        await bus.settle()

    assert sorted(str(one.message).partition(" on ")[0] for one in caught) == [
        "Broken raised ValueError: no 1",
        "CompositePublisher raised ExceptionGroup: AsyncBroken raised ValueError: no 1 (1 sub-exception)",
        "test_each_publisher_is_reported_for_itself_by_its_name.<locals>.hear raised KeyError: 'gone'",
    ]


async def test_a_warning_that_is_made_an_error_goes_to_the_log(caplog: pytest.LogCaptureFixture):
    # Warnings are errors in these tests: here nothing catches this one.
    for broken in (Broken(), AsyncBroken()):
        bus = Bus([broken])
        bus.publish(make_events(3))
        await bus.aclose()
        assert broken.got == numbers(3)

    assert [(name, level) for name, level, _ in caplog.record_tuples] == [("taf", logging.ERROR)] * 2
    assert "Broken raised ValueError: no 1" in caplog.text


async def test_a_publisher_that_cancels_itself_or_exits_has_only_failed():
    class Leaving(AsyncPublisher):
        async def publish(self, event: Event) -> None:
            await super().publish(event)
            raise asyncio.CancelledError

    class Exiting(SyncPublisher):
        def publish(self, event: Event) -> None:
            super().publish(event)
            raise SystemExit(3)

    leaving, exiting = Leaving(), Exiting()
    bus = Bus([leaving, exiting])
    with pytest.warns(RuntimeWarning, match="Leaving raised .*CancelledError|Exiting raised SystemExit: 3"):
        bus.publish(make_events(3))
        await bus.aclose()

    assert leaving.got == exiting.got == numbers(3)


async def test_an_error_that_cannot_be_printed_is_reported_all_the_same():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

        __repr__ = __str__

    def hear(event: Event) -> None:
        raise Mute

    with pytest.warns(RuntimeWarning, match="hear raised .*Mute"):
        bus = Bus([hear])
        bus.publish(make_events(2))
        await bus.aclose()


async def test_a_failing_close_is_reported_and_the_others_are_closed():
    class Stubborn(SyncPublisher):
        def close(self) -> None:
            raise OSError("cannot")

    last = SyncPublisher()
    bus = Bus([Stubborn(), last])

    with pytest.warns(RuntimeWarning, match="Stubborn raised OSError: cannot when it was closed"):
        await bus.aclose()
    assert last.ends == 1


# -- hung ------------------------------------------------------------------------------------------


async def test_a_hung_publisher_is_waited_for_once_and_then_drops(hung: Hung):
    good = SyncPublisher()
    bus = Bus([hung, good], buffer_size=10, patience_seconds=0.1)

    assert not bus.publish(make_events(10))
    start = time.monotonic()
    with pytest.warns(RuntimeWarning, match=r"Hung has taken no event for 0\.1 s\. Runs no longer wait") as caught:
        await bus.room()
    assert 0.1 <= time.monotonic() - start < 0.2
    assert bus.publish(make_events(5, 11))
    await bus.room()
    await bus.settle()
    assert time.monotonic() - start < 0.2

    assert bus.dropped == 5
    assert good.got == numbers(15)
    hung.is_free.set()
    await bus.aclose()
    assert hung.got == numbers(10)
    assert len(caught) == 1


async def test_a_stuck_publisher_that_comes_back_gets_what_fits(hung: Hung):
    bus = Bus([hung], buffer_size=2, patience_seconds=0.05)
    bus.publish(make_events(2))
    with pytest.warns(RuntimeWarning, match="Hung has taken no event"):
        await bus.room()

    bus.publish(make_events(1, 3))
    hung.is_free.set()
    while len(hung.got) < 2:
        await asyncio.sleep(0.001)
    bus.publish(make_events(3, 4))
    await bus.aclose()

    assert hung.got == [1, 2, 4, 5]
    assert bus.dropped == 2


async def test_a_hung_publisher_does_not_hold_up_the_end(hung: Hung):
    later, good = AsyncHung(), SyncPublisher()
    bus = Bus([hung, later, good], patience_seconds=0.1)
    bus.publish(make_events(3))

    start = time.monotonic()
    with pytest.warns(RuntimeWarning) as caught:
        await bus.aclose()
    took = time.monotonic() - start
    await asyncio.sleep(0)

    assert took < 0.3
    assert sorted(str(one.message).split(".")[0] for one in caught) == [
        "AsyncHung has taken no event for 0",
        "Hung has taken no event for 0",
    ]
    assert "3 events were dropped at the end." in str(caught[0].message)
    assert later.was_cancelled
    assert bus.dropped == 6
    assert [publisher.ends for publisher in (hung, later, good)] == [1, 1, 1]
    assert good.got == numbers(3)


async def test_a_stuck_publisher_whose_close_hangs_too_does_not_hold_up_the_end(hung: Hung):
    class Worse(AsyncHung):
        async def aclose(self) -> None:
            await asyncio.Event().wait()

    bus = Bus([Worse()], patience_seconds=0.05)
    bus.publish(make_events(1))

    with pytest.warns(RuntimeWarning, match="Worse has taken no event|Worse raised TimeoutError when it was closed"):
        await asyncio.wait_for(bus.aclose(), 1)


async def test_hung_publishers_take_no_threads_from_nodes():
    several = [Hung() for _ in range(50)]  # more than the threads that anyio gives out
    bus = Bus(several, patience_seconds=0.05)
    try:
        bus.publish(make_events(1))
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "ran"), 1) == "ran"
        from anyio import to_thread

        assert await asyncio.wait_for(to_thread.run_sync(lambda: "ran"), 1) == "ran"
    finally:
        for publisher in several:
            publisher.is_free.set()
    await bus.aclose()


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
