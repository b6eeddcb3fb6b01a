from __future__ import annotations

from typing import Any

import pytest

from taf import END, START, Approve, Command, Reject, Send, StateGraph
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import AmbiguousResumeError
from tests.pausing.trails import Trail, fan, row, step
from tests.styles import run

CONFIG = {"thread_id": "t"}


async def test_no_node_of_the_step_runs_before_the_pause(style: str, store: BaseCheckpointer) -> None:
    app = fan("free", "guarded").compile(store, interrupt_before=["guarded"])
    paused = await run(app, style, {}, CONFIG)
    assert (paused.current_node, paused.state.trail) == ("guarded", ["start"])
    done = await run(app, style, None, CONFIG)
    assert done.state.trail == ["start", "free", "guarded", "end"]


async def test_a_breakpoint_after_a_branch_comes_when_the_whole_step_is_committed(
    style: str, store: BaseCheckpointer
) -> None:
    app = fan("one", "two").compile(store, interrupt_after=["one"])
    paused = await run(app, style, {}, CONFIG)
    assert (paused.current_node, paused.state.trail) == ("one", ["start", "one", "two"])
    assert (await run(app, style, None, CONFIG)).state.trail == ["start", "one", "two", "end"]


async def test_several_guards_have_a_record_each(store: BaseCheckpointer) -> None:
    app = fan("one", "free", "two").compile(store, interrupt_before=["one", "two"])
    paused = await app.ainvoke({}, CONFIG)
    assert [record.node for record in paused.interrupts] == ["one", "two"]
    assert len({record.id for record in paused.interrupts}) == 2


async def test_a_plain_call_approves_all_guards(style: str, store: BaseCheckpointer) -> None:
    app = fan("one", "two").compile(store, interrupt_before=["one", "two"])
    await run(app, style, {}, CONFIG)
    done = await run(app, style, None, CONFIG)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["start", "one", "two", "end"])


async def test_guards_are_answered_one_by_one_and_nothing_runs_before_the_last(store: BaseCheckpointer) -> None:
    app = fan("one", "two", "three").compile(store, interrupt_before=["one", "two", "three"])
    left = [record.id for record in (await app.ainvoke({}, CONFIG)).interrupts]
    for _ in range(2):
        result = await app.aresume(CONFIG, Approve(), interrupt_id=left.pop())
        assert (result.status, result.state.trail) == (Status.INTERRUPTED_BEFORE, ["start"])
        assert [record.id for record in result.interrupts] == left
    done = await app.aresume(CONFIG, Approve(), interrupt_id=left.pop())
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["start", "one", "two", "three", "end"])


@pytest.mark.parametrize("answer", [Approve(), True, Reject()])
async def test_an_answer_that_names_none_of_several_is_refused_with_a_list(
    answer: Any, store: BaseCheckpointer
) -> None:
    app = fan("one", "two").compile(store, interrupt_before=["one", "two"])
    paused = await app.ainvoke({}, CONFIG)
    with pytest.raises(AmbiguousResumeError) as caught:
        await app.aresume(CONFIG, answer)
    assert caught.value.interrupt_ids == tuple(record.id for record in paused.interrupts)
    assert all(record.id in str(caught.value) and record.reason in str(caught.value) for record in paused.interrupts)
    assert (await app.aget_state(CONFIG)).interrupts == paused.interrupts


async def test_of_two_guards_one_rejected_only_the_other_node_runs(store: BaseCheckpointer) -> None:
    app = fan("one", "two").compile(store, interrupt_before=["one", "two"])
    one, two = (await app.ainvoke({}, CONFIG)).interrupts
    await app.aresume(CONFIG, Reject("no"), interrupt_id=one.id)
    done = await app.aresume(CONFIG, Approve(), interrupt_id=two.id)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["start", "two", "end"])


async def test_of_two_guards_both_rejected_the_run_is_at_its_end(store: BaseCheckpointer) -> None:
    app = fan("one", "two").compile(store, interrupt_before=["one", "two"])
    for record in (await app.ainvoke({}, CONFIG)).interrupts:
        done = await app.aresume(CONFIG, Reject("no"), interrupt_id=record.id)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["start"])


