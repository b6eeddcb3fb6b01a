"""Parallel branches: they meet where they should, and merge in the order in which they are declared."""

from __future__ import annotations

import asyncio
import operator
import threading
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from taf.checkpointer import BaseCheckpointer
from taf.errors import UpdateConflictError
from taf.graph import END, START, Command, Send, StateGraph
from taf.state import AgentState, ExecutionStatus, Message, merge, replace
from tests.graph.trail import Trail, graph_of, visit_sync
from tests.styles import run


async def test_a_diamond_runs_its_join_once(store: BaseCheckpointer, style: str) -> None:
    graph = graph_of("a", "b", "c", "d").set_entry_point("a")
    for source, target in ("ab", "ac", "bd", "cd"):
        graph.add_edge(source, target)

    result = await run(graph.compile(checkpointer=store), style, {}, {"thread_id": "t"})

    assert (result.state.trail, result.step) == (["a", "b", "c", "d"], 3)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_results_are_merged_in_declared_order_though_they_finish_backwards(
    store: BaseCheckpointer, style: str, kind: str
) -> None:
    names = ["n0", "n1", "n2", "n3"]
    finished: list[str] = []

    def in_thread(index: int, gates: list[threading.Event]) -> Any:
        def node(state: Trail) -> dict[str, Any]:
            assert gates[index + 1].wait(10)
            finished.append(names[index])
            gates[index].set()
            return {"trail": names[index]}

        return node

    def on_loop(index: int, gates: list[threading.Event]) -> Any:
        async def node(state: Trail) -> dict[str, Any]:
            async with asyncio.timeout(10):
                while not gates[index + 1].is_set():
                    await asyncio.sleep(0)
            finished.append(names[index])
            gates[index].set()
            return {"trail": names[index]}

        return node

    gates = [threading.Event() for _ in range(5)]
    gates[-1].set()
    graph = StateGraph(Trail)
    for index, name in enumerate(names):
        graph.add_node(name, (on_loop if kind == "async" else in_thread)(index, gates)).add_edge(START, name)

    result = await run(graph.compile(checkpointer=store), style, {}, {"thread_id": "t"})

    assert finished == names[::-1]
    assert result.state.trail == names


async def test_edges_not_nodes_declare_the_order_of_branches() -> None:
    graph = graph_of("a", "b", "c").add_edge(START, "c").add_edge(START, "a").add_edge(START, "b")

    assert (await graph.compile().ainvoke({})).state.trail == ["c", "a", "b"]


async def test_branches_do_not_see_what_the_others_write_in_the_same_step() -> None:
    seen: list[list[str]] = []

    def look(name: str) -> Any:
        async def node(state: Trail) -> dict[str, Any]:
            state.trail.append(f"{name} only")
            await asyncio.sleep(0)
            seen.append(list(state.trail))
            return {}

        return node

    graph = (
        StateGraph(Trail).add_node("a", look("a")).add_node("b", look("b")).add_edge(START, "a").add_edge(START, "b")
    )
    await graph.compile().ainvoke({})

    assert sorted(seen) == [["a only"], ["b only"]]


async def test_branches_of_unequal_length_meet_twice_without_a_join() -> None:
    graph = graph_of("a", "b", "c", "d").set_entry_point("a")
    for source, target in ("ab", "ac", "bd", "cb"):
        graph.add_edge(source, target)

    assert (await graph.compile().ainvoke({})).state.trail == ["a", "b", "c", "d", "b", "d"]


async def test_a_join_waits_for_the_longest_branch_and_runs_once(store: BaseCheckpointer, style: str) -> None:
    graph = graph_of("a", "short", "long1", "long2", "long3", "join").set_entry_point("a")
    graph.add_edge("a", "short").add_edge("a", "long1").add_edge("long1", "long2").add_edge("long2", "long3")
    graph.add_edge(["short", "long3"], "join").add_edge("join", END)

    result = await run(graph.compile(checkpointer=store), style, {}, {"thread_id": "t"})

    assert result.state.trail == ["a", "short", "long1", "long2", "long3", "join"]
    assert result.step == 5


async def test_a_join_of_sources_that_all_arrive_in_one_step_runs_once() -> None:
    graph = graph_of("a", "b", "join").set_entry_point("a").set_entry_point("b").add_edge(["a", "b"], "join")

    assert (await graph.compile().ainvoke({})).state.trail == ["a", "b", "join"]


