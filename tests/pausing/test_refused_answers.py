"""An answer that is wrong, late, second or unknown says which, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, field_validator

from taf import Approve, Edit, Reject, Respond, interrupt
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import (
    AlreadyAnsweredError,
    AnswerError,
    ConfigError,
    InvalidAnswerError,
    NothingToResumeError,
    UnknownInterruptError,
    UnknownThreadError,
)
from taf.graph import StateSnapshot
from tests.pausing.trails import Trail, asking, fan, row

CONFIG = {"thread_id": "t"}


async def refused(app: Any, kind: type[Exception], answer: Any, **options: Any) -> Any:
    """Give an answer that is refused, and see that nothing has changed. Return the error."""
    before: StateSnapshot = await app.aget_state(CONFIG)
    history = await app.ainterrupts(CONFIG)
    with pytest.raises(kind) as caught:
        await app.aresume(CONFIG, answer, **options)
    after: StateSnapshot = await app.aget_state(CONFIG)
    assert after == before
    assert await app.ainterrupts(CONFIG) == history
    return caught.value


async def test_a_second_answer_by_id_is_refused_and_says_who_answered_when(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], clock=lambda: 1_000_000.0)
    (record,) = (await app.ainvoke({}, CONFIG)).interrupts
    await app.aresume(CONFIG, Approve(), by="alice", interrupt_id=record.id)
    error = await refused(app, AlreadyAnsweredError, Reject("no"), by="bob", interrupt_id=record.id)
    assert (error.by, error.at, error.status) == ("alice", datetime.fromtimestamp(1_000_000, UTC), "answered")
    assert "already answered by alice at 1970-01-12" in str(error)


async def test_a_second_answer_to_a_rejected_interrupt_is_refused(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    (record,) = (await app.ainvoke({}, CONFIG)).interrupts
    await app.aresume(CONFIG, Reject("no"), by="alice")
    error = await refused(app, AlreadyAnsweredError, Approve(), interrupt_id=record.id)
    assert (error.by, error.status) == ("alice", "rejected")


async def test_a_second_delivery_does_not_answer_the_next_question(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "one?", "two?")}).compile(store)
    (record,) = (await app.ainvoke({}, CONFIG)).interrupts
    assert (await app.aresume(CONFIG, "yes", interrupt_id=record.id)).interrupt_reason == "two?"
    await refused(app, AlreadyAnsweredError, "yes", interrupt_id=record.id)


async def test_an_answer_without_an_id_to_a_thread_that_is_done_is_refused(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG, by="alice")
    assert (await refused(app, AlreadyAnsweredError, Approve())).by == "alice"


async def test_an_answer_to_a_thread_that_never_asked_is_refused(store: BaseCheckpointer) -> None:
    app = row("a").compile(store)
    await app.ainvoke({}, CONFIG)
    assert type(await refused(app, NothingToResumeError, Approve())) is NothingToResumeError


@pytest.mark.parametrize("is_paused", [True, False])
async def test_an_unknown_id_is_refused(is_paused: bool, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"] if is_paused else [])
    await app.ainvoke({}, CONFIG)
    error = await refused(app, UnknownInterruptError, Approve(), interrupt_id="nobody")
    assert '"nobody"' in str(error)


async def test_an_id_of_another_thread_is_unknown(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    (other,) = (await app.ainvoke({}, {"thread_id": "other"})).interrupts
    await refused(app, UnknownInterruptError, Approve(), interrupt_id=other.id)


async def test_an_answer_to_an_unknown_thread_makes_none(store: BaseCheckpointer) -> None:
    app = row("a").compile(store)
    with pytest.raises(UnknownThreadError, match='"nowhere"'):
        await app.aresume({"thread_id": "nowhere"}, Approve())
    assert await app.athreads() == []


async def test_an_answer_to_a_withdrawn_interrupt_is_refused(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    (record,) = (await app.ainvoke({}, CONFIG)).interrupts
    await app.astop(CONFIG)
    error = await refused(app, AlreadyAnsweredError, Approve(), interrupt_id=record.id)
    assert error.status == "withdrawn"


WRONG = ["yes", 1, None, {"ok": True}, Respond("yes"), Edit({"unknown": 1}), Edit({"note": 5}), Edit("x")]


@pytest.mark.parametrize("answer", [*WRONG, Reject("no", goto="nowhere"), Reject(5), Approve], ids=repr)
async def test_a_wrong_answer_at_a_breakpoint_is_refused(answer: Any, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    await refused(app, InvalidAnswerError, answer)
    assert (await app.aresume(CONFIG)).status is Status.COMPLETED


@pytest.mark.parametrize("answer", [Edit({"note": "x"}), Reject("no", goto="nowhere"), "five", Respond(1.5)], ids=repr)
async def test_a_wrong_answer_to_a_question_is_refused(answer: Any, store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "how many?", answer=int)}).compile(store)
    await app.ainvoke({}, CONFIG)
    await refused(app, InvalidAnswerError, answer)
    assert (await app.aresume(CONFIG, 5)).state.trail == ["ask:5"]


async def test_who_answers_has_to_be_a_text(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    await refused(app, ConfigError, Approve(), by=5)


class Small(BaseModel):
    amount: int

    @field_validator("amount")
    @classmethod
    def is_small(cls, amount: int) -> int:
        if amount > 10:
            raise ValueError("at most 10")
        return amount


def careful(value: str) -> str:
    if value != "yes":
        raise ValueError("say yes")
    return value


async def test_a_process_that_never_saw_the_questions_type_refuses_by_its_schema(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    await row("ask", nodes={"ask": asking("ask", "how many?", answer=Small)}).compile(store).ainvoke({}, CONFIG)
    runs: list[str] = []

    async def never_run(state: Trail) -> None:
        runs.append("ran")

    other = row("ask", nodes={"ask": never_run}).compile(reopen())
    error = await refused(other, InvalidAnswerError, {"amount": "many"})
    assert ("amount" in str(error), runs) == (True, [])


@pytest.mark.parametrize("is_other_app", [True, False])
@pytest.mark.parametrize(
    ("declared", "wrong", "why", "right"),
    [
        (Small, {"amount": 11}, "at most 10", {"amount": 9}),
        (Annotated[str, AfterValidator(careful)], "no", "say yes", "yes"),
    ],
    ids=["model", "annotated"],
)
async def test_an_answer_that_only_the_types_own_code_refuses_leaves_the_question_open(
    declared: Any,
    wrong: Any,
    why: str,
    right: Any,
    is_other_app: bool,
    store: BaseCheckpointer,
    reopen: Callable[[], BaseCheckpointer],
) -> None:
    graph = row("a", "ask", "b", nodes={"ask": asking("ask", "how many?", answer=declared)})
    app = graph.compile(store)
    before = await app.ainvoke({}, CONFIG)
    if is_other_app:
        app = graph.compile(reopen())
    with pytest.raises(InvalidAnswerError, match=why) as caught:
        await app.aresume(CONFIG, wrong, by="alice")
    after = await app.aget_state(CONFIG)
    (record,) = after.interrupts
    assert (after.status, after.state.trail, after.next) == (before.status, before.state.trail, ("ask",))
    assert (record.id, record.status, record.answer, record.answered_by) == (
        before.interrupts[0].id,
        "open",
        None,
        None,
    )
    assert caught.value.interrupt_id == record.id
    assert await app.ainterrupts(CONFIG) == [record]
    done = await app.aresume(CONFIG, right, by="bob", interrupt_id=record.id)
    assert (done.status, done.state.trail[-1]) == (Status.COMPLETED, "b")
    assert (await app.ainterrupts(CONFIG))[0].answered_by == "bob"


async def test_one_refused_beside_another_question_leaves_both_open(store: BaseCheckpointer) -> None:
    nodes = {name: asking(name, f"{name}?", answer=Small) for name in ("one", "two")}
    app = fan("one", "two", nodes=nodes).compile(store)
    one, two = (await app.ainvoke({}, CONFIG)).interrupts
    with pytest.raises(InvalidAnswerError):
        await app.aresume(CONFIG, {"amount": 11}, interrupt_id=two.id)
    after = await app.aget_state(CONFIG)
    assert {record.id for record in after.interrupts} == {one.id, two.id}
    await app.aresume(CONFIG, {"amount": 1}, interrupt_id=one.id)
    assert (await app.aresume(CONFIG, {"amount": 2}, interrupt_id=two.id)).status is Status.COMPLETED


async def test_a_question_outlives_an_error_elsewhere(store: BaseCheckpointer) -> None:
    """One branch asks, the other fails on its second try: the first one's question can be answered all the same."""

    async def failing(state: Trail) -> dict[str, Any]:
        await interrupt("fail?")
        if not state.note:
            raise ConnectionError("down")
        return {"trail": ["failing"]}

    app = fan("asks", "fails", nodes={"asks": asking("asks", "sure?"), "fails": failing}).compile(store)
    asks, fails = (await app.ainvoke({}, CONFIG)).interrupts
    with pytest.raises(ConnectionError):
        await app.aresume(CONFIG, "go on", interrupt_id=fails.id)
    failed = await app.aget_state(CONFIG)
    assert (failed.status, failed.interrupts) == (Status.ERROR, (asks,))
    await app.aupdate_state(CONFIG, {"note": "up again"})
    done = await app.aresume(CONFIG, "yes", interrupt_id=asks.id)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["start", "asks:yes", "failing", "end"])


def test_every_refusal_is_an_answer_error() -> None:
    for kind in (AlreadyAnsweredError, InvalidAnswerError, UnknownInterruptError):
        assert issubclass(kind, AnswerError)
