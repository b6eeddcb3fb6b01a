"""Fan-out by ``Send``: each branch on its own copy of the state."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from taf.checkpointer import BaseCheckpointer
from taf.errors import InvalidUpdateError
from taf.graph import END, START, Command, Context, Respond, Send, StateGraph, interrupt
from taf.state import AgentState, ExecutionStatus
from tests.graph.trail import Trail, visit
from tests.styles import run


async def work(state: Trail) -> dict[str, Any]:
    return {"trail": f"work {state.number}"}


def fan(width: int, worker: Any = work, **options: Any) -> Any:
    """START fans out to ``worker``, then ``gather`` runs once."""
    graph = StateGraph(Trail).add_node("work", worker).add_node("gather", visit("gather")).add_edge("work", "gather")
    graph.add_conditional_edges(START, lambda state: [Send("work", {"number": n}) for n in range(width)], ["work"])
    return graph.compile(**options)


async def test_each_branch_sees_its_own_overlay_and_the_rest_of_the_state(store: BaseCheckpointer, style: str) -> None:
    async def tell(state: Trail) -> dict[str, Any]:
        return {"trail": f"{state.last} {state.number}"}

    result = await run(fan(3, tell, checkpointer=store), style, {"last": "shared"}, {"thread_id": "t"})

    assert result.state.trail == ["shared 0", "shared 1", "shared 2", "gather"]


async def test_only_what_a_branch_returns_is_committed_not_its_overlay() -> None:
    result = await fan(3).ainvoke({"number": 77})

    assert result.state.number == 77


async def test_a_branch_that_returns_the_state_commits_what_it_changed_and_not_the_overlay() -> None:
    async def change(state: Trail) -> Trail:
        state.trail.append(f"{state.number}")
        return state

    result = await fan(2, change).ainvoke({"number": 77})

    assert (result.state.number, result.state.trail) == (77, ["0", "1", "gather"])


async def test_what_follows_the_branches_runs_once() -> None:
    assert (await fan(5).ainvoke({})).step == 2


async def test_a_fan_of_none_is_the_end() -> None:
    result = await fan(0).ainvoke({})

    assert (result.status, result.step) == (ExecutionStatus.COMPLETED, 0)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_thousand_branches_keep_their_order_and_the_concurrency_that_was_set(
    store: BaseCheckpointer, kind: str
) -> None:
    lock = threading.Lock()
    running, most = 0, 0

    def enter(step: int) -> None:
        nonlocal running, most
        with lock:
            running += step
            most = max(most, running)

    async def busy(state: Trail) -> dict[str, Any]:
        enter(1)
        await asyncio.sleep(0)
        enter(-1)
        return {"trail": str(state.number)}

    def busy_sync(state: Trail) -> dict[str, Any]:
        enter(1)
        enter(-1)
        return {"trail": str(state.number)}

    app = fan(1000, busy if kind == "async" else busy_sync, max_concurrency=7, checkpointer=store)
    result = await app.ainvoke({}, {"thread_id": "t"})

    assert result.state.trail == [*map(str, range(1000)), "gather"]
    assert 1 <= most <= 7


async def test_as_many_branches_run_at_once_as_are_allowed() -> None:
    together = asyncio.Barrier(7)

    async def meet(state: Trail) -> None:
        await together.wait()

    async with asyncio.timeout(10):
        result = await fan(21, meet, max_concurrency=7).ainvoke({})

    assert result.status is ExecutionStatus.COMPLETED


async def test_without_a_bound_all_branches_run_at_once() -> None:
    together = asyncio.Barrier(50)

    async def meet(state: Trail) -> None:
        await together.wait()

    async with asyncio.timeout(10):
        assert (await fan(50, meet).ainvoke({})).step == 2


async def test_sync_branches_are_bounded_by_max_threads() -> None:
    lock = threading.Lock()
    running, most = 0, 0
    pair = threading.Barrier(2)

    def busy(state: Trail) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pair.wait(10)
        with lock:
            running -= 1

    await fan(20, busy, max_threads=2).ainvoke({})

    assert most == 2


async def test_sends_and_named_nodes_go_out_together() -> None:
    graph = StateGraph(Trail).add_node("work", work).add_node("other", visit("other"))
    graph.add_conditional_edges(
        START, lambda state: ["other", Send("work", {"number": 1}), Send("work", {"number": 2})]
    )

    assert (await graph.compile().ainvoke({})).state.trail == ["other", "work 1", "work 2"]


async def test_a_named_node_and_sends_to_it_are_branches_of_their_own() -> None:
    graph = StateGraph(Trail).add_node("work", work)
    graph.add_conditional_edges(START, lambda state: ["work", Send("work", {"number": 2})])

    assert (await graph.compile().ainvoke({"number": 1})).state.trail == ["work 1", "work 2"]


async def test_a_node_that_is_called_like_a_branch_does_not_take_its_place() -> None:
    graph = StateGraph(Trail).add_node("work", work).add_node("work#0", visit("odd")).add_node("work#1", visit("odder"))
    graph.add_conditional_edges(START, lambda state: [Send("work", {"number": 1}), "work#0", "work#1"])

    assert (await graph.compile().ainvoke({})).state.trail == ["work 1", "odd", "odder"]


async def test_a_send_from_two_nodes_at_once_keeps_every_branch() -> None:
    def send(*numbers: int) -> Any:
        return lambda state: Command(goto=[Send("work", {"number": number}) for number in numbers])

    graph = StateGraph(Trail).add_node("work", work).add_node("one", send(1, 2)).add_node("two", send(3, 4))
    graph.add_edge(START, "one").add_edge(START, "two")

    assert (await graph.compile().ainvoke({})).state.trail == ["work 1", "work 2", "work 3", "work 4"]


async def test_branches_that_two_nodes_sent_out_are_answered_each_for_itself() -> None:
    async def ask(state: Trail) -> dict[str, Any]:
        return {"trail": await interrupt(f"{state.number}?", answer=str)}

    def send(number: int) -> Any:
        return lambda state: Command(goto=Send("ask", {"number": number}))

    graph = StateGraph(Trail).add_node("one", send(1)).add_node("two", send(2)).add_node(ask)
    app, config = graph.add_edge(START, "one").add_edge(START, "two").compile(), {"thread_id": "t"}
    paused = await app.ainvoke({}, config)
    for record in paused.interrupts:
        result = await app.aresume(config, f"{record.reason[0]}!", interrupt_id=record.id)

    assert result.state.trail == ["1!", "2!"]


async def test_branches_can_fan_out_again() -> None:
    async def split(state: Trail) -> Command:
        return Command(goto=[Send("work", {"number": state.number * 10 + n}) for n in range(2)])

    graph = StateGraph(Trail).add_node("split", split).add_node("work", work)
    graph.add_conditional_edges(START, lambda state: [Send("split", {"number": n}) for n in (1, 2)])

    assert (await graph.compile().ainvoke({})).state.trail == ["work 10", "work 11", "work 20", "work 21"]


async def test_the_overlay_belongs_to_the_branch_and_not_to_who_sent_it() -> None:
    tags = {"a": [1]}

    class Tagged(AgentState):
        tags: dict[str, list[int]] = {}
        trail: list[str] = []

    async def spoil(state: Tagged) -> None:
        state.tags["a"].append(2)

    graph = StateGraph(Tagged).add_node(spoil)
    graph.add_conditional_edges(START, lambda state: [Send("spoil", {"tags": tags}), Send("spoil", {"tags": tags})])
    await graph.compile().ainvoke({})

    assert tags == {"a": [1]}


@pytest.mark.parametrize(
    ("update", "sentence"),
    [
        ({"numbr": 1}, 'sent "work" "numbr", which is no field .*Did you mean "number"'),
        ({"number": "x"}, 'field "number"'),
    ],
)
async def test_an_overlay_that_does_not_fit_the_state_is_refused(update: dict[str, Any], sentence: str) -> None:
    graph = StateGraph(Trail).add_node("work", work).add_conditional_edges(START, lambda state: Send("work", update))

    with pytest.raises(InvalidUpdateError, match=sentence):
        await graph.compile().ainvoke({})


async def test_a_send_to_an_unknown_node_is_told_the_nearest() -> None:
    graph = StateGraph(Trail).add_node("work", work).add_conditional_edges(START, lambda state: Send("wrok", {}))

    with pytest.raises(InvalidUpdateError, match=r'leads to "wrok".*Did you mean "work"'):
        await graph.compile().ainvoke({})


async def test_a_send_to_end_is_no_branch() -> None:
    graph = StateGraph(Trail).add_node("work", work)
    graph.add_conditional_edges(START, lambda state: [Send(END, {}), Send("work", {"number": 1})])

    assert (await graph.compile().ainvoke({})).state.trail == ["work 1"]


async def test_a_breakpoint_before_a_fan_pauses_once_and_then_runs_every_branch(
    store: BaseCheckpointer, style: str
) -> None:
    app = fan(3, checkpointer=store, interrupt_before=["work"], interrupt_after=["work"])
    config = {"thread_id": "t"}

    first = await run(app, style, {}, config)
    second = await run(app, style, None, config)
    third = await run(app, style, None, config)

    assert [(r.status.value, len(r.interrupts)) for r in (first, second, third)] == [
        ("interrupted_before", 1),
        ("interrupted_after", 1),
        ("completed", 0),
    ]
    assert third.state.trail == ["work 0", "work 1", "work 2", "gather"]


async def test_each_branch_asks_its_own_question_and_keeps_its_overlay(store: BaseCheckpointer, reopen: Any) -> None:
    runs: list[int] = []

    async def ask(state: Trail, ctx: Context) -> dict[str, Any]:
        runs.append(state.number)
        answer = await interrupt(f"number {state.number}?", answer=str)
        return {"trail": f"{state.number}={answer}"}

    config = {"thread_id": "t"}
    paused = await fan(3, ask, checkpointer=store).ainvoke({}, config)
    assert [record.reason for record in paused.interrupts] == ["number 0?", "number 1?", "number 2?"]

    app = fan(3, ask, checkpointer=reopen())
    for record in reversed(paused.interrupts):
        result = await app.aresume(config, Respond(record.reason[7]), interrupt_id=record.id)

    assert result.state.trail == ["0=0", "1=1", "2=2", "gather"]
    assert sorted(runs) == [0, 0, 1, 1, 2, 2]
