"""Many loops and threads: the claim moves, and nothing is lost, doubled or out of order by it."""

import asyncio
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from taf.publisher import BasePublisher, Bus, CollectingPublisher, CompositePublisher, Event
from taf.testing.publisher import make_event, make_events
from tests.publisher.observers import HOUR


def slow_sync(got: list[int], seconds: float) -> Callable[[Event], None]:
    def publish(event: Event) -> None:
        time.sleep(seconds)
        got.append(event.sequence)

    return publish


def slow_async(got: list[int], seconds: float) -> Callable[[Event], object]:
    async def publish(event: Event) -> None:
        await asyncio.sleep(seconds)
        got.append(event.sequence)

    return publish


MAKERS = [slow_sync, slow_async]


@pytest.mark.parametrize("make", MAKERS)
def test_what_a_dead_loop_left_behind_is_delivered_from_another(make: Callable[..., Callable[[Event], object]]):
    got: list[int] = []
    bus = Bus([make(got, 0.01)])

    async def first() -> None:
        bus.publish(make_events(10))
        await asyncio.sleep(0.035)

    asyncio.run(first())
    assert len(got) < 10
    asyncio.run(bus.aclose())

    assert got == list(range(1, 11))


def test_a_loop_that_ends_right_after_publishing_leaves_everything():
    sync, collecting = list[int](), CollectingPublisher()
    bus = Bus([slow_sync(sync, 0), collecting, CompositePublisher([slow_async([], 0)])])

    async def first() -> None:
        bus.publish(make_events(3))

    for _ in range(20):
        asyncio.run(first())
    asyncio.run(bus.aclose())

    assert sync == [event.sequence for event in collecting.events] == [1, 2, 3] * 20


def test_a_composite_cut_off_between_thread_and_loop_loses_nothing_and_says_nothing():
    got: list[int] = []
    bus = Bus([CompositePublisher([lambda event: time.sleep(0.02), slow_async(got, 0)])])

    async def first() -> None:
        bus.publish(make_events(3))
        await asyncio.sleep(0.01)  # the thread is at it, and will come back to a loop that is gone

    asyncio.run(first())
    asyncio.run(bus.aclose())

    assert got == [1, 2, 3]


def test_settle_goes_on_where_another_loop_ended():
    got: list[int] = []
    bus = Bus([slow_sync(got, 0.02)], settle_seconds=5)

    async def first() -> None:
        bus.publish(make_events(3))
        await asyncio.sleep(0.01)

    asyncio.run(first())
    asyncio.run(bus.settle())

    assert got == [1, 2, 3]


def test_publishing_goes_on_where_another_loop_ended():
    got: list[int] = []
    bus = Bus([slow_async(got, 0.005)])

    async def first() -> None:
        bus.publish(make_events(3))
        await asyncio.sleep(0)

    async def second() -> None:
        bus.publish(make_events(3, 4))
        while len(got) < 6:
            await asyncio.sleep(0.001)

    asyncio.run(first())
    asyncio.run(asyncio.wait_for(second(), 2))

    assert got == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("make", MAKERS)
def test_a_loop_that_only_stands_still_loses_its_claim(make: Callable[..., Callable[[Event], object]]):
    got: list[int] = []
    bus = Bus([make(got, 0.2)])
    loop = asyncio.new_event_loop()

    async def publish() -> None:
        bus.publish(make_events(3))
        await asyncio.sleep(0.01)

    loop.run_until_complete(publish())
    asyncio.run(bus.settle())
    asyncio.run(bus.aclose())
    loop.run_until_complete(asyncio.sleep(0.05))  # what it was at ends, and changes nothing
    loop.close()

    assert got == [1, 2, 3]
    assert bus.dropped == 0


def test_a_loop_that_was_closed_before_its_pump_began_says_nothing():
    got: list[int] = []
    bus = Bus([slow_async(got, 0), slow_sync(got, 0)])
    loop = asyncio.new_event_loop()

    def publish() -> None:
        bus.publish(make_events(1))
        loop.stop()

    loop.call_soon(publish)
    loop.run_forever()
    loop.close()
    asyncio.run(bus.aclose())

    assert got == [1, 1]


