from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from taf import Approve, Edit, Message, Reject, Respond, interrupt, interrupt_sync
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import ConfigError, InterruptExpiredError, InvalidAnswerError, OutsideNodeError
from tests.pausing.trails import Trail, asking, fan, row
from tests.styles import run

CONFIG = {"thread_id": "t"}


class Decision(BaseModel):
    ok: bool
    amount: int = Field(ge=0)


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_question_pauses_inside_a_node_and_is_answered(
    is_async: bool, style: str, store: BaseCheckpointer
) -> None:
    got: list[Any] = []

    async def ask(state: Trail) -> dict[str, Any]:
        got.append(await interrupt("How much?", answer=Decision))
        return {"note": str(got[-1].amount)}

    def ask_sync(state: Trail) -> dict[str, Any]:
        got.append(interrupt_sync("How much?", answer=Decision))
        return {"note": str(got[-1].amount)}

    app = row("a", "ask", "b", nodes={"ask": ask if is_async else ask_sync}).compile(store)
    paused = await run(app, style, {}, CONFIG)
    assert (paused.interrupted, paused.current_node, paused.interrupt_reason) == (True, "ask", "How much?")
    assert (paused.status, paused.state.trail, got) == (Status.INTERRUPTED_BEFORE, ["a"], [])
    done = await app.aresume(CONFIG, {"ok": True, "amount": 5})
    assert (done.status, done.state.note, done.state.trail) == (Status.COMPLETED, "5", ["a", "b"])
    assert got == [Decision(ok=True, amount=5)]


async def test_the_record_has_the_json_schema_of_the_answer_and_the_data(store: BaseCheckpointer) -> None:
    at = datetime(2025, 1, 2, tzinfo=UTC)

    async def ask(state: Trail) -> None:
        await interrupt("How much?", answer=Decision, data={"at": at, "pair": (1, 2)})

    (record,) = (await row("ask", nodes={"ask": ask}).compile(store).ainvoke({}, CONFIG)).interrupts
    assert record.answer_schema == Decision.model_json_schema()
    assert record.data == {"at": at, "pair": (1, 2)}
    assert (record.kind, record.allowed, record.path) == ("node", ("respond", "reject"), ("ask",))


async def test_a_question_without_a_type_takes_any_answer(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "What?")}).compile(store)
    assert (await app.ainvoke({}, CONFIG)).interrupts[0].answer_schema is None
    assert (await app.aresume(CONFIG, ["a", {"b": 1}])).state.trail == ["ask:['a', {'b': 1}]"]


@pytest.mark.parametrize("answer", [None, "", 0, False, [], {}])
async def test_an_answer_may_be_empty(answer: Any, store: BaseCheckpointer) -> None:
    got: list[Any] = []

    async def ask(state: Trail) -> None:
        got.append(await interrupt("What?"))

    app = row("ask", nodes={"ask": ask}).compile(store)
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, answer)).status is Status.COMPLETED
    assert got == [answer]
    assert type(got[0]) is type(answer)


async def test_several_questions_of_one_node_are_asked_in_turn(style: str, store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "one?", "two?", "three?", answer=int)}).compile(store)
    result, reasons = await run(app, style, {}, CONFIG), list[str | None]()
    for answer in (1, 2, 3):
        reasons.append(result.interrupt_reason)
        result = await app.aresume(CONFIG, answer)
    assert reasons == ["one?", "two?", "three?"]
    assert (result.status, result.state.trail) == (Status.COMPLETED, ["ask:1:2:3"])


async def test_the_same_words_asked_twice_are_two_questions(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "more?", "more?")}).compile(store)
    first = (await app.ainvoke({}, CONFIG)).interrupts[0]
    second = (await app.aresume(CONFIG, "x")).interrupts[0]
    assert first.id != second.id
    assert (await app.aresume(CONFIG, "y")).state.trail == ["ask:x:y"]


async def test_plain_input_leaves_a_question_open_and_is_kept(style: str, store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "sure?")}).compile(store)
    before = (await run(app, style, {}, CONFIG)).interrupts
    still = await run(app, style, {"messages": [Message.text_message("yes, do it")], "note": "said"}, CONFIG)
    assert (still.interrupted, still.interrupts, still.state.note) == (True, before, "said")
    assert [message.text() for message in still.messages] == ["yes, do it"]


@pytest.mark.parametrize("nothing", [None, {}])
async def test_an_empty_call_leaves_a_question_as_it_is(nothing: Any, style: str, store: BaseCheckpointer) -> None:
    runs: list[str] = []

    async def ask(state: Trail) -> None:
        runs.append("ran")
        await interrupt("sure?")

    app = row("ask", nodes={"ask": ask}).compile(store)
    before = await run(app, style, {}, CONFIG)
    again = await run(app, style, nothing, CONFIG)
    assert (again.status, again.interrupts, runs) == (before.status, before.interrupts, ["ran"])


