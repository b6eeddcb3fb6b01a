from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from taf import END, START, Approve, Reject, StateGraph
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import ConfigError
from tests.pausing.trails import Trail, loop, row, step
from tests.styles import run

CONFIG = {"thread_id": "t"}


def asks(name: str, status: Status, reason: str = "look", data: Any = None, *, is_async: bool = True) -> Any:
    """Return a node that leaves its name and asks for a pause whenever it runs, as the seed's escalation node does."""

    async def ask(state: Trail) -> Trail:
        return ask_sync(state)

    def ask_sync(state: Trail) -> Trail:
        state.trail.append(name)
        state.set_interrupt(node=name, reason=reason, status=status, data=data)
        return state

    return ask if is_async else ask_sync


@pytest.mark.parametrize("is_async", [True, False])
async def test_before_commits_what_the_node_returned_and_runs_it_again_once(
    is_async: bool, style: str, store: BaseCheckpointer
) -> None:
    node = asks("ask", Status.INTERRUPTED_BEFORE, data={"amount": 1}, is_async=is_async)
    app = row("a", "ask", "b", nodes={"ask": node}).compile(store)
    paused = await run(app, style, {}, CONFIG)
    assert (paused.status, paused.current_node, paused.interrupt_reason) == (Status.INTERRUPTED_BEFORE, "ask", "look")
    assert (paused.state.trail, paused.interrupts[0].data) == (["a", "ask"], {"amount": 1})
    done = await run(app, style, {"note": "approved"}, CONFIG)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["a", "ask", "ask", "b"])


@pytest.mark.parametrize("is_async", [True, False])
async def test_after_commits_what_the_node_returned_and_goes_on_behind_it(
    is_async: bool, style: str, store: BaseCheckpointer
) -> None:
    app = row("ask", "b", nodes={"ask": asks("ask", Status.INTERRUPTED_AFTER, is_async=is_async)}).compile(store)
    paused = await run(app, style, {}, CONFIG)
    assert (paused.status, paused.state.trail) == (Status.INTERRUPTED_AFTER, ["ask"])
    done = await run(app, style, None, CONFIG)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["ask", "b"])


@pytest.mark.parametrize("status", [Status.INTERRUPTED_BEFORE, Status.INTERRUPTED_AFTER])
async def test_the_last_node_can_ask(status: Status, style: str, store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asks("ask", status)}).compile(store)
    assert (await run(app, style, {}, CONFIG)).status is status
    assert (await run(app, style, None, CONFIG)).status is Status.COMPLETED


