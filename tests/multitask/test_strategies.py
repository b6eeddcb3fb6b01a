"""What a message does to a thread that is busy, for each strategy, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from taf import (
    ConfigError,
    ExecutionStatus,
    InvalidInputError,
    NothingToResumeError,
    QueueWithdrawnError,
    StoreUnavailableError,
    ThreadBusyError,
)
from taf.checkpointer import BaseCheckpointer
from taf.checkpointer.base import ThreadKey
from taf.graph.recovery import Recovered
from tests.multitask.talk import HANG, Slow, said, texts, until
from tests.pg.stores import place, shared_database  # noqa: F401  # Postgres, too
from tests.styles import run

CONFIG = {"thread_id": "t"}
QUEUING = ("enqueue", "interrupt", "rollback", "steer")


def named(name: str) -> dict[str, Any]:
    """Return a config for a run of that id."""
    return {**CONFIG, "run_id": name}


async def test_reject_is_the_default_and_changes_nothing(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store) as app:
        running = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        with pytest.raises(ThreadBusyError):
            await app.ainvoke(said("two"), CONFIG)
        slow.gate.set()
        assert texts(await running) == ["one", "answer to one"]
        assert await app.aqueue(CONFIG) == ()


@pytest.mark.parametrize("strategy", QUEUING)
async def test_on_a_free_thread_every_strategy_just_runs(store: BaseCheckpointer, strategy: Any, style: str) -> None:
    slow = Slow()
    slow.gate.set()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy=strategy) as app:
        for text in ("one", "two"):
            result = await run(app, style, said(text), CONFIG)
        assert (result.status, texts(result)) == ("completed", ["one", "answer to one", "two", "answer to two"])


async def test_enqueued_messages_run_one_after_the_other_and_each_call_gets_its_own_result(
    store: BaseCheckpointer,
) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="enqueue") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        receipts = [await app.asubmit(said(text), named(f"r-{text}")) for text in ("two", "three")]
        last = asyncio.create_task(app.ainvoke(said("four"), named("r4")))
        while len(await app.aqueue(CONFIG)) < 3:
            await asyncio.sleep(0.001)

        assert [(r.run_id, r.outcome, r.position) for r in receipts] == [
            ("r-two", "queued", 0),
            ("r-three", "queued", 1),
        ]
        queue = await app.aqueue(CONFIG)
        assert [(one.run_id, one.position, one.strategy) for one in queue] == [
            ("r-two", 0, "enqueue"),
            ("r-three", 1, "enqueue"),
            ("r4", 2, "enqueue"),
        ]
        assert [one.input["context"][0].text() for one in queue] == ["two", "three", "four"]

        slow.gate.set()
        expected: list[str] = []
        for text, result in (
            ("one", await first),
            ("two", await app.ajoin(CONFIG, "r-two")),
            ("three", await app.ajoin(CONFIG, "r-three")),
            ("four", await last),
        ):
            expected += [text, f"answer to {text}"]
            assert (result.status, texts(result)) == ("completed", expected)
        assert (slow.began, slow.most_active) == (["one", "two", "three", "four"], 1)


async def test_an_interrupt_ends_the_old_run_and_hands_over_what_it_had(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="interrupt") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        second = asyncio.create_task(app.ainvoke(said("two"), named("r2")))
        old = await first
        await until(lambda: len(slow.began) == 2)
        slow.gate.set()
        new = await second

        assert (old.status, old.run_id, old.superseded_by) == (ExecutionStatus.STOPPED, "r1", "r2")
        assert [partial.value for partial in old.partials] == ["half of one"]
        assert (new.status, texts(new)) == ("completed", ["one", "two", "answer to two"])
        left, shown = slow.previous[1]
        assert (left.run_id, left.superseded_by, left.node, left.completed) == ("r1", "r2", None, ())
        assert left.input["context"][0].text() == "one"
        assert shown == {"think": {"draft": "half of one"}}
        assert [one.run_id for one in (await app.aget_state(CONFIG)).superseded] == ["r1"]
        assert (await app.ajoin(CONFIG, "r1")).superseded_by == "r2"
        assert slow.most_active == 1


async def test_a_rollback_leaves_the_state_as_it_was_before_the_old_run(store: BaseCheckpointer) -> None:
    slow = Slow()
    slow.gate.set()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="rollback") as app:
        await app.ainvoke(said("zero"), named("r0"))
        slow.gate.clear()
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: len(slow.began) == 2)
        second = asyncio.create_task(app.ainvoke(said("two"), named("r2")))
        assert (await first).superseded_by == "r2"
        slow.gate.set()

        assert texts(await second) == ["zero", "answer to zero", "two", "answer to two"]
        assert slow.previous[2][0].input["context"][0].text() == "one"
        kinds = [event.event_type async for event in app.aevents(CONFIG, after=4)]
        assert kinds[:5] == ["started", "stopped", "handed_over", "rolled_back", "started"]


async def test_a_rollback_of_the_first_run_leaves_nothing_of_it(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="rollback") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), CONFIG))
        await until(lambda: slow.began)
        second = asyncio.create_task(app.ainvoke(said("two"), CONFIG))
        await first
        slow.gate.set()
        assert texts(await second) == ["two", "answer to two"]


async def test_a_steering_message_comes_in_at_the_next_step(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="steer") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        receipt = await app.asubmit(said("two"), named("r2"))
        third = asyncio.create_task(app.ainvoke(said("three"), named("r3")))
        while len(await app.aqueue(CONFIG)) < 2:
            await asyncio.sleep(0.001)
        slow.gate.set()

        expected = ["one", "answer to one", "two", "three"]
        assert (receipt.outcome, receipt.position) == ("steering", 0)
        for result in (await first, await third, await app.ajoin(CONFIG, "r2")):
            assert (result.run_id, result.status, texts(result)) == ("r1", "completed", expected)
        assert slow.began == ["one"]


async def test_a_steering_message_that_came_too_late_begins_a_run(store: BaseCheckpointer) -> None:
    slow = Slow()
    last = asyncio.Event()
    began = asyncio.Event()

    async def linger(state: Any) -> None:
        began.set()
        await last.wait()

    slow.close = linger
    slow.gate.set()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="steer") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await began.wait()
        second = asyncio.create_task(app.ainvoke(said("two"), named("r2")))
        while not await app.aqueue(CONFIG):
            await asyncio.sleep(0.001)
        last.set()

        assert texts(await first) == ["one", "answer to one"]
        result = await second
        assert (result.run_id, texts(result)) == ("r2", ["one", "answer to one", "two", "answer to two"])
        kinds = [event.event_type async for event in app.aevents(CONFIG, run_id="r2")]
        assert "steered" not in kinds, "the message that a run began with does not come in once more"


async def test_a_steering_message_that_waits_behind_a_stop_comes_in_when_the_run_goes_on(
    store: BaseCheckpointer,
) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="steer") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        await app.asubmit(said("two"), named("r2"))
        await app.astop(CONFIG)
        await first
        slow.gate.set()
        result = await app.ainvoke(None, CONFIG)
        assert (result.status, texts(result)) == ("completed", ["one", "two", "answer to two"])
        assert slow.began == ["one", "two"]
        assert await app.aqueue(CONFIG) == ()


@pytest.mark.parametrize("strategy", QUEUING)
async def test_the_owner_may_be_another_app_on_the_same_store(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer], strategy: Any
) -> None:
    slow = Slow()
    there = slow.app(reopen(), multitask_strategy=strategy)
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy=strategy) as here, there:
        first = asyncio.create_task(here.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        second = asyncio.create_task(there.ainvoke(said("two"), named("r2")))
        while strategy in ("enqueue", "steer") and not await here.aqueue(CONFIG):
            await asyncio.sleep(0.001)
        if strategy in ("interrupt", "rollback"):
            assert (await first).superseded_by == "r2"
        slow.gate.set()
        old, new = await first, await second

        expected = {
            "enqueue": ["one", "answer to one", "two", "answer to two"],
            "interrupt": ["one", "two", "answer to two"],
            "rollback": ["two", "answer to two"],
            "steer": ["one", "answer to one", "two"],
        }
        assert (new.run_id, new.status) == ("r1" if strategy == "steer" else "r2", "completed")
        assert texts(new) == expected[strategy]
        assert old.run_id == "r1"
        assert slow.most_active == 1


@pytest.mark.parametrize("strategy", QUEUING)
async def test_of_many_messages_at_once_one_runs_at_a_time_and_none_is_lost(
    store: BaseCheckpointer, strategy: Any
) -> None:
    slow = Slow()
    slow.gate.set()
    names = [f"m{number}" for number in range(12)]
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy=strategy) as app:
        results = await asyncio.gather(*(app.ainvoke(said(name), named(name)) for name in names))

        assert slow.most_active == 1
        assert not await app.aqueue(CONFIG)
        state = await app.aget_state(CONFIG)
        heard = [message.text() for message in state.state.messages if message.role == "user"]
        if strategy == "rollback":
            assert set(heard) <= set(names)
        else:
            assert sorted(heard) == sorted(names)
        for name, result in zip(names, results, strict=True):
            superseded = result.superseded_by is not None
            assert result.status == ("stopped" if superseded else "completed")
            if strategy != "steer":
                assert result.run_id == name
            if strategy == "enqueue":
                assert texts(result)[-1] == f"answer to {name}"


async def test_a_message_that_waits_can_be_changed_and_taken_back(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="enqueue") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        await app.asubmit(said("two"), named("r2"))
        waiting = asyncio.create_task(app.ainvoke(said("three"), named("r3")))
        await app.asubmit(said("four"), named("r4"))
        while len(await app.aqueue(CONFIG)) < 3:
            await asyncio.sleep(0.001)

        assert await app.aedit_queued(CONFIG, "r2", said("two, but better"))
        assert [one.run_id for one in await app.aclear_queue(CONFIG, "r3")] == ["r3"]
        assert not await app.aedit_queued(CONFIG, "r3", said("late"))
        with pytest.raises(InvalidInputError):
            await app.aedit_queued(CONFIG, "r2", {"unknown": 1})
        with pytest.raises(QueueWithdrawnError):
            await waiting
        slow.gate.set()
        await first
        assert texts(await app.ajoin(CONFIG, "r4"))[2:] == [
            "two, but better",
            "answer to two, but better",
            "four",
            "answer to four",
        ]
        assert await app.aclear_queue(CONFIG) == ()


async def test_a_caller_that_is_cancelled_takes_its_message_along(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="enqueue") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        waiting = asyncio.create_task(app.ainvoke(said("two"), named("r2")))
        while not await app.aqueue(CONFIG):
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await app.aqueue(CONFIG) == ()
        slow.gate.set()
        await first


class Held:
    """Keeps whoever takes a thread of a store, in this event loop, waiting for the answer."""

    def __init__(self, store: BaseCheckpointer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.gate, self._loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()
        for name in ("acquire", "begin"):
            if hasattr(store, name):
                monkeypatch.setattr(store, name, self._held(getattr(store, name)))

    def _held(self, take: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def taken(*args: Any, **options: Any) -> Any:
            is_held = asyncio.get_running_loop() is self._loop
            if is_held:
                self.asked.set()
            try:
                return await take(*args, **options)
            finally:
                if is_held:
                    await self.gate.wait()

        return taken


@pytest.mark.parametrize("strategy", ["reject", *QUEUING])
async def test_a_caller_that_is_cancelled_while_it_takes_the_thread_runs_nothing(
    store: BaseCheckpointer, strategy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, held = Slow(), Held(store, monkeypatch)
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy=strategy) as app:
        caller = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await held.asked.wait()
        caller.cancel()
        await asyncio.sleep(0.01)
        held.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await caller

        assert slow.began == []
        assert (await app.aget_state(CONFIG)).status == "stopped"
        slow.gate.set()
        assert texts(await app.ainvoke(said("two"), named("r2")))[-1] == "answer to two"


@pytest.mark.parametrize("is_in_a_thread", [False, True])
@pytest.mark.parametrize("strategy", ["reject", *QUEUING])
async def test_a_stop_while_a_message_takes_the_thread_is_not_lost(
    store: BaseCheckpointer, strategy: Any, is_in_a_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, held = Slow(), Held(store, monkeypatch)
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy=strategy) as app:
        caller = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await held.asked.wait()
        stop = asyncio.to_thread(app.stop, CONFIG) if is_in_a_thread else app.astop(CONFIG)
        stopping = asyncio.create_task(stop)
        await asyncio.sleep(0.05)
        held.gate.set()

        assert (await caller).status == "stopped"
        assert slow.began == []
        answer = await stopping
        assert answer["ok"], answer


@pytest.mark.parametrize("strategy", ["enqueue", "steer"])
async def test_a_stop_leaves_a_message_that_comes_to_wait_just_then(
    store: BaseCheckpointer, strategy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy=strategy) as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        held = Held(store, monkeypatch)
        second = asyncio.create_task(app.ainvoke(said("two"), named("r2")))
        await held.asked.wait()
        await app.astop(CONFIG)
        assert (await first).status == "stopped"
        held.gate.set()
        slow.gate.set()

        assert texts(await second)[-1] == "answer to two"


async def test_a_stop_keeps_the_queue_and_the_next_call_sets_it_going(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="enqueue") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        await app.asubmit(said("two"), named("r2"))
        answer = await app.astop(CONFIG)
        assert (answer["ok"], answer["status"], answer["queued"]) == (True, "stopped", 1)
        assert (await first).status == "stopped"
        await asyncio.sleep(0.6)
        assert (slow.began, len(await app.aqueue(CONFIG))) == (["one"], 1)
        with pytest.raises(ThreadBusyError, match="1 message that waits"):
            await app.ainvoke(said("rude"), CONFIG, multitask_strategy="reject")

        slow.gate.set()
        result = await app.ainvoke(said("three"), named("r3"))
        assert texts(result) == ["one", "two", "answer to two", "three", "answer to three"]


async def test_the_queue_waits_while_the_thread_waits_for_a_human(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with (
        asyncio.timeout(HANG),
        slow.app(store, multitask_strategy="enqueue", interrupt_before=["close"]) as app,
    ):
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        await app.asubmit(said("two"), named("r2"))
        slow.gate.set()
        assert (await first).interrupted
        await asyncio.sleep(0.6)
        assert (slow.began, len(await app.aqueue(CONFIG))) == (["one"], 1)

        await app.aresume(CONFIG, True)
        result = await app.ajoin(CONFIG, "r2")
        assert (result.interrupted, texts(result)) == (True, ["one", "answer to one", "two", "answer to two"])


async def close_over_a_message(slow: Slow, store: BaseCheckpointer) -> None:
    """Close an app whose run is under way, with a message behind it."""
    async with slow.app(store, multitask_strategy="enqueue") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        await app.asubmit(said("two"), named("r2"))
    assert (await first).status == "stopped"


async def test_closing_the_app_leaves_submitted_messages_in_the_store(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG):
        await close_over_a_message(slow, store)

        slow.gate.set()
        async with slow.app(reopen(), multitask_strategy="enqueue") as app:
            assert [one.run_id for one in await app.aqueue(CONFIG)] == ["r2"]
            result = await app.ainvoke(said("three"), named("r3"))
            assert texts(result) == ["one", "two", "answer to two", "three", "answer to three"]


async def test_a_caller_that_is_cancelled_behind_the_message_of_another_does_not_wait_for_its_run(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG):
        await close_over_a_message(slow, store)

        async with slow.app(reopen(), multitask_strategy="enqueue") as app:
            third = asyncio.create_task(app.ainvoke(said("three"), named("r3")))
            await until(lambda: slow.began[-1] == "two")
            third.cancel()
            with pytest.raises(asyncio.CancelledError):
                await third
            assert await app.aqueue(CONFIG) == ()
            slow.gate.set()
            assert texts(await app.ajoin(CONFIG, "r2")) == ["one", "two", "answer to two"]


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ConfigError, match="multitask_strategy has to be one of"):
        Slow().app(multitask_strategy="first")


async def test_input_that_cannot_be_read_is_refused_before_it_waits(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="enqueue") as app:
        first = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        with pytest.raises(InvalidInputError):
            await app.asubmit({"unknown": 1}, CONFIG)
        assert await app.aqueue(CONFIG) == ()
        slow.gate.set()
        await first


async def leave_behind(slow: Slow, store: BaseCheckpointer, *texts_waiting: str | None, dies: bool = False) -> None:
    """Let messages wait behind a run, and lose whoever would have run them; the run, too, if it ``dies``."""
    owner, sender = slow.app(store), slow.app(store, multitask_strategy="enqueue")
    await owner.asubmit(said("one"), named("r1"))
    await until(lambda: slow.began)
    for text in texts_waiting:
        await sender.asubmit(None if text is None else said(text), named(f"r-{text}"))
    await sender.aclose()
    if dies:  # as a process dies that is killed
        ledger = owner._flights._having["t"].engine._ledger
        assert ledger is not None
        ledger.abandon()
        owner._flights._having.pop("t")
        await store.delete(ThreadKey("", "nobody"))  # behind what frees the thread
    else:
        slow.gate.set()
        await owner.ajoin(CONFIG, "r1")
    assert len(await owner.aqueue(CONFIG)) == len(texts_waiting)


@pytest.mark.parametrize("dies", [False, True])
async def test_messages_that_nobody_takes_up_are_recovered(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer], *, dies: bool
) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG):
        await leave_behind(slow, store, "two", "three", dies=dies)
        slow.gate.set()
        async with slow.app(reopen()) as app:
            done = await app.arecover()
            answered = [text for said in ("one", "two", "three") for text in (said, f"answer to {said}")]
            assert (done.results["t"].run_id, texts(done.results["t"])) == ("r-three", answered)
            assert (done.failed, done.passed_on) == ({}, [])
            assert texts(await app.ajoin(CONFIG, "r-two")) == answered[:4]
            assert await app.arecover() == Recovered()


async def test_a_message_that_has_nothing_to_say_holds_up_no_other(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG):
        await leave_behind(slow, store, None, "two")
        async with slow.app(store) as app:
            done = await app.arecover()
            assert isinstance(done.failed["t"], NothingToResumeError)
            assert (done.results["t"].run_id, done.passed_on) == ("r-two", [])
            assert await app.arecover() == Recovered()


async def test_a_recovery_whose_store_fails_gives_up(store: BaseCheckpointer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> Any:
        raise StoreUnavailableError("read the mail", "it is gone")

    slow = Slow()
    async with asyncio.timeout(HANG):
        await leave_behind(slow, store, "two")
        async with slow.app(store) as app:
            with monkeypatch.context() as failing:
                failing.setattr(store, "mail", fail)
                assert isinstance((await app.arecover()).failed["t"], StoreUnavailableError)
            assert (await app.arecover()).results["t"].run_id == "r-two"


async def test_messages_that_wait_for_a_human_or_behind_a_stop_are_left_by_a_recovery(store: BaseCheckpointer) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG), slow.app(store, multitask_strategy="enqueue") as app:
        running = asyncio.create_task(app.ainvoke(said("one"), named("r1")))
        await until(lambda: slow.began)
        await app.asubmit(said("two"), named("r2"))
        await app.astop(CONFIG)
        await running
        assert await slow.app(store).arecover() == Recovered()
        assert [one.run_id for one in await app.aqueue(CONFIG)] == ["r2"]


async def test_two_who_recover_at_once_run_each_message_once(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    slow = Slow()
    async with asyncio.timeout(HANG):
        await leave_behind(slow, store, "two", "three")
        async with slow.app(reopen()) as here, slow.app(reopen()) as there:
            await asyncio.gather(here.arecover(), there.arecover())
            while await here.aqueue(CONFIG):
                await here.arecover()
            assert slow.began == ["one", "two", "three"]
