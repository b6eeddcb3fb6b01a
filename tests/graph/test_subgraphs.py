"""A compiled graph as a node: fields, errors, stops, and visits."""

from __future__ import annotations

import asyncio
import gc
import operator
import weakref
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from taf.checkpointer import BaseCheckpointer, InMemoryCheckpointer
from taf.errors import InvalidInputError
from taf.graph import END, START, Command, Context, RetryPolicy, Send, StateGraph
from taf.graph.subgraph import inner_tenant
from taf.state import AgentState, ExecutionStatus, Message, append
from tests.graph.trail import Slow, Trail, graph_of, visit
from tests.styles import run


def nested(inner: Any, name: str = "inner") -> StateGraph:
    """before → the subgraph → after."""
    graph = StateGraph(Trail).add_node("before", visit("before")).add_node(name, inner)
    return graph.add_node("after", visit("after"))


async def test_a_subgraph_shares_the_fields_of_its_parent(store: BaseCheckpointer, style: str) -> None:
    app = nested(graph_of("x", "y").compile()).compile(checkpointer=store)

    result = await run(app, style, {"trail": "input"}, {"thread_id": "t"})

    assert result.state.trail == ["input", "before", "x", "y", "after"]
    assert (result.step, result.status) == (3, ExecutionStatus.COMPLETED)


class Inner(AgentState):
    trail: Annotated[list[str], append] = []
    own: str = "default"
    count: Annotated[int, operator.add] = 0


class Outer(AgentState):
    trail: Annotated[list[str], append] = []
    count: Annotated[int, operator.add] = 0
    outer_only: str = "kept"


async def test_a_subgraph_with_another_model_gets_and_gives_back_what_both_have(
    store: BaseCheckpointer, style: str
) -> None:
    seen: list[Any] = []

    async def node(state: Inner) -> dict[str, Any]:
        seen.append((list(state.trail), state.own, state.count, hasattr(state, "outer_only")))
        return {"trail": "inner", "own": "lost", "count": 2}

    inner = StateGraph(Inner).add_node(node).compile()
    app = StateGraph(Outer).add_node("inner", inner).compile(checkpointer=store)
    state = (await run(app, style, {"trail": "input", "count": 5}, {"thread_id": "t"})).state

    assert seen == [(["input"], "default", 5, False)]
    assert (state.trail, state.count, state.outer_only, hasattr(state, "own")) == (["input", "inner"], 7, "kept", False)


async def test_messages_of_a_subgraph_join_those_of_its_parent_once() -> None:
    inner = StateGraph().add_node("say", lambda state: Message.text_message("inner")).compile()
    app = StateGraph().add_node("inner", inner).add_node("end", lambda state: Message.text_message("end")).compile()

    result = await app.ainvoke(Message.text_message("input"))

    assert [message.content for message in result.messages] == ["input", "inner", "end"]


async def test_a_plain_model_can_be_the_state_of_a_subgraph() -> None:
    class Small(BaseModel):
        last: str = ""

    inner = StateGraph(Small).add_node("set", lambda state: {"last": f"{state.last}!"}).compile()

    assert (await nested(inner).compile().ainvoke({"last": "hi"})).state.last == "hi!"


async def test_a_field_that_a_subgraph_needs_and_nobody_has_is_named() -> None:
    class Needs(AgentState):
        secret: str

    inner = StateGraph(Needs).add_node("n", lambda state: None).compile()

    with pytest.raises(InvalidInputError, match="lacks secret: Needs has no default") as caught:
        await nested(inner).compile().ainvoke({})

    assert caught.value.node == "inner"


async def test_a_subgraph_uses_its_parents_store_and_leaves_its_own_alone(store: BaseCheckpointer) -> None:
    own = InMemoryCheckpointer()
    inner = graph_of("x").compile(checkpointer=own)
    await nested(inner).compile(checkpointer=store).ainvoke({}, {"thread_id": "t"})

    assert list(await inner.athreads()) == []
    assert (await inner.ainvoke({}, {"thread_id": "t"})).state.trail == ["x"]


async def test_the_threads_of_subgraphs_are_not_listed_as_threads(store: BaseCheckpointer) -> None:
    app = nested(graph_of("x").compile()).compile(checkpointer=store)
    await app.ainvoke({}, {"thread_id": "t"})

    assert [row.thread_id for row in await app.athreads()] == ["t"]


