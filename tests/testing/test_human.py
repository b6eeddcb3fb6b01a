"""A fake human answers by rules or by a script, and remembers what it was asked."""

from typing import Any

import pytest

from taf import (
    AgentState,
    Approve,
    CompiledGraph,
    Edit,
    InvalidAnswerError,
    Reject,
    StateGraph,
    interrupt,
    interrupt_sync,
)
from taf.checkpointer import BaseCheckpointer
from taf.testing import LEAVE_OPEN, FakeHuman, UnexpectedQuestionError

CONFIG = {"thread_id": "t"}


def graph() -> StateGraph:
    async def order(state: AgentState) -> dict[str, Any]:
        return {"count": await interrupt("how many?", answer=int)}

    def address(state: AgentState) -> dict[str, Any]:
        return {"where": interrupt_sync("where to?", answer=str)}

    def send(state: AgentState) -> dict[str, Any]:
        return {"sent": True}

    return StateGraph().add_node("order", order).add_node("address", address).add_node("send", send)


@pytest.fixture
async def app(store: BaseCheckpointer):
    async with graph().compile(store, interrupt_before=["send"]) as app:
        yield app


ANSWERS: list[Any] = [
    {"how many?": 3, "where to?": "home"},
    {"order": 3, "address": "home"},
    {"how many?": lambda record: 3, "address": "home", "send": Approve()},
    [3, "home", Approve()],
    lambda record: {"order": 3, "address": "home", "send": Approve()}[record.node],
]


@pytest.mark.parametrize("answers", ANSWERS, ids=["reasons", "nodes", "mixed", "script", "function"])
async def test_a_human_answers_until_the_thread_rests(app: CompiledGraph, answers: Any) -> None:
    human = FakeHuman(answers, by="alice")

    result = await human.arun(app, {}, CONFIG)

    assert (result.status, result.state.count, result.state.where, result.state.sent) == ("completed", 3, "home", True)
    assert human.reasons == ["how many?", "where to?", 'Paused before node "send".']
    assert [one.answer for one in human.asked] == [3, "home", Approve()]
    assert {record.answered_by for record in await app.ainterrupts(CONFIG)} == {"alice"}


def test_a_sync_program_has_a_human_too() -> None:
    human = FakeHuman({"how many?": 3, "where to?": "home"})
    with graph().compile(interrupt_before=["send"]) as app:
        assert human.run(app).state.sent
        app.invoke({}, CONFIG)
        assert human.answer(app, CONFIG).status == "completed"

    assert human.reasons == ["how many?", "where to?", 'Paused before node "send".'] * 2


async def test_a_human_may_come_later(app: CompiledGraph) -> None:
    await app.ainvoke({}, CONFIG)

    result = await FakeHuman({"how many?": 3, "where to?": "home"}).aanswer(app, CONFIG)

    assert result.status == "completed"


async def test_a_human_may_refuse_and_edit(app: CompiledGraph) -> None:
    human = FakeHuman({"how many?": 3, "where to?": "home", "send": Reject("no stamps")})
    assert not hasattr((await human.arun(app, {}, CONFIG)).state, "sent")

    human = FakeHuman([4, "work", Edit({"stamps": 2})])
    result = await human.arun(app, {}, {"thread_id": "u"})
    assert (result.state.sent, result.state.stamps) == (True, 2)


async def test_what_is_left_open_stays_open(app: CompiledGraph) -> None:
    human = FakeHuman({"how many?": 3, "where to?": LEAVE_OPEN})

    result = await human.arun(app, {}, CONFIG)

    assert [record.reason for record in result.interrupts] == ["where to?"]
    assert human.reasons == ["how many?", "where to?"]


async def test_of_several_questions_each_gets_its_answer() -> None:
    async def ask(state: AgentState, ctx: Any) -> dict[str, Any]:
        return {ctx.node: await interrupt(f"{ctx.node}?")}

    asking = StateGraph()
    for name in ("a", "b", "c"):
        asking.add_node(name, ask).set_entry_point(name)
    async with asking.compile() as app:
        result = await FakeHuman({"a?": 1, "b": LEAVE_OPEN, "c?": 3}).arun(app, {}, CONFIG)
        assert [record.node for record in result.interrupts] == ["b"]
        result = await FakeHuman([2]).aanswer(app, CONFIG)

    assert (result.state.a, result.state.b, result.state.c) == (1, 2, 3)


async def test_a_question_without_an_answer_is_told(app: CompiledGraph) -> None:
    with pytest.raises(
        UnexpectedQuestionError, match=r'Node "address" asks "where to\?" .* answers to "how many\?" only'
    ):
        await FakeHuman({"how many?": 3}).arun(app, {}, CONFIG)


async def test_a_script_that_is_too_short_is_told(app: CompiledGraph) -> None:
    with pytest.raises(AssertionError, match="the script of 1 answers is at its end"):
        await FakeHuman([3]).arun(app, {}, CONFIG)


async def test_an_answer_that_does_not_fit_is_raised(app: CompiledGraph) -> None:
    with pytest.raises(InvalidAnswerError):
        await FakeHuman({"how many?": "many"}).arun(app, {}, CONFIG)


async def test_a_thread_that_asks_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taf.testing.human.PATIENCE", 5)

    async def ask(state: AgentState) -> None:
        while True:
            await interrupt("again?")

    async with StateGraph().add_node("ask", ask).compile() as app:
        with pytest.raises(UnexpectedQuestionError, match="still asks after 5 answers"):
            await FakeHuman({"again?": "yes"}).arun(app, {}, CONFIG)
