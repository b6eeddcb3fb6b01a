"""What a human may say at a breakpoint, and to a question."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taf import END, START, Approve, Edit, Message, Reject, Respond, StateGraph, interrupt, interrupt_sync
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import InterruptRejectedError
from tests.pausing.trails import Trail, asking, fan, loop, row, step

CONFIG = {"thread_id": "t"}


@pytest.mark.parametrize("way", ["aresume", "resume"])
@pytest.mark.parametrize("answer", [(), (Approve(),), (True,)])
async def test_an_approval_runs_the_guarded_node(way: str, answer: tuple[Any, ...], store: BaseCheckpointer) -> None:
    app = row("a", "b", "c").compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    if way == "aresume":
        done = await app.aresume(CONFIG, *answer, by="alice")
    else:
        done = await asyncio.to_thread(app.resume, CONFIG, *answer, by="alice")
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["a", "b", "c"])
    (record,) = await app.ainterrupts(CONFIG)
    assert (record.status, record.answered_by, record.version) == ("answered", "alice", 2)
    assert record.answered_at is not None
    assert record.answered_at >= record.created_at


@pytest.mark.parametrize("answer", [Reject("too risky"), False])
async def test_a_rejection_does_not_run_the_guarded_node_and_ends_the_run(answer: Any, store: BaseCheckpointer) -> None:
    app = row("a", "b", "c").compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, answer, by="bob")
    assert (done.status, done.state.trail, done.interrupts) == (Status.COMPLETED, ["a"], ())
    (record,) = await app.ainterrupts(CONFIG)
    assert (record.status, record.answered_by) == ("rejected", "bob")
    assert record.answer == (answer.reason if answer else "")


def with_repair() -> StateGraph:
    """``a``, then ``b``, then ``c``; ``repair`` leads to ``c`` too."""
    graph = row("a", "b", "c", "repair")
    for source, target in ((START, "a"), ("a", "b"), ("b", "c"), ("repair", "c"), ("c", END)):
        graph.add_edge(source, target)
    return graph


async def test_a_rejection_goes_on_where_it_says(store: BaseCheckpointer) -> None:
    app = with_repair().compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("no", goto="repair"))
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["a", "repair", "c"])


async def test_a_rejection_may_name_the_end(store: BaseCheckpointer) -> None:
    app = with_repair().compile(store, interrupt_before=["b"])
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, Reject("no", goto=END))).state.trail == ["a"]


async def test_led_to_another_guarded_node_the_run_pauses_there(store: BaseCheckpointer) -> None:
    app = with_repair().compile(store, interrupt_before=["b", "repair"])
    await app.ainvoke({}, CONFIG)
    paused = await app.aresume(CONFIG, Reject("no", goto="repair"))
    assert (paused.status, paused.current_node, paused.state.trail) == (Status.INTERRUPTED_BEFORE, "repair", ["a"])
    assert (await app.aresume(CONFIG)).state.trail == ["a", "repair", "c"]


async def test_led_to_the_node_that_was_refused_the_guard_asks_again(store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    first = (await app.ainvoke({}, CONFIG)).interrupts[0]
    again = await app.aresume(CONFIG, Reject("not yet", goto="b"))
    assert (again.status, again.state.trail) == (Status.INTERRUPTED_BEFORE, ["a"])
    assert again.interrupts[0].id != first.id


async def test_siblings_of_a_refused_node_run(store: BaseCheckpointer) -> None:
    app = fan("one", "guarded", "two").compile(store, interrupt_before=["guarded"])
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("no"))
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["start", "one", "two", "end"])


async def test_a_refused_node_can_be_replaced_beside_its_siblings(store: BaseCheckpointer) -> None:
    graph = fan("one", "guarded").add_node("other", step("other")).add_edge("other", "end")
    app = graph.compile(store, interrupt_before=["guarded"])
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("no", goto="other"))
    assert done.state.trail == ["start", "one", "other", "end"]


async def test_a_rejection_behind_a_node_keeps_what_it_did(store: BaseCheckpointer) -> None:
    app = row("a", "b", "c").compile(store, interrupt_after=["b"])
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("no further"))
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["a", "b"])


async def test_a_rejection_in_a_loop_ends_the_loop(store: BaseCheckpointer) -> None:
    app = loop("again", 5).compile(store, interrupt_before=["again"])
    await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG)
    assert (await app.aresume(CONFIG, Reject("enough"))).state.trail == ["again"]


@pytest.mark.parametrize("points", [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}])
async def test_an_edit_changes_the_state_first_by_the_reducers(points: Any, store: BaseCheckpointer) -> None:
    seen: list[str] = []

    async def b(state: Trail) -> dict[str, Any]:
        seen.append(state.note)
        return {"trail": ["b"]}

    app = row("a", "b", nodes={"b": b}).compile(store, **points)
    await app.ainvoke({"note": "old"}, CONFIG)
    update = {"note": "new", "trail": ["edited"], "messages": [Message.text_message("careful")]}
    done = await app.aresume(CONFIG, Edit(update), by="alice")
    assert (seen, done.state.trail) == (["new"], ["a", "edited", "b"])
    assert [message.text() for message in done.messages] == ["careful"]
    assert (await app.ainterrupts(CONFIG))[0].answered_by == "alice"


async def test_an_edit_of_one_of_two_guards_is_kept_until_the_other_is_answered(store: BaseCheckpointer) -> None:
    app = fan("one", "two").compile(store, interrupt_before=["one", "two"])
    one, two = (await app.ainvoke({}, CONFIG)).interrupts
    half = await app.aresume(CONFIG, Edit({"note": "edited"}), interrupt_id=one.id)
    assert (half.status, half.state.note) == (Status.INTERRUPTED_BEFORE, "edited")
    assert (await app.aresume(CONFIG, Approve(), interrupt_id=two.id)).state.note == "edited"


@pytest.mark.parametrize("answer", ["yes", Respond("yes")])
async def test_a_response_answers_a_question(answer: Any, store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "sure?")}).compile(store)
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, answer, by="alice")).state.trail == ["ask:yes"]
    (record,) = await app.ainterrupts(CONFIG)
    assert (record.status, record.answer, record.answered_by) == ("answered", "yes", "alice")


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_rejected_question_raises_where_it_was_asked(is_async: bool, store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> dict[str, Any]:
        try:
            await interrupt("sure?")
        except InterruptRejectedError as rejected:
            return {"note": f"{rejected.reason} by {rejected.by}"}
        return {}

    def ask_sync(state: Trail) -> dict[str, Any]:
        try:
            interrupt_sync("sure?")
        except InterruptRejectedError as rejected:
            return {"note": f"{rejected.reason} by {rejected.by}"}
        return {}

    app = row("ask", "b", nodes={"ask": ask if is_async else ask_sync}).compile(store)
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("too late"), by="bob")
    assert (done.status, done.state.note, done.state.trail) == (Status.COMPLETED, "too late by bob", ["b"])


@pytest.mark.parametrize("is_async", [True, False])
async def test_an_uncaught_rejection_ends_the_run_and_is_no_error(is_async: bool, store: BaseCheckpointer) -> None:
    def ask_sync(state: Trail) -> None:
        interrupt_sync("sure?")

    app = row("ask", "b", nodes={"ask": asking("ask", "sure?") if is_async else ask_sync}).compile(store)
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("no"))
    assert (done.status, done.state.trail, done.interrupts) == (Status.COMPLETED, [], ())
    assert (await app.ainterrupts(CONFIG))[0].status == "rejected"


async def test_an_uncaught_rejection_goes_on_where_it_says(store: BaseCheckpointer) -> None:
    graph = row("ask", "b", "other", nodes={"ask": asking("ask", "sure?")}).add_edge(START, "ask").add_edge("ask", "b")
    app = graph.compile(store)
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, Reject("no", goto="other"))).state.trail == ["other"]


async def test_a_rejected_question_of_one_branch_leaves_the_others_alone(store: BaseCheckpointer) -> None:
    app = fan("one", "two", nodes={name: asking(name, f"{name}?") for name in ("one", "two")}).compile(store)
    one, two = (await app.ainvoke({}, CONFIG)).interrupts
    half = await app.aresume(CONFIG, Reject("no"), interrupt_id=one.id)
    assert half.interrupts == (two,)
    done = await app.aresume(CONFIG, "yes", interrupt_id=two.id)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["start", "two:yes", "end"])


async def test_a_node_with_two_questions_goes_on_when_both_are_answered(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> None:
        await asyncio.gather(interrupt("one?"), interrupt("two?"))

    app = row("ask", "b", nodes={"ask": ask}).compile(store)
    one, two = (await app.ainvoke({}, CONFIG)).interrupts
    half = await app.aresume(CONFIG, Reject("no"), interrupt_id=one.id)
    assert half.interrupts == (two,)
    done = await app.aresume(CONFIG, "yes", interrupt_id=two.id)
    assert (done.status, done.interrupts, done.state.trail) == (Status.COMPLETED, (), [])
    assert sorted(record.status for record in await app.ainterrupts(CONFIG)) == ["answered", "rejected"]