async def test_a_thread_that_was_deleted_and_made_again_remembers_nothing_of_its_subgraphs(
    store: BaseCheckpointer,
) -> None:
    runs: list[str] = []

    async def count(state: Trail) -> dict[str, Any]:
        runs.append("count")
        return {"trail": state.last}

    app, config = nested(StateGraph(Trail).add_node(count).compile()).compile(checkpointer=store), {"thread_id": "t"}
    await app.ainvoke({"last": "old"}, config)
    assert await app.adelete_thread(config)

    assert (await app.ainvoke({"last": "new"}, config)).state.trail == ["before", "new", "after"]
    assert runs == ["count", "count"]


async def test_deleting_a_thread_leaves_nothing_of_its_subgraphs_and_all_of_others(store: BaseCheckpointer) -> None:
    app = nested(nested(graph_of("x").compile()).compile()).compile(checkpointer=store)
    for name in ("t", "t/x", "t2"):
        await app.ainvoke({}, {"thread_id": name})
    inner = inner_tenant("")
    assert len(await store.threads(inner)) == 6

    await app.adelete_thread({"thread_id": "t"})

    assert [row.thread_id for row in await app.athreads()] == ["t/x", "t2"]
    assert len(await store.threads(inner)) == 4


async def test_a_subgraph_does_not_keep_its_parents_alive() -> None:
    inner = graph_of("x").compile()
    parent = nested(inner).compile()
    await parent.ainvoke({}, while_paused="reject")
    journal = weakref.ref(parent.runtime.journal)
    del parent
    gc.collect()

    assert journal() is None


async def test_one_subgraph_can_stand_in_two_parents_and_twice_in_one(store: BaseCheckpointer) -> None:
    inner = graph_of("x").compile()
    twice = StateGraph(Trail).add_node("one", inner).add_node("two", inner).compile(checkpointer=store)
    other = StateGraph(Trail).add_node("one", inner).compile()

    assert (await twice.ainvoke({}, {"thread_id": "t"})).state.trail == ["x", "x"]
    assert (await other.ainvoke({}, {"thread_id": "t"})).state.trail == ["x"]


async def test_each_visit_of_a_subgraph_in_a_loop_begins_anew(store: BaseCheckpointer, style: str) -> None:
    class Count(AgentState):
        number: int = 0
        hidden: int = 0

    async def count(state: Count) -> dict[str, int]:
        return {"number": state.number + 1, "hidden": state.hidden + 1}

    class Parent(AgentState):
        number: int = 0

    graph = StateGraph(Parent).add_node("inner", StateGraph(Count).add_node(count).compile()).set_entry_point("inner")
    graph.add_conditional_edges("inner", lambda state: "inner" if state.number < 3 else END)
    result = await run(graph.compile(checkpointer=store), style, {}, {"thread_id": "t"})

    assert (result.state.number, result.step) == (3, 3)


async def test_a_second_pass_visits_a_subgraph_anew(store: BaseCheckpointer) -> None:
    app = nested(graph_of("x").compile()).compile(checkpointer=store)
    await app.ainvoke({}, {"thread_id": "t"})

    assert (await app.ainvoke({}, {"thread_id": "t"})).state.trail == ["before", "x", "after"] * 2


async def test_sends_to_a_subgraph_are_branches_of_their_own(store: BaseCheckpointer, style: str) -> None:
    async def tell(state: Trail) -> dict[str, Any]:
        return {"trail": f"n{state.number}"}

    inner = StateGraph(Trail).add_node(tell).add_node("more", tell).compile()
    graph = StateGraph(Trail).add_node("inner", inner)
    graph.add_conditional_edges(START, lambda state: [Send("inner", {"number": n}) for n in range(3)])

    result = await run(graph.compile(checkpointer=store), style, {"number": 77}, {"thread_id": "t"})

    assert (result.state.trail, result.state.number) == (["n0", "n0", "n1", "n1", "n2", "n2"], 77)