async def test_two_breakpoints_after_one_step_are_answered_one_by_one(store: BaseCheckpointer) -> None:
    app = fan("one", "two").compile(store, interrupt_after=["one", "two"])
    one, two = (await app.ainvoke({}, CONFIG)).interrupts
    result = await app.aresume(CONFIG, interrupt_id=two.id)
    assert (result.status, result.interrupts) == (Status.INTERRUPTED_AFTER, (one,))
    done = await app.aresume(CONFIG, interrupt_id=one.id)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["start", "one", "two", "end"])


async def test_branches_of_one_guarded_node_ask_once(style: str, store: BaseCheckpointer) -> None:
    async def work(state: Trail) -> dict[str, Any]:
        return {"trail": [f"work {state.note}"]}

    graph = StateGraph(Trail).add_node("plan", step("plan")).add_node("work", work).set_entry_point("plan")
    graph.add_conditional_edges("plan", lambda state: [Send("work", {"note": note}) for note in "abc"])
    app = graph.add_edge("work", END).compile(store, interrupt_before=["work"], interrupt_after=["work"])
    before = await run(app, style, {}, CONFIG)
    assert [record.node for record in before.interrupts] == ["work"]
    after = await run(app, style, None, CONFIG)
    assert (after.status, [record.node for record in after.interrupts]) == (Status.INTERRUPTED_AFTER, ["work"])
    done = await run(app, style, None, CONFIG)
    assert done.state.trail == ["plan", "work a", "work b", "work c"]


async def test_a_rejected_node_takes_all_its_branches_with_it(store: BaseCheckpointer) -> None:
    graph = StateGraph(Trail).add_node("plan", step("plan")).add_node("work", step("work")).set_entry_point("plan")
    graph.add_conditional_edges("plan", lambda state: [Send("work", {"note": note}) for note in "abc"])
    app = graph.add_edge("work", END).compile(store, interrupt_before=["work"])
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("no"))
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["plan"])


def two_arms() -> StateGraph:
    """``one`` leads to ``one_next``, ``two`` to ``two_next``."""
    graph = row("one", "one_next", "two", "two_next")
    for name in ("one", "two"):
        graph.add_edge(START, name).add_edge(name, f"{name}_next").add_edge(f"{name}_next", END)
    return graph


async def test_rejected_behind_one_branch_the_other_branch_goes_on(store: BaseCheckpointer) -> None:
    app = two_arms().compile(store, interrupt_after=["one"])
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("not further"))
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["one", "two", "two_next"])


async def test_rejected_behind_one_branch_what_both_lead_to_runs_for_the_other(store: BaseCheckpointer) -> None:
    app = fan("one", "two").compile(store, interrupt_after=["one"])
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("not further"))
    assert done.state.trail == ["start", "one", "two", "end"]


async def test_rejected_behind_both_branches_nothing_goes_on(store: BaseCheckpointer) -> None:
    app = fan("one", "two").compile(store, interrupt_after=["one", "two"])
    for record in (await app.ainvoke({}, CONFIG)).interrupts:
        done = await app.aresume(CONFIG, Reject("not further"), interrupt_id=record.id)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["start", "one", "two"])


async def test_rejected_behind_a_branch_that_chose_its_way_itself(store: BaseCheckpointer) -> None:
    async def one(state: Trail) -> Command:
        return Command(update={"trail": ["one"]}, goto="one_next")

    graph = row("one", "one_next", "two", "two_next", nodes={"one": one})
    graph.add_edge(START, "one").add_edge(START, "two").add_conditional_edges("two", lambda state: "two_next")
    app = graph.add_edge("two_next", END).compile(store, interrupt_after=["one", "two"])
    records = (await app.ainvoke({}, CONFIG)).interrupts
    await app.aresume(CONFIG, Reject("not further"), interrupt_id=records[0].id)
    done = await app.aresume(CONFIG, Approve(), interrupt_id=records[1].id)
    assert done.state.trail == ["one", "two", "two_next"]


async def test_a_rejection_behind_a_branch_can_lead_elsewhere(store: BaseCheckpointer) -> None:
    app = two_arms().add_node("repair", step("repair")).add_edge("repair", END).compile(store, interrupt_after=["one"])
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("not further", goto="repair"))
    assert done.state.trail == ["one", "two", "two_next", "repair"]