async def test_a_join_that_never_completes_does_not_run_and_the_run_ends() -> None:
    graph = graph_of("a", "b", "c", "join").set_entry_point("a")
    graph.add_conditional_edges("a", lambda state: "b").add_edge(["b", "c"], "join")

    result = await graph.compile().ainvoke({})

    assert (result.state.trail, result.status) == (["a", "b"], ExecutionStatus.COMPLETED)


async def test_a_half_full_join_is_forgotten_by_the_next_pass(store: BaseCheckpointer) -> None:
    ways = iter(["b", "c"])
    graph = graph_of("a", "b", "c", "join").set_entry_point("a")
    graph.add_conditional_edges("a", lambda state: next(ways)).add_edge(["b", "c"], "join")
    app = graph.compile(checkpointer=store)
    await app.ainvoke({}, {"thread_id": "t"})

    assert (await app.ainvoke({}, {"thread_id": "t"})).state.trail == ["a", "b", "a", "c"]


async def test_a_join_in_a_loop_waits_again_in_each_round(store: BaseCheckpointer, style: str) -> None:
    graph = graph_of("fan", "short", "long1", "long2", "join").set_entry_point("fan")
    graph.add_edge("fan", "short").add_edge("fan", "long1").add_edge("long1", "long2")
    graph.add_edge(["short", "long2"], "join")
    graph.add_conditional_edges("join", lambda state: "fan" if state.trail.count("join") < 3 else END)

    result = await run(graph.compile(checkpointer=store), style, {}, {"thread_id": "t"})

    assert result.state.trail == ["fan", "short", "long1", "long2", "join"] * 3


async def test_a_join_that_has_run_waits_for_all_its_sources_again() -> None:
    turns = iter(["b", "b", END])
    graph = graph_of("a", "b", "turn", "join").set_entry_point("a").add_edge("a", "turn").add_edge("b", "turn")
    graph.add_conditional_edges("turn", lambda state: next(turns)).add_edge(["a", "b"], "join")

    assert (await graph.compile().ainvoke({})).state.trail == ["a", "turn", "b", "turn", "join", "b", "turn"]


async def test_a_source_that_left_by_a_command_does_not_arrive_at_the_join() -> None:
    async def leave(state: Trail) -> Command:
        return Command(update={"trail": "leave"}, goto="other")

    graph = graph_of("b", "other", "join").add_node("leave", leave)
    graph.add_edge(START, "leave").add_edge(START, "b").add_edge(["leave", "b"], "join")

    assert (await graph.compile().ainvoke({})).state.trail == ["leave", "b", "other"]


async def test_joins_that_share_a_source_each_run_once() -> None:
    graph = graph_of("a", "b", "c", "ab", "ac").add_edge(START, "a").add_edge(START, "b").add_edge("b", "c")
    graph.add_edge(["a", "b"], "ab").add_edge(["a", "c"], "ac")

    assert (await graph.compile().ainvoke({})).state.trail == ["a", "b", "c", "ab", "ac"]


async def test_a_join_waits_through_a_pause_and_another_object_on_the_store(
    store: BaseCheckpointer, reopen: Any, style: str
) -> None:
    graph = graph_of("a", "short", "long1", "long2", "join").set_entry_point("a")
    graph.add_edge("a", "short").add_edge("a", "long1").add_edge("long1", "long2").add_edge(["short", "long2"], "join")
    config = {"thread_id": "t"}
    await run(graph.compile(checkpointer=store, interrupt_before=["long2"]), style, {}, config)

    result = await run(graph.compile(checkpointer=reopen(), interrupt_before=["long2"]), style, None, config)

    assert result.state.trail == ["a", "short", "long1", "long2", "join"]


async def test_a_list_with_one_source_is_a_plain_edge() -> None:
    assert (await graph_of("a", "b").set_entry_point("a").add_edge(["a"], "b").compile().ainvoke({})).step == 2


# -- two nodes, one field --------------------------------------------------------------------------


def both_return(first: Any, second: Any, model: type[BaseModel] = Trail) -> Any:
    graph = StateGraph(model).add_node("one", first).add_node("two", second)
    return graph.add_edge(START, "one").add_edge(START, "two").compile()


async def test_two_writers_of_a_plain_field_are_named_with_the_field_and_the_cure(store: BaseCheckpointer) -> None:
    graph = StateGraph(Trail).add_node("one", lambda state: {"last": "1"}).add_node("two", lambda state: {"last": "2"})
    app = graph.add_edge(START, "one").add_edge(START, "two").compile(checkpointer=store)

    with pytest.raises(UpdateConflictError, match=r'"one" and "two" .* field "last".*reducer.*Annotated') as caught:
        await app.ainvoke({}, {"thread_id": "t"})

    assert (caught.value.field, caught.value.nodes) == ("last", ("one", "two"))
    snapshot = await app.aget_state({"thread_id": "t"})
    assert (snapshot.status, snapshot.state.last) == (ExecutionStatus.ERROR, "")