async def test_parallel_subgraphs_join_what_each_of_them_added() -> None:
    graph = StateGraph(Trail).add_node("one", graph_of("a", "b").compile()).add_node("two", graph_of("c").compile())
    graph.set_entry_point("one").set_entry_point("two")

    assert (await graph.compile().ainvoke({"trail": "input"})).state.trail == ["input", "a", "b", "c"]


async def test_graphs_can_be_nested_three_deep(store: BaseCheckpointer, style: str) -> None:
    app = nested(nested(nested(graph_of("x").compile()).compile()).compile()).compile(checkpointer=store)

    result = await run(app, style, {}, {"thread_id": "t"})

    assert result.state.trail == ["before"] * 3 + ["x"] + ["after"] * 3


async def test_nodes_of_a_subgraph_see_the_callers_config_and_thread() -> None:
    seen: list[Any] = []

    async def look(state: Trail, config: dict[str, Any], ctx: Context) -> None:
        seen.append((config["flavour"], ctx.thread_id, ctx.run_id, ctx.node))

    app = nested(StateGraph(Trail).add_node(look).compile()).compile()
    await app.ainvoke({}, {"thread_id": "t", "run_id": "r", "flavour": "mint"})

    assert seen == [("mint", "t", "r", "look")]


async def test_an_error_inside_is_raised_as_it_is_and_names_the_node(store: BaseCheckpointer, style: str) -> None:
    runs: list[str] = []
    broken = [True]

    async def first(state: Trail) -> dict[str, Any]:
        runs.append("first")
        return {"trail": "first"}

    async def second(state: Trail) -> dict[str, Any]:
        runs.append("second")
        if broken:
            raise LookupError("inside")
        return {"trail": "second"}

    inner = StateGraph(Trail).add_sequence([first, second]).set_entry_point("first").compile()
    app, config = nested(inner).compile(checkpointer=store), {"thread_id": "t"}
    with pytest.raises(LookupError, match="inside") as caught:
        await run(app, style, {}, config)
    assert (caught.value.thread_id, caught.value.node) == ("t", "inner")
    assert (await app.aget_state(config)).status is ExecutionStatus.ERROR
    broken.clear()

    result = await run(app, style, None, config)

    assert result.state.trail == ["before", "first", "second", "after"]
    assert runs == ["first", "second", "second"]


async def test_a_retried_subgraph_goes_on_where_it_failed(store: BaseCheckpointer) -> None:
    runs: list[str] = []

    async def first(state: Trail) -> None:
        runs.append("first")

    async def second(state: Trail) -> dict[str, Any]:
        runs.append("second")
        if runs.count("second") < 3:
            raise ConnectionError
        return {"trail": "second"}

    inner = StateGraph(Trail).add_sequence([first, second]).set_entry_point("first").compile()
    policy = RetryPolicy(max_attempts=3, initial_interval=0)
    app = StateGraph(Trail).add_node("inner", inner, retry=policy).compile(checkpointer=store)

    assert (await app.ainvoke({})).state.trail == ["second"]
    assert runs == ["first", "second", "second", "second"]


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_stop_inside_keeps_what_was_done_and_goes_on_there(
    store: BaseCheckpointer, reopen: Any, depth: int
) -> None:
    slow = Slow()

    def build(on: BaseCheckpointer) -> Any:
        inner: Any = slow.graph().compile()
        for _ in range(depth - 1):
            inner = nested(inner).compile()
        return nested(inner).compile(checkpointer=on)

    app, config = build(store), {"thread_id": "t"}
    async with asyncio.timeout(10):
        await app.asubmit({}, config)
        await slow.entered.wait()
        stopped = await app.astop(config)
        assert (stopped["ok"], stopped["status"]) == (True, "stopped")
        assert (await app.aget_state(config)).next == ("inner",)
        slow.is_slow = False
        result = await build(reopen()).ainvoke(None, config)

    assert result.state.trail == ["before"] * depth + ["first", "second"] + ["after"] * depth
    assert slow.runs == ["first", "second", "second"]


async def test_a_command_of_a_subgraphs_node_stays_within_the_subgraph() -> None:
    graph = graph_of("y").add_node("x", lambda state: Command(update={"trail": "x"}, goto=END)).set_entry_point("x")
    inner = graph.add_edge("x", "y").compile()

    assert (await nested(inner).compile().ainvoke({})).state.trail == ["before", "x", "after"]
