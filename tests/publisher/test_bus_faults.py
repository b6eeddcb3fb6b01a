"""Publishers that raise or hang: they are reported once and fail no run."""

import asyncio
import logging
import time

import pytest
from anyio import to_thread

from taf.publisher import Bus, CollectingPublisher, CompositePublisher, Event
from taf.testing.publisher import make_events
from tests.publisher.observers import (
    AsyncHung,
    AsyncPublisher,
    Hung,
    SyncPublisher,
    deliver,
    is_soon_over,
    numbers,
)

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
        await deliver(bus, make_events(5), make_events(5, 6))

    assert broken.got == good.got == numbers(10)
    assert len(caught) == 1
    name = make.__qualname__
    assert str(caught[0].message).startswith(f'{name} raised ValueError: no 1 on "node_completed".')


async def test_each_publisher_is_reported_for_itself_by_its_name():
    def hear(event: Event) -> None:
        raise KeyError("gone")

    bus = Bus([Broken(), CompositePublisher([CollectingPublisher(), AsyncBroken()]), hear])
    with pytest.warns(RuntimeWarning) as caught:
        await deliver(bus, make_events(2))

    assert sorted(str(one.message).partition(" on ")[0] for one in caught) == [
        "Broken raised ValueError: no 1",
        "CompositePublisher raised ExceptionGroup: AsyncBroken raised ValueError: no 1 (1 sub-exception)",
        "test_each_publisher_is_reported_for_itself_by_its_name.<locals>.hear raised KeyError: 'gone'",
    ]


async def test_a_warning_that_is_made_an_error_goes_to_the_log(caplog: pytest.LogCaptureFixture):
    # Warnings are errors in these tests: here nothing catches this one.
    for broken in (Broken(), AsyncBroken()):
        await deliver(Bus([broken]), make_events(3))
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
        await deliver(bus, make_events(3))

    assert leaving.got == exiting.got == numbers(3)


async def test_an_error_that_cannot_be_printed_is_reported_all_the_same():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

        __repr__ = __str__

    def hear(event: Event) -> None:
        raise Mute

    with pytest.warns(RuntimeWarning, match="hear raised .*Mute"):
        await deliver(Bus([hear]), make_events(2))


async def test_a_thread_that_cannot_be_had_is_reported_and_tried_again(monkeypatch: pytest.MonkeyPatch):
    tries: list[int] = []

    async def no_thread(*args: object, **options: object) -> None:
        tries.append(1)
        raise RuntimeError("can't start new thread")

    sync = SyncPublisher()
    bus = Bus([sync], settle_seconds=0.05)
    bus.publish(make_events(3))
    with monkeypatch.context() as patch:
        patch.setattr(to_thread, "run_sync", no_thread)
        with pytest.warns(RuntimeWarning, match="SyncPublisher raised .*can't start new"):
            await bus.settle()
    assert len(tries) == 1

    await deliver(bus, make_events(1, 4))
    assert sync.got == numbers(4)


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
    bus = Bus([hung, good], buffer_size=10, patience_seconds=0.8)

    start = time.monotonic()
    assert not bus.publish(make_events(10))
    with pytest.warns(RuntimeWarning, match=r"Hung has taken no event for 0\.8 s\. Runs no longer wait") as caught:
        await bus.room()
    assert time.monotonic() - start >= 0.8
    assert bus.publish(make_events(5, 11))
    await is_soon_over(bus.room())
    await bus.settle()

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

    with pytest.warns(RuntimeWarning) as caught:
        await bus.aclose()
    await asyncio.sleep(0)

    assert not hung.got
    assert sorted(str(one.message).split(".")[0] for one in caught) == [
        "AsyncHung has taken no event for 0",
        "Hung has taken no event for 0",
    ]
    assert "Not delivered at the end: 3." in str(caught[0].message)
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
        assert await asyncio.wait_for(to_thread.run_sync(lambda: "ran"), 1) == "ran"
    finally:
        for publisher in several:
            publisher.is_free.set()
    await bus.aclose()