async def test_a_node_that_returns_a_dict_can_ask_too(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> dict[str, Any]:
        state.set_interrupt("ask", "look", Status.INTERRUPTED_AFTER)
        return {"note": "returned"}

    app = row("ask", nodes={"ask": ask}).compile(store)
    paused = await app.ainvoke({}, CONFIG)
    assert (paused.status, paused.state.note) == (Status.INTERRUPTED_AFTER, "returned")


async def test_what_was_taken_back_does_not_pause(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> Trail:
        state.set_interrupt("ask", "look")
        state.clear_interrupt()
        return state

    assert (await row("ask", nodes={"ask": ask}).compile(store).ainvoke({}, CONFIG)).status is Status.COMPLETED


async def test_another_reason_asks_again(style: str, store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> Trail:
        state.trail.append("ask")
        state.set_interrupt("ask", f"look {min(len(state.trail), 3)}")
        return state

    app = row("ask", nodes={"ask": ask}).compile(store)
    reasons = [(await run(app, style, {}, CONFIG)).interrupt_reason]
    for _ in range(2):
        reasons.append((await run(app, style, None, CONFIG)).interrupt_reason)
    assert reasons == ["look 1", "look 2", "look 3"]
    assert (await run(app, style, None, CONFIG)).status is Status.COMPLETED


async def test_other_data_asks_again(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> Trail:
        state.trail.append("ask")
        state.set_interrupt("ask", "look", data={"tries": min(len(state.trail), 2)})
        return state

    app = row("ask", nodes={"ask": ask}).compile(store)
    await app.ainvoke({}, CONFIG)
    again = await app.ainvoke(None, CONFIG)
    assert (again.status, again.interrupts[0].data) == (Status.INTERRUPTED_BEFORE, {"tries": 2})
    assert (await app.ainvoke(None, CONFIG)).status is Status.COMPLETED


RICH = {
    "at": datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
    "sum": Decimal("10.50"),
    "pair": (1, {"b", "a"}),
    "raw": b"\x00\xff",
    "text": "a\x00b\ud800",
    "nothing": float("nan"),
}


@pytest.mark.parametrize("status", [Status.INTERRUPTED_BEFORE, Status.INTERRUPTED_AFTER])
async def test_data_of_rich_types_comes_back_as_it_went_in_and_does_not_ask_for_ever(
    status: Status, style: str, store: BaseCheckpointer
) -> None:
    app = row("ask", nodes={"ask": asks("ask", status, data=RICH)}).compile(store)
    paused = await run(app, style, {}, CONFIG)
    assert repr({**paused.interrupts[0].data, "pair": None}) == repr({**RICH, "pair": None})
    assert paused.interrupts[0].data["pair"] == (1, {"b", "a"})
    assert (await run(app, style, None, CONFIG)).status is Status.COMPLETED


async def test_data_that_differs_only_in_type_asks_again(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> Trail:
        state.trail.append("ask")
        state.set_interrupt("ask", "look", data=1 if len(state.trail) == 1 else True)
        return state

    app = row("ask", nodes={"ask": ask}).compile(store)
    await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke(None, CONFIG)).status is Status.INTERRUPTED_BEFORE


@pytest.mark.parametrize("status", [Status.INTERRUPTED_BEFORE, Status.INTERRUPTED_AFTER])
async def test_in_a_loop_it_pauses_at_every_visit(status: Status, style: str, store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> dict[str, Any]:
        if not state.note:
            state.set_interrupt("again", "look", status)
        return {"trail": ["again"]}

    app = loop("again", 6, node=ask).compile(store)
    result, seen = await run(app, style, {}, CONFIG), 0
    while result.interrupted:
        seen += 1
        result = await run(app, style, None, CONFIG)
    assert (seen, len(result.state.trail)) == (3 if status is Status.INTERRUPTED_BEFORE else 6, 6)


def arms(**nodes: Any) -> StateGraph:
    """``one`` leads to ``one_next``, ``two`` to ``two_next``."""
    graph = row("one", "one_next", "two", "two_next", nodes=nodes)
    for name in ("one", "two"):
        graph.add_edge(START, name).add_edge(name, f"{name}_next").add_edge(f"{name}_next", END)
    return graph


async def test_what_follows_a_sibling_waits_until_the_node_has_run_again(style: str, store: BaseCheckpointer) -> None:
    app = arms(one=asks("one", Status.INTERRUPTED_BEFORE)).compile(store)
    paused = await run(app, style, {}, CONFIG)
    assert (paused.current_node, paused.state.trail) == ("one", ["one", "two"])
    done = await run(app, style, None, CONFIG)
    assert sorted(done.state.trail) == ["one", "one", "one_next", "two", "two_next"]
    assert done.state.trail[:3] == ["one", "two", "one"]


async def test_asked_for_after_in_a_parallel_step_both_arms_go_on(style: str, store: BaseCheckpointer) -> None:
    app = arms(one=asks("one", Status.INTERRUPTED_AFTER)).compile(store)
    assert (await run(app, style, {}, CONFIG)).state.trail == ["one", "two"]
    assert (await run(app, style, None, CONFIG)).state.trail == ["one", "two", "one_next", "two_next"]


async def test_before_and_after_asked_for_in_one_step_are_both_asked(style: str, store: BaseCheckpointer) -> None:
    nodes = {"one": asks("one", Status.INTERRUPTED_BEFORE), "two": asks("two", Status.INTERRUPTED_AFTER)}
    app = arms(**nodes).compile(store)
    first = await run(app, style, {}, CONFIG)
    assert (first.status, [record.node for record in first.interrupts]) == (Status.INTERRUPTED_BEFORE, ["one"])
    second = await run(app, style, None, CONFIG)
    assert (second.status, [record.node for record in second.interrupts]) == (Status.INTERRUPTED_AFTER, ["two"])
    done = await run(app, style, None, CONFIG)
    assert sorted(done.state.trail) == ["one", "one", "one_next", "two", "two_next"]


@pytest.mark.parametrize("status", [Status.INTERRUPTED_BEFORE, Status.INTERRUPTED_AFTER])
async def test_a_breakpoint_behind_a_sibling_of_one_who_asks_is_not_lost(
    status: Status, style: str, store: BaseCheckpointer
) -> None:
    app = arms(one=asks("one", status)).compile(store, interrupt_after=["two"])
    result, nodes = await run(app, style, {}, CONFIG), list[str]()
    while result.interrupted:
        nodes += [record.node for record in result.interrupts]
        result = await run(app, style, None, CONFIG)
    assert nodes == ["one", "two"]


async def test_two_nodes_ask_in_one_step_and_each_has_its_record(store: BaseCheckpointer) -> None:
    nodes = {name: asks(name, Status.INTERRUPTED_BEFORE, f"look at {name}") for name in ("one", "two")}
    app = arms(**nodes).compile(store)
    one, two = (await app.ainvoke({}, CONFIG)).interrupts
    assert (one.reason, two.reason) == ("look at one", "look at two")
    assert (await app.aresume(CONFIG, Approve(), interrupt_id=two.id)).interrupts == (one,)
    done = await app.aresume(CONFIG, Approve(), interrupt_id=one.id)
    assert done.state.trail == ["one", "two", "one", "two", "one_next", "two_next"]


async def test_a_rejected_request_does_not_run_the_node_again_and_its_sibling_goes_on(store: BaseCheckpointer) -> None:
    app = arms(one=asks("one", Status.INTERRUPTED_BEFORE)).compile(store)
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("no"))
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["one", "two", "two_next"])


async def test_a_rejected_request_can_lead_elsewhere(store: BaseCheckpointer) -> None:
    graph = row("ask", "b", nodes={"ask": asks("ask", Status.INTERRUPTED_BEFORE)})
    graph.add_edge(START, "ask").add_edge("ask", "b").add_node("other", step("other"))
    app = graph.compile(store)
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, Reject("no", goto="other"))).state.trail == ["ask", "other"]


async def test_a_node_that_asks_and_has_a_breakpoint_after_it_pauses_at_both(
    style: str, store: BaseCheckpointer
) -> None:
    app = row("ask", "b", nodes={"ask": asks("ask", Status.INTERRUPTED_BEFORE)}).compile(store, interrupt_after=["ask"])
    assert (await run(app, style, {}, CONFIG)).interrupt_reason == "look"
    assert (await run(app, style, None, CONFIG)).status is Status.INTERRUPTED_AFTER
    assert (await run(app, style, None, CONFIG)).state.trail == ["ask", "ask", "b"]


def test_a_status_that_is_no_pause_is_refused() -> None:
    with pytest.raises(ConfigError, match='not "running"'):
        Trail().set_interrupt("a", "why", Status.RUNNING)


async def test_rejected_behind_a_sibling_of_one_who_asks_what_waited_behind_it_does_not_run(
    store: BaseCheckpointer,
) -> None:
    app = arms(one=asks("one", Status.INTERRUPTED_BEFORE)).compile(store, interrupt_after=["two"])
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG)).current_node == "two"
    done = await app.aresume(CONFIG, Reject("not further"))
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["one", "two", "one", "one_next"])
