"""Conditional edges: what a router sees, and what it may answer."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest

from taf.checkpointer import BaseCheckpointer
from taf.errors import InvalidUpdateError, OutsideNodeError
from taf.graph import END, START, CompiledGraph, Context, Send, StateGraph, interrupt_sync
from taf.state import ExecutionStatus
from tests.graph.trail import Trail, graph_of, visit
from tests.styles import run


def routed(router: Any, path_map: Any = None, **options: Any) -> CompiledGraph:
    """a, then wherever the router says among b, c and d."""
    graph = graph_of("a", "b", "c", "d").set_entry_point("a")
    return graph.add_conditional_edges("a", router, path_map).compile(**options)


async def trail(app: CompiledGraph, given: Any = None, **config: Any) -> list[str]:
    return list((await app.ainvoke(given or {}, config)).state.trail)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_router_names_the_next_node(store: BaseCheckpointer, style: str, is_async: bool) -> None:
    def choose(state: Trail) -> str:
        return "c"

    async def choose_later(state: Trail) -> str:
        await asyncio.sleep(0)
        return "c"

    app = routed(choose_later if is_async else choose, checkpointer=store)
    result = await run(app, style, {}, {"thread_id": "t"})

    assert result.state.trail == ["a", "c"]
    assert result.status is ExecutionStatus.COMPLETED


async def test_a_sync_router_may_return_something_to_await() -> None:
    async def choose(state: Trail) -> str:
        return "c"

    def choose_soon(state: Trail) -> Any:
        return choose(state)

    assert await trail(routed(choose_soon)) == ["a", "c"]


ANSWERS: list[tuple[Any, list[str]]] = [
    (END, ["a"]),
    ([], ["a"]),
    ((), ["a"]),
    ([END], ["a"]),
    (["b", "d"], ["a", "b", "d"]),
    (("d", "b"), ["a", "d", "b"]),
    (["b", "b"], ["a", "b"]),
    (["b", END], ["a", "b"]),
    (Send("b", {}), ["a", "b"]),
    ([Send("b", {}), Send("b", {})], ["a", "b", "b"]),
    ([Send("b", {}), "c", Send(END, {})], ["a", "b", "c"]),
    ({"b"}, ["a", "b"]),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS, ids=[repr(answer)[:40] for answer, _ in ANSWERS])
async def test_a_router_may_answer_with(answer: Any, expected: list[str]) -> None:
    assert await trail(routed(lambda state: answer)) == expected


@pytest.mark.parametrize("answer", [None, 3, True, {"b": 1}, ["b", None], object()])
async def test_any_other_answer_is_an_error_that_names_the_router_and_the_cure(answer: Any) -> None:
    with pytest.raises(InvalidUpdateError, match=r'The router behind "a" returned .* Return the name of a node'):
        await trail(routed(lambda state: answer))


async def test_an_unknown_node_is_told_the_nearest() -> None:
    graph = graph_of("a", "publish").set_entry_point("a").add_conditional_edges("a", lambda state: "publsh")

    with pytest.raises(InvalidUpdateError, match=r'router behind "a" leads to "publsh".*Did you mean "publish"'):
        await trail(graph.compile())


async def test_a_bad_answer_leaves_the_thread_in_error_and_the_step_can_be_run_again(store: BaseCheckpointer) -> None:
    answers = ["nowhere", "b"]
    app = routed(lambda state: answers.pop(0), checkpointer=store)

    with pytest.raises(InvalidUpdateError):
        await app.ainvoke({}, {"thread_id": "t"})
    assert (await app.aget_state({"thread_id": "t"})).status is ExecutionStatus.ERROR

    assert (await app.ainvoke(None, {"thread_id": "t"})).state.trail == ["a", "b"]


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("yes", ["b"]), (True, ["c"]), (None, []), (Colour.RED, ["d"]), (["yes", True], ["b", "c"]), (Send("d"), ["d"])],
)
async def test_a_path_map_translates_whatever_can_be_a_key(answer: Any, expected: list[str]) -> None:
    ways = {"yes": "b", True: "c", None: END, Colour.RED: "d"}

    assert await trail(routed(lambda state: answer, ways)) == ["a", *expected]


async def test_an_answer_outside_the_path_map_is_refused_with_the_answers_there_are() -> None:
    with pytest.raises(InvalidUpdateError, match="returned 'maybe', which is not in its path_map: 'yes', 'no'"):
        await trail(routed(lambda state: "maybe", {"yes": "b", "no": "c"}))


async def test_a_path_map_may_be_a_list_of_the_nodes_that_there_are() -> None:
    assert await trail(routed(lambda state: "d", ["b", "d"])) == ["a", "d"]
    with pytest.raises(InvalidUpdateError, match="not in its path_map"):
        await trail(routed(lambda state: "c", ["b", "d"]))


async def test_a_router_sees_the_state_as_the_step_left_it() -> None:
    assert await trail(routed(lambda state: "b" if state.trail == ["a"] else "c")) == ["a", "b"]


async def test_a_router_sees_what_the_parallel_branches_of_its_step_wrote_too() -> None:
    seen: list[list[str]] = []

    def look(state: Trail) -> str:
        seen.append(list(state.trail))
        return END

    graph = graph_of("a", "b").set_entry_point("a").set_entry_point("b").add_conditional_edges("a", look)
    await trail(graph.compile())

    assert seen == [["a", "b"]]


async def test_a_router_sees_the_config_and_its_run() -> None:
    def choose(state: Trail, config: dict[str, Any], ctx: Context) -> Any:
        assert ctx.thread_id == config["thread_id"] == "t"
        return config["way"]

    assert await trail(routed(choose), thread_id="t", way="d") == ["a", "d"]


async def test_a_router_cannot_change_the_state() -> None:
    def spoil(state: Trail) -> str:
        state.trail.append("spoiled")
        state.last = "spoiled"
        return "b"

    result = await routed(spoil).ainvoke({})

    assert (result.state.trail, result.state.last) == (["a", "b"], "")


async def test_start_can_be_routed_by_the_input(store: BaseCheckpointer, style: str) -> None:
    graph = graph_of("low", "high")
    graph.add_conditional_edges(START, lambda state: "high" if state.number > 5 else "low")
    app = graph.compile(checkpointer=store)

    assert (await run(app, style, {"number": 9}, {"thread_id": "1"})).state.trail == ["high"]
    assert (await run(app, style, {"number": 1}, {"thread_id": "2"})).state.trail == ["low"]


async def test_start_can_be_routed_by_an_async_router_to_several() -> None:
    async def choose(state: Trail, config: dict[str, Any]) -> list[Any]:
        return ["b", Send("a", {"number": 1})]

    graph = graph_of("a", "b").add_conditional_edges(START, choose)

    assert await trail(graph.compile()) == ["b", "a"]


async def test_a_start_that_leads_to_end_is_a_run_of_no_steps() -> None:
    result = await graph_of("a").add_conditional_edges(START, lambda state: END).compile().ainvoke({"number": 3})

    assert (result.status, result.step, result.state.number) == (ExecutionStatus.COMPLETED, 0, 3)


async def test_a_start_router_that_fails_writes_nothing(store: BaseCheckpointer) -> None:
    app = graph_of("a").add_conditional_edges(START, lambda state: "b").compile(checkpointer=store)

    with pytest.raises(InvalidUpdateError, match='router behind "__start__"'):
        await app.ainvoke({}, {"thread_id": "t"})

    assert [row.thread_id for row in await app.athreads()] == []


async def test_an_edge_and_a_router_and_another_router_all_lead_on() -> None:
    graph = graph_of("a", "b", "c", "d").set_entry_point("a").add_edge("a", "d")
    graph.add_conditional_edges("a", lambda state: "c").add_conditional_edges("a", lambda state: ["b", "d"])

    assert await trail(graph.compile()) == ["a", "d", "c", "b"]


async def test_what_a_router_raises_is_raised_as_it_is() -> None:
    def broken(state: Trail) -> str:
        raise LookupError("no way")

    with pytest.raises(LookupError, match="no way") as caught:
        await trail(routed(broken), thread_id="t")

    assert (caught.value.thread_id, caught.value.node) == ("t", "a")


async def test_a_router_cannot_ask_a_human() -> None:
    with pytest.raises(OutsideNodeError, match="interrupt_sync"):
        await trail(routed(lambda state: interrupt_sync("which way?")))


async def test_a_loop_ends_when_its_router_says_so(store: BaseCheckpointer, style: str) -> None:
    async def count(state: Trail) -> dict[str, Any]:
        return {"number": state.number + 1}

    graph = StateGraph(Trail).add_node(count).add_node("done", visit("done")).set_entry_point("count")
    graph.add_conditional_edges(
        "count", lambda state: "again" if state.number < 5 else "on", {"again": "count", "on": "done"}
    )

    result = await run(graph.compile(checkpointer=store), style, {}, {"thread_id": "t"})

    assert (result.state.number, result.step, result.state.trail) == (5, 6, ["done"])