async def test_a_conflict_is_one_also_when_both_write_the_same() -> None:
    with pytest.raises(UpdateConflictError):
        await both_return(lambda state: {"last": "x"}, lambda state: {"last": "x"}).ainvoke({})


async def test_two_branches_of_one_node_conflict_as_two_nodes_do() -> None:
    graph = StateGraph(Trail).add_node("work", lambda state: {"last": str(state.number)})
    graph.add_conditional_edges(START, lambda state: [Send("work", {"number": n}) for n in (1, 2)])

    with pytest.raises(UpdateConflictError, match='"work" and "work"'):
        await graph.compile().ainvoke({})


async def test_different_fields_do_not_conflict() -> None:
    result = await both_return(lambda state: {"last": "x"}, lambda state: {"number": 3}).ainvoke({})

    assert (result.state.last, result.state.number) == ("x", 3)


async def test_states_changed_in_place_conflict_only_where_both_changed_them() -> None:
    def number(state: Trail) -> Trail:
        state.number = 3
        return state

    def last(state: Trail) -> Trail:
        state.last = "x"
        return state

    result = await both_return(number, last).ainvoke({})
    assert (result.state.last, result.state.number) == ("x", 3)
    with pytest.raises(UpdateConflictError, match='"number"'):
        await both_return(number, number).ainvoke({})


async def test_lists_grown_in_place_by_two_branches_are_joined() -> None:
    def grow(name: str) -> Any:
        def node(state: Trail) -> Trail:
            state.trail.append(name)
            return state

        return node

    result = await both_return(grow("one"), grow("two")).ainvoke({"trail": ["input"]})

    assert result.state.trail == ["input", "one", "two"]


async def test_a_list_set_whole_beside_a_writer_is_a_conflict_that_says_what_to_do() -> None:
    def shorten(state: Trail) -> Trail:
        state.trail = []
        return state

    with pytest.raises(UpdateConflictError, match=r"return \{\.\.\.\} with what is new"):
        await both_return(shorten, visit_sync("two")).ainvoke({"trail": ["input"]})


class Reduced(AgentState):
    total: Annotated[int, operator.add] = 0
    best: Annotated[int, max] = 0
    joined: Annotated[list[int], operator.add] = []
    table: Annotated[dict[str, int], merge] = {}
    newest: Annotated[str, replace] = ""


async def test_each_reducer_joins_what_parallel_branches_return() -> None:
    one = {"total": 1, "best": 9, "joined": [1], "table": {"a": 1, "b": 1}, "newest": "one"}
    two = {"total": 2, "best": 4, "joined": [2, 3], "table": {"b": 2}, "newest": "two"}

    state = (await both_return(lambda state: one, lambda state: two, Reduced).ainvoke({"total": 10})).state

    assert (state.total, state.best, state.joined) == (13, 9, [1, 2, 3])
    assert (state.table, state.newest) == ({"a": 1, "b": 2}, "two")


async def test_messages_of_parallel_branches_are_joined_in_declared_order() -> None:
    result = await both_return(
        lambda state: Message.text_message("one"), lambda state: [Message.text_message("two")]
    ).ainvoke({"messages": [Message.text_message("input")]})

    assert [message.text() for message in result.messages] == ["input", "one", "two"]


async def test_the_first_error_of_a_branch_is_raised_and_the_others_results_are_kept(store: BaseCheckpointer) -> None:
    runs: list[str] = []
    broken = [True]

    async def good(state: Trail) -> dict[str, Any]:
        runs.append("good")
        return {"trail": "good"}

    async def bad(state: Trail) -> dict[str, Any]:
        runs.append("bad")
        await asyncio.sleep(0)
        if broken:
            raise LookupError("bad")
        return {"trail": "bad"}

    graph = StateGraph(Trail).add_node(bad).add_node(good).add_edge(START, "bad").add_edge(START, "good")
    app = graph.compile(checkpointer=store)
    with pytest.raises(LookupError) as caught:
        await app.ainvoke({}, {"thread_id": "t"})
    assert caught.value.node == "bad"
    broken.clear()

    result = await app.ainvoke(None, {"thread_id": "t"})

    assert (result.state.trail, runs) == (["bad", "good"], ["bad", "good", "bad"])