async def test_a_pump_that_somebody_cancelled_is_replaced():
    sync, later = list[int](), list[int]()
    bus = Bus([slow_sync(sync, 0.005), slow_async(later, 0.005)])
    bus.publish(make_events(20))

    for _ in range(5):
        await asyncio.sleep(0.007)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await bus.settle()
    await bus.aclose()

    assert sync == later == list(range(1, 21))


def test_events_published_where_no_loop_runs_wait_for_the_next_loop():
    got: list[int] = []
    bus = Bus([got.append])

    assert bus.publish(make_events(3))
    assert got == []
    asyncio.run(bus.settle())

    assert len(got) == 3


async def test_the_end_does_not_wait_for_a_loop_that_waits_for_the_end():
    sync, later = list[int](), list[int]()
    bus = Bus([slow_sync(sync, 0), slow_async(later, 0)], patience_seconds=HOUR)

    bus.publish(make_events(3))
    other = threading.Thread(target=lambda: asyncio.run(bus.aclose()), daemon=True)
    other.start()
    other.join(30)  # blocks this loop, which had the claim

    assert not other.is_alive()
    assert sync == later == [1, 2, 3]


class Witness(BasePublisher):
    """Notes what each producer's events came as, and whether two were ever told at once."""

    def __init__(self) -> None:
        self.got: defaultdict[str, list[int]] = defaultdict(list)
        self.inside = 0
        self.most = 0

    def enter(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)

    def leave(self, event: Event) -> None:
        self.got[event.thread_id].append(event.sequence)
        self.inside -= 1


class SyncWitness(Witness):
    def publish(self, event: Event) -> None:
        self.enter()
        if event.sequence % 50 == 0:
            time.sleep(0.0005)
        self.leave(event)


class AsyncWitness(Witness):
    async def publish(self, event: Event) -> None:
        self.enter()
        try:
            if event.sequence % 50 == 0:
                await asyncio.sleep(0.0005)
        except asyncio.CancelledError:
            self.inside -= 1
            raise
        self.leave(event)


class QuickWitness(SyncWitness):
    may_block = False


async def produce(bus: Bus, name: str, dice: random.Random, sequences: range) -> None:
    for sequence in sequences:
        if not bus.publish([make_event(sequence, thread_id=name)]):
            await bus.room()
        if dice.random() < 0.1:
            await asyncio.sleep(0)
        if dice.random() < 0.02:
            await bus.settle()


def produce_on_many_loops(bus: Bus, name: str) -> None:
    dice = random.Random(name)
    for first in range(0, 400, 40):  # what one loop leaves goes to another
        asyncio.run(produce(bus, name, dice, range(first, first + 40)))


def test_many_threads_and_loops_lose_double_and_mix_nothing():
    witnesses = [SyncWitness(), AsyncWitness(), QuickWitness()]
    children = [SyncWitness(), AsyncWitness()]
    bus = Bus([*witnesses, CompositePublisher(children)], buffer_size=64)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: produce_on_many_loops(bus, f"thread {number}"), range(8)))
    asyncio.run(bus.aclose())

    assert bus.dropped == 0
    for witness in witnesses:
        assert len(witness.got) == 8
        assert all(got == list(range(400)) for got in witness.got.values())
        assert witness.most == 1
    # A composite that is cut off between its children begins the event again, so its sync ones may see it twice.
    for child in children:
        assert all(sorted(set(got)) == sorted(set(got), key=got.index) for got in child.got.values())
        assert all(set(got) == set(range(400)) for got in child.got.values())


async def test_many_runs_on_one_loop_share_the_buffer_fairly():
    got: list[int] = []
    bus = Bus([slow_sync(got, 0.0002)], buffer_size=8)

    async def run(first: int) -> None:
        for sequence in range(first, first + 20):
            if not bus.publish([make_event(sequence)]):
                await bus.room()

    await asyncio.gather(*(run(first) for first in range(0, 1000, 20)))
    await bus.aclose()

    assert sorted(got) == list(range(1000))
    for first in range(0, 1000, 20):
        assert [one for one in got if first <= one < first + 20] == list(range(first, first + 20))
