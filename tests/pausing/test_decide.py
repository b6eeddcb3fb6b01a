"""What a plain call means for a paused thread is up to ``decide``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taf import Approve, Edit, Message, Reject, Respond, approve_if
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import InvalidAnswerError
from taf.graph import InterruptRecord, approve_breakpoints
from tests.pausing.trails import Trail, asking, fan, row
from tests.styles import run

CONFIG = {"thread_id": "t"}


def said(*texts: str) -> dict[str, Any]:
    return {"messages": [Message.text_message(text) for text in texts]}


def deciding(decision: Any, *, is_async: bool) -> Any:
    async def decide(given: Any, record: InterruptRecord) -> Any:
        await asyncio.sleep(0)
        return decision

    def decide_sync(given: Any, record: InterruptRecord) -> Any:
        return decision

    return decide if is_async else decide_sync


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("decision", "status", "trail", "note"),
    [
        (Approve(), Status.COMPLETED, ["a", "b", "c"], "said"),
        (Reject("no"), Status.COMPLETED, ["a"], "said"),
        (Reject("no", goto="c"), Status.COMPLETED, ["a", "c"], "said"),
        (Edit({"trail": ["edited"]}), Status.COMPLETED, ["a", "edited", "b", "c"], "said"),
        (None, Status.INTERRUPTED_BEFORE, ["a"], "said"),
    ],
    ids=["approve", "reject", "goto", "edit", "none"],
)
async def test_its_decision_is_done_and_the_input_kept(
    decision: Any, status: Status, trail: list[str], note: str, is_async: bool, style: str, store: BaseCheckpointer
) -> None:
    app = row("a", "b", "c").compile(store, interrupt_before=["b"], decide=deciding(decision, is_async=is_async))
    await run(app, style, {}, CONFIG)
    result = await run(app, style, {**said("hello"), "note": "said"}, CONFIG)
    assert (result.status, result.state.trail, result.state.note) == (status, trail, note)
    assert [message.text() for message in result.messages] == ["hello"]


async def test_it_sees_the_input_and_the_record(store: BaseCheckpointer) -> None:
    seen: list[Any] = []

    def decide(given: Any, record: InterruptRecord) -> Approve:
        seen.append((given, record.node, record.kind, record.reason))
        return Approve()

    app = row("a", "b").compile(store, interrupt_before=["b"], decide=decide)
    await app.ainvoke({"note": "first"}, CONFIG)
    await app.ainvoke({"note": "second"}, CONFIG)
    assert seen == [({"note": "second"}, "b", "before", 'Paused before node "b".')]


async def test_left_open_the_record_is_the_same_and_can_be_answered(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], decide=deciding(None, is_async=False))
    before = (await app.ainvoke({}, CONFIG)).interrupts
    for text in ("hm", "well"):
        assert (await app.ainvoke(said(text), CONFIG)).interrupts == before
    done = await app.aresume(CONFIG, Approve())
    assert [message.text() for message in done.messages] == ["hm", "well"]
    assert done.state.trail == ["a", "b"]


async def test_it_decides_on_each_of_several_interrupts(store: BaseCheckpointer) -> None:
    def decide(given: Any, record: InterruptRecord) -> Any:
        return {"one": Approve(), "two": Reject("no"), "three": None}[record.node]

    app = fan("one", "two", "three").compile(store, interrupt_before=["one", "two", "three"], decide=decide)
    await app.ainvoke({}, CONFIG)
    half = await app.ainvoke({}, CONFIG)
    assert [record.node for record in half.interrupts] == ["three"]
    assert (await app.aresume(CONFIG)).state.trail == ["start", "one", "three", "end"]


async def test_it_may_answer_questions(store: BaseCheckpointer) -> None:
    def decide(given: Any, record: InterruptRecord) -> Respond:
        return Respond(int(given["note"]))

    app = row("ask", nodes={"ask": asking("ask", "how many?", answer=int)}).compile(store, decide=decide)
    await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke({"note": "5"}, CONFIG)).state.trail == ["ask:5"]


@pytest.mark.parametrize("decision", [Respond("x"), "yes", True, Edit({"unknown": 1})], ids=repr)
async def test_a_decision_that_does_not_fit_changes_nothing(decision: Any, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], decide=deciding(decision, is_async=False))
    await app.ainvoke({}, CONFIG)
    before = await app.aget_state(CONFIG)
    with pytest.raises(InvalidAnswerError):
        await app.ainvoke({"note": "new"}, CONFIG)
    assert await app.aget_state(CONFIG) == before


@pytest.mark.parametrize("is_async", [True, False])
async def test_an_error_of_its_own_changes_nothing_and_frees_the_thread(
    is_async: bool, store: BaseCheckpointer
) -> None:
    def decide(given: Any, record: InterruptRecord) -> Any:
        raise LookupError("no such approver")

    async def decide_async(given: Any, record: InterruptRecord) -> Any:
        return decide(given, record)

    app = row("a", "b").compile(store, interrupt_before=["b"], decide=decide_async if is_async else decide)
    await app.ainvoke({}, CONFIG)
    before = await app.aget_state(CONFIG)
    with pytest.raises(LookupError):
        await app.ainvoke({"note": "new"}, CONFIG)
    assert await app.aget_state(CONFIG) == before
    assert (await app.aresume(CONFIG, Approve())).status is Status.COMPLETED


async def test_it_is_not_asked_about_an_answer_given_by_resume(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], decide=deciding(Reject("no"), is_async=False))
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, Approve())).state.trail == ["a", "b"]


async def test_the_default_approves_breakpoints_whatever_is_said(style: str, store: BaseCheckpointer) -> None:
    """The documented rule of the plain call, and why an approval passes a ``decide``."""
    app = row("a", "b").compile(store, interrupt_before=["b"])
    await run(app, style, {}, CONFIG)
    assert (await run(app, style, said("DENIED"), CONFIG)).state.trail == ["a", "b"]


async def test_the_default_leaves_questions_open(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "sure?")}).compile(store, decide=approve_breakpoints)
    await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke(said("yes"), CONFIG)).interrupt_reason == "sure?"


@pytest.mark.parametrize(
    ("text", "trail", "is_paused"),
    [
        ("APPROVED: proceed", ["a", "b"], False),
        ("yes.", ["a", "b"], False),
        ('"Approved!"', ["a", "b"], False),
        ("DENIED: Operation cancelled", ["a"], False),
        ("no", ["a"], False),
        ("yes, but not today", ["a"], False),
        ("What would it do?", ["a"], True),
        ("disapproved", ["a"], True),
        ("", ["a"], True),
    ],
)
async def test_approve_if_reads_the_message(
    text: str, trail: list[str], is_paused: bool, store: BaseCheckpointer
) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], decide=approve_if(["approved", "yes"]))
    await app.ainvoke({}, CONFIG)
    result = await app.ainvoke(said(text), CONFIG)
    assert (result.state.trail, result.interrupted) == (trail, is_paused)
    assert [message.text() for message in result.messages] == [text]


async def test_approve_if_reads_the_last_message_alone(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], decide=approve_if(["yes"]))
    await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke(said("no", "yes"), CONFIG)).state.trail == ["a", "b"]


@pytest.mark.parametrize("given", [None, {}, {"note": "yes"}])
async def test_approve_if_leaves_open_what_nobody_spoke_about(given: Any, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], decide=approve_if(["yes"]))
    await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke(given, CONFIG)).interrupted


@pytest.mark.parametrize("given", [Message.text_message("yes"), [Message.text_message("yes")]])
async def test_approve_if_reads_bare_messages(given: Any, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], decide=approve_if(["yes"]))
    await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke(given, CONFIG)).state.trail == ["a", "b"]


async def test_approve_if_reads_a_state(store: BaseCheckpointer) -> None:

    app = row("a", "b").compile(store, interrupt_before=["b"], decide=approve_if(["yes"]))
    await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke(Trail(context=[Message.text_message("yes")]), CONFIG)).state.trail[-1] == "b"


async def test_approve_if_takes_other_words_for_no(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], decide=approve_if(["ja"], deny=["nein"]))
    await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke(said("no"), CONFIG)).interrupted
    assert (await app.ainvoke(said("Nein, danke."), CONFIG)).state.trail == ["a"]


async def test_approve_if_leaves_questions_open(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "sure?")}).compile(store, decide=approve_if(["yes"]))
    await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke(said("yes"), CONFIG)).interrupt_reason == "sure?"