async def test_questions_of_two_branches_are_open_together_and_answering_one_re_runs_nothing_of_the_other(
    store: BaseCheckpointer,
) -> None:
    runs: list[str] = []

    def counted(name: str) -> Callable[[Trail], Any]:
        inner = asking(name, f"{name}?")

        async def node(state: Trail) -> Any:
            runs.append(name)
            return await inner(state)

        return node

    async def free(state: Trail) -> dict[str, Any]:
        runs.append("free")
        return {"trail": ["free"]}

    app = fan("one", "free", "two", nodes={"one": counted("one"), "two": counted("two"), "free": free}).compile(store)
    one, two = (await app.ainvoke({}, CONFIG)).interrupts
    assert sorted(runs) == ["free", "one", "two"]
    half = await app.aresume(CONFIG, 2, interrupt_id=two.id)
    assert (half.interrupts, sorted(runs)) == ((one,), ["free", "one", "two", "two"])
    done = await app.aresume(CONFIG, 1, interrupt_id=one.id)
    assert done.state.trail == ["start", "one:1", "free", "two:2", "end"]
    assert sorted(runs) == ["free", "one", "one", "two", "two"]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2025, 1, 1, tzinfo=UTC)

    def __call__(self) -> float:
        return self.now.timestamp()


DUE = datetime(2025, 1, 1, 1, tzinfo=UTC)


async def ask_with_deadline(state: Trail) -> dict[str, Any]:
    return {"note": await interrupt("in time?", answer=str, due_at=DUE)}


async def test_an_answer_in_time_is_taken(store: BaseCheckpointer) -> None:
    clock = Clock()
    app = row("ask", nodes={"ask": ask_with_deadline}).compile(store, clock=clock)
    (record,) = (await app.ainvoke({}, CONFIG)).interrupts
    assert (record.due_at, record.created_at) == (DUE, clock.now)
    clock.now = DUE
    done = await app.aresume(CONFIG, "yes")
    assert done.state.note == "yes"
    assert (await app.ainterrupts(CONFIG))[0].answered_at == DUE


@pytest.mark.parametrize("answer", ["yes", Reject("no")])
async def test_an_answer_after_the_deadline_is_refused_and_changes_nothing(
    answer: Any, store: BaseCheckpointer
) -> None:
    clock = Clock()
    app = row("ask", nodes={"ask": ask_with_deadline}).compile(store, clock=clock)
    before = await app.ainvoke({}, CONFIG)
    clock.now = DUE + timedelta(seconds=1)
    with pytest.raises(InterruptExpiredError) as caught:
        await app.aresume(CONFIG, answer)
    assert (caught.value.due_at, caught.value.interrupt_id) == (DUE, before.interrupts[0].id)
    after = await app.aget_state(CONFIG)
    assert (after.status, after.interrupts, after.state) == (before.status, before.interrupts, before.state)


async def test_a_deadline_needs_a_time_zone(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> None:
        await interrupt("when?", due_at=datetime(2025, 1, 1))

    with pytest.raises(ConfigError, match="time zone"):
        await row("ask", nodes={"ask": ask}).compile(store).ainvoke({}, CONFIG)


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (("respond",), Reject("no")),
        (("reject",), "a value"),
        (("reject",), Respond("a value")),
        (("reject",), Approve()),
        (("respond", "reject"), Edit({"note": "x"})),
    ],
)
async def test_only_what_is_allowed_closes_a_question(
    allowed: tuple[str, ...], refused: Any, store: BaseCheckpointer
) -> None:
    async def ask(state: Trail) -> None:
        await interrupt("which?", allowed=allowed)

    app = row("ask", nodes={"ask": ask}).compile(store)
    before = await app.ainvoke({}, CONFIG)
    assert before.interrupts[0].allowed == allowed
    with pytest.raises(InvalidAnswerError, match=", ".join(allowed)):
        await app.aresume(CONFIG, refused)
    assert (await app.aget_state(CONFIG)).interrupts == before.interrupts


@pytest.mark.parametrize("allowed", [(), ("approve",), ("answer",), "respond"])
async def test_a_question_that_nobody_could_close_is_refused(allowed: Any, store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> None:
        await interrupt("which?", allowed=allowed)

    with pytest.raises(ConfigError, match="allowed"):
        await row("ask", nodes={"ask": ask}).compile(store).ainvoke({}, CONFIG)


async def test_an_approval_answers_a_yes_or_no_question(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "go?", answer=bool)}).compile(store)
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, Approve())).state.trail == ["ask:True"]


async def test_an_approval_does_not_answer_a_question_for_a_choice(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "which?", answer=Literal["a", "b"])}).compile(store)
    await app.ainvoke({}, CONFIG)
    with pytest.raises(InvalidAnswerError):
        await app.aresume(CONFIG, Approve())


async def test_a_resume_without_an_answer_is_no_answer_to_a_question(store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "which?")}).compile(store)
    before = await app.ainvoke({}, CONFIG)
    with pytest.raises(InvalidAnswerError, match="needs an answer"):
        await app.aresume(CONFIG)
    assert (await app.aget_state(CONFIG)).interrupts == before.interrupts


async def test_a_question_outside_a_node_is_an_error() -> None:
    with pytest.raises(OutsideNodeError, match="interrupt"):
        await interrupt("anyone?")
    with pytest.raises(OutsideNodeError, match="interrupt_sync"):
        interrupt_sync("anyone?")


async def test_data_that_cannot_be_stored_is_refused_when_it_is_asked(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> None:
        await interrupt("which?", data={"deep": [object()]})

    with pytest.raises(Exception, match=r"deep.*cannot be stored|cannot be stored.*deep"):
        await row("ask", nodes={"ask": ask}).compile(store).ainvoke({}, CONFIG)
