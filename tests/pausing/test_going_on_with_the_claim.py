"""A store that can begin takes an answer with the claim of its thread, where the thread is as it was last seen here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taf import Approve, CompiledGraph, Reject
from taf import ExecutionStatus as Status
from taf.checkpointer.base import Commit, Grant
from taf.errors import AlreadyAnsweredError, InvalidAnswerError, UnknownThreadError
from tests.pausing.trails import asking, fan, row
from tests.places import Beginning as Store

CONFIG = {"thread_id": "t"}


@pytest.fixture
def store(beginning: Store) -> Store:
    return beginning


class Calls:
    """What is asked of a store that makes somebody a thread's owner, in the order in which it is asked."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: list[str] = []
        self.behind: asyncio.Event | None = None
        self._begin, self._acquire = store.begin, store.acquire
        monkeypatch.setattr(store, "begin", self.begin)
        monkeypatch.setattr(store, "acquire", self.acquire)

    async def begin(self, first: Commit, **options: Any) -> Grant:
        grant = await self._begin(first, **options)
        self.found.append(" ".join(["begin" if grant.has_begun else "in vain", *[r.kind for r in first.records]]))
        if self.behind is not None:
            await self.behind.wait()
        return grant

    async def acquire(self, *given: Any, **options: Any) -> Grant | None:
        self.found.append("acquire")
        return await self._acquire(*given, **options)


@pytest.fixture
def calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(store, monkeypatch)


def asks(store: Store, *questions: str, answer: Any = str, **options: Any) -> CompiledGraph:
    """A graph that asks in its second node."""
    return row("a", "b", "c", nodes={"b": asking("b", *questions, answer=answer)}).compile(store, **options)


async def trail(app: CompiledGraph) -> list[str]:
    return list((await app.aget_state(CONFIG)).state.trail)


async def test_a_breakpoint_is_approved_with_the_claim(store: Store, calls: Calls) -> None:
    app = row("a", "b", "c").compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    calls.found.clear()
    assert (await app.ainvoke(None, CONFIG)).status is Status.COMPLETED
    assert calls.found == ["begin answered resumed"]
    assert await trail(app) == ["a", "b", "c"]
    (record,) = await app.ainterrupts(CONFIG)
    assert record.status.value == "answered"


async def test_a_question_is_answered_with_the_claim(store: Store, calls: Calls) -> None:
    app = asks(store, "who?")
    await app.ainvoke({}, CONFIG)
    calls.found.clear()
    assert (await app.aresume(CONFIG, "me", by="alice")).status is Status.COMPLETED
    assert calls.found == ["begin answered resumed"]
    (record,) = await app.ainterrupts(CONFIG)
    assert (record.answer, record.answered_by) == ("me", "alice")


async def test_a_breakpoint_is_left_with_a_decision_of_its_own(store: Store, calls: Calls) -> None:
    app = row("a", "b", "c").compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    calls.found.clear()
    await app.aresume(CONFIG, Reject(goto="c"))
    assert calls.found == ["begin answered resumed"]
    assert await trail(app) == ["a", "c"]


async def test_who_has_not_seen_the_thread_claims_it_first(store: Store, calls: Calls) -> None:
    await asks(store, "who?").ainvoke({}, CONFIG)
    calls.found.clear()
    await asks(store, "who?").aresume(CONFIG, "me")
    assert calls.found == ["acquire"]


async def test_one_answer_of_two_leaves_the_other_open(store: Store, calls: Calls) -> None:
    app = fan("x", "y", nodes={"x": asking("x", "one?"), "y": asking("y", "two?")}).compile(store)
    await app.ainvoke({}, CONFIG)
    for record in sorted(await app.ainterrupts(CONFIG), key=lambda record: record.reason):
        done = await app.aresume(CONFIG, record.node, interrupt_id=record.id)
    assert done.status is Status.COMPLETED
    assert await trail(app) == ["start", "x:x", "y:y", "end"]
    assert [record.status.value for record in await app.ainterrupts(CONFIG)] == ["answered", "answered"]


async def test_a_wrong_answer_changes_nothing(store: Store, calls: Calls) -> None:
    app = asks(store, "how many?", answer=int)
    await app.ainvoke({}, CONFIG)
    with pytest.raises(InvalidAnswerError):
        await app.aresume(CONFIG, "many")
    assert (await app.aget_state(CONFIG)).status is Status.INTERRUPTED_BEFORE
    calls.found.clear()
    assert (await app.aresume(CONFIG, 3)).status is Status.COMPLETED
    assert calls.found == ["begin answered resumed"]


async def test_what_was_answered_elsewhere_meanwhile_is_not_answered_again(store: Store, calls: Calls) -> None:
    app, other = asks(store, "who?"), asks(store, "who?")
    await app.ainvoke({}, CONFIG)
    (record,) = await app.ainterrupts(CONFIG)
    await other.aresume(CONFIG, "somebody")
    calls.found.clear()
    with pytest.raises(AlreadyAnsweredError):
        await app.aresume(CONFIG, "me", interrupt_id=record.id)
    assert calls.found == ["in vain answered resumed"]
    assert (await app.ainterrupts(CONFIG))[0].answer == "somebody"
    await app.ainvoke({}, CONFIG)  # nobody was left holding it
    assert await trail(app) == ["a", "b:somebody", "c", "a"]


async def test_what_was_deleted_meanwhile_stays_so(store: Store, calls: Calls) -> None:
    app = asks(store, "who?")
    await app.ainvoke({}, CONFIG)
    assert await asks(store, "who?").adelete_thread(CONFIG)
    with pytest.raises(UnknownThreadError):
        await app.aresume(CONFIG, "me")
    assert list(await store.threads()) == []
    assert (await app.ainvoke({}, CONFIG)).status is Status.INTERRUPTED_BEFORE


async def test_nobody_decides_on_a_presumption(store: Store, calls: Calls) -> None:
    asked: list[Any] = []

    def decide(given: Any, record: Any) -> Approve:
        asked.append(given)
        return Approve()

    app = row("a", "b", "c").compile(store, interrupt_before=["b"], decide=decide)
    await app.ainvoke({}, CONFIG)
    calls.found.clear()
    await app.ainvoke({"note": "yes"}, CONFIG)
    assert (calls.found, asked) == (["acquire"], [{"note": "yes"}])
    await app.ainvoke({}, CONFIG)
    calls.found.clear()
    await app.aresume(CONFIG)  # who says so is not decided for
    assert calls.found == ["begin answered resumed"]


async def test_a_stop_that_comes_meanwhile_finds_the_answer_taken(store: Store, calls: Calls) -> None:
    app = asks(store, "who?")
    await app.ainvoke({}, CONFIG)
    calls.behind = asyncio.Event()
    answering = asyncio.create_task(app.aresume(CONFIG, "me"))
    while "begin answered resumed" not in calls.found:
        await asyncio.sleep(0.001)
    stopping = asyncio.create_task(app.astop(CONFIG))
    await asyncio.sleep(0.01)
    calls.behind.set()
    assert (await answering).status is Status.STOPPED
    assert (await stopping)["was_running"]
    assert (await app.ainterrupts(CONFIG))[0].answer == "me"
    assert await trail(app) == ["a"]
    calls.behind = None
    assert (await app.ainvoke(None, CONFIG)).status is Status.COMPLETED
    assert await trail(app) == ["a", "b:me", "c"]
