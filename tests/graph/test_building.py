"""The builder: nodes, edges, sequences, and what a graph without edges means."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from taf.checkpointer import BaseCheckpointer
from taf.errors import ConfigError, GraphError
from taf.graph import END, START, Command, StateGraph
from taf.state import AgentState, append
from tests.styles import run


class Trail(AgentState):
    trail: Annotated[list[str], append] = []


def visit(name: str) -> Any:
    async def node(state: Trail) -> dict[str, Any]:
        return {"trail": name}

    return node


async def first(state: Trail) -> dict[str, Any]:
    return {"trail": "first"}


def second(state: Trail) -> dict[str, Any]:
    return {"trail": "second"}


async def test_a_graph_without_edges_is_a_sequence(store: BaseCheckpointer, style: str) -> None:
    graph = StateGraph(Trail)
    for name in "cab":
        graph.add_node(name, visit(name))

    result = await run(graph.compile(checkpointer=store), style, {}, {"thread_id": "t"})

    assert result.state.trail == ["c", "a", "b"]


async def test_one_edge_makes_it_no_sequence_any_more() -> None:
    graph = StateGraph(Trail).add_node("a", visit("a")).add_node("b", visit("b")).add_edge(START, "b")

    assert (await graph.compile().ainvoke({})).state.trail == ["b"]


async def test_a_node_takes_the_name_of_its_function() -> None:
    graph = StateGraph(Trail).add_node(first).add_node(second).add_edge(START, "first").add_edge("first", "second")

    assert (await graph.compile().ainvoke({})).state.trail == ["first", "second"]


async def test_add_sequence_leads_from_each_node_to_the_next() -> None:
    graph = StateGraph(Trail).add_sequence([first, ("last", visit("last"))])
    graph.set_entry_point("first").set_finish_point("last")

    assert (await graph.compile().ainvoke({})).state.trail == ["first", "last"]


async def test_a_sequence_of_one_node_has_no_edges_and_still_runs() -> None:
    assert (await StateGraph(Trail).add_sequence([first]).compile().ainvoke({})).state.trail == ["first"]


async def test_entry_and_finish_points_are_edges_from_start_and_to_end() -> None:
    named = StateGraph(Trail).add_node(first).set_entry_point("first").set_finish_point("first").compile()
    drawn = StateGraph(Trail).add_node(first).add_edge(START, "first").add_edge("first", END).compile()

    assert named.runtime.spec.edges == drawn.runtime.spec.edges


async def test_several_entry_points_begin_side_by_side() -> None:
    graph = StateGraph(Trail).add_node("a", visit("a")).add_node("b", visit("b"))
    graph.set_entry_point("b").set_entry_point("a")

    result = await graph.compile().ainvoke({})

    assert (result.state.trail, result.step) == (["b", "a"], 1)


async def test_an_edge_drawn_twice_leads_there_once() -> None:
    graph = StateGraph(Trail).add_node(first).add_edge(START, "first").add_edge(START, "first")

    assert (await graph.compile().ainvoke({})).state.trail == ["first"]


@pytest.mark.parametrize("name", ["end", "__next__", "a#0", "x/y", "a b", "ü", "a@1", "+", "0", "state"])
async def test_any_text_can_name_a_node(store: BaseCheckpointer, name: str) -> None:
    graph = StateGraph(Trail).add_node(name, visit(name)).set_entry_point(name)
    app = graph.compile(checkpointer=store, interrupt_before=[name])

    assert (await app.ainvoke({}, {"thread_id": "t"})).current_node == name
    assert (await app.ainvoke(None, {"thread_id": "t"})).state.trail == [name]


def test_a_lambda_has_no_name_of_its_own() -> None:
    with pytest.raises(GraphError, match=r"add_node\(name, fn\)"):
        StateGraph(Trail).add_node(lambda state: None)


def test_a_name_without_a_function_is_refused() -> None:
    with pytest.raises(GraphError, match=r'add_node\("a", fn\)'):
        StateGraph(Trail).add_node("a")


@pytest.mark.parametrize("wrong", [3, "text", {"a": 1}, [first]])
def test_what_cannot_be_called_is_no_node(wrong: Any) -> None:
    with pytest.raises(GraphError, match=r'Node "a" is .* cannot be called'):
        StateGraph(Trail).add_node("a", wrong)


@pytest.mark.parametrize("seconds", [0, -1.5])
def test_a_timeout_has_to_be_above_zero(seconds: float) -> None:
    with pytest.raises(ConfigError, match='timeout of node "a"'):
        StateGraph(Trail).add_node("a", first, timeout=seconds)


@pytest.mark.parametrize("wrong", [dict, {"a": 1}, int, None])
def test_the_state_has_to_be_a_model_class(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="pydantic model class"):
        StateGraph(wrong)


async def test_a_graph_can_be_changed_after_it_was_compiled_and_the_app_stays_as_it_was() -> None:
    graph = StateGraph(Trail).add_node(first)
    app = graph.compile()
    graph.add_node(second)

    assert (await app.ainvoke({})).state.trail == ["first"]
    assert (await graph.compile().ainvoke({})).state.trail == ["first", "second"]


async def test_a_path_map_changed_after_compiling_changes_nothing() -> None:
    ways = {"on": "first"}
    graph = StateGraph(Trail).add_node(first).add_node(second)
    graph.add_conditional_edges(START, lambda state: "on", ways)
    app = graph.compile()
    ways["on"] = "second"

    assert (await app.ainvoke({})).state.trail == ["first"]


async def test_two_apps_of_one_graph_share_nothing() -> None:
    graph = StateGraph(Trail).add_node(first)
    one, other = graph.compile(), graph.compile()
    await one.ainvoke({}, {"thread_id": "t"})

    assert (await other.ainvoke({}, {"thread_id": "t"})).state.trail == ["first"]
    assert one.checkpointer is not other.checkpointer


async def test_two_graphs_run_at_once_in_one_process_without_meeting() -> None:
    meeting = asyncio.Barrier(2)

    def app(name: str) -> Any:
        async def node(state: Trail) -> dict[str, Any]:
            await meeting.wait()
            return {"trail": name}

        return StateGraph(Trail).add_node("node", node).compile()

    async with asyncio.timeout(10):
        one, other = await asyncio.gather(*(app(n).ainvoke({}, {"thread_id": "t"}) for n in ("one", "other")))

    assert (one.state.trail, other.state.trail) == (["one"], ["other"])


async def test_a_default_of_the_state_is_never_shared_between_threads() -> None:
    async def grow(state: Trail) -> Trail:
        state.trail.append("grown")
        return state

    app = StateGraph(Trail).add_node(grow).compile()

    assert [(await app.ainvoke({})).state.trail for _ in range(2)] == [["grown"], ["grown"]]
    assert Trail().trail == []


async def test_a_command_can_lead_where_no_edge_does() -> None:
    async def jump(state: Trail) -> Command:
        return Command(goto="second")

    graph = StateGraph(Trail).add_node(jump).add_node(second).set_entry_point("jump")

    assert (await graph.compile().ainvoke({})).state.trail == ["second"]
