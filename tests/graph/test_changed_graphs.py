"""What a thread stands on has to be in the graph that goes on with it; all else may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pytest

from taf import END, START, AgentState, Command, EventType, ExecutionStatus, StateGraph, interrupt
from taf.checkpointer import BaseCheckpointer
from taf.errors import GraphChangedError
from taf.graph import CompiledGraph, Send
from taf.state import append
from tests.pausing.trails import Trail, asking, row, step

CONFIG = {"thread_id": "t"}


async def refused(app: CompiledGraph, match: str, answer: Any = "yes") -> None:
    """Assert that the app cannot go on with the thread, and changes nothing."""
    before = await app.aget_history(CONFIG)
    with pytest.raises(GraphChangedError, match=match):
        await app.aresume(CONFIG, answer)
    assert await app.aget_history(CONFIG) == before


def events_of(events: list[Any]) -> list[EventType]:
    return [event.event_type for event in events]


# -- what is on record -----------------------------------------------------------------------------


async def test_a_thread_that_goes_on_under_another_graph_says_so_once(store: BaseCheckpointer) -> None:
    await row("a", "b", "c").compile(store, interrupt_before=["b", "c"]).ainvoke({}, CONFIG)
    app = row("a", "b", "x", "c").compile(store, interrupt_before=["b", "c"])
    await app.ainvoke(None, CONFIG)
    await app.ainvoke(None, CONFIG)
    kinds = events_of([event async for event in app.aevents(CONFIG)])
    assert kinds.count(EventType.UPGRADED) == 1
    assert kinds.index(EventType.UPGRADED) < kinds.index(EventType.ANSWERED)


async def test_a_thread_that_goes_on_under_its_own_graph_says_nothing(store: BaseCheckpointer) -> None:
    await row("a", "b").compile(store, interrupt_before=["b"]).ainvoke({}, CONFIG)
    app = row("a", "b").compile(store, interrupt_after=["b"])
    await app.ainvoke(None, CONFIG)
    assert EventType.UPGRADED not in events_of([event async for event in app.aevents(CONFIG)])


async def test_a_new_pass_under_another_graph_is_only_a_new_pass(store: BaseCheckpointer) -> None:
    await row("a").compile(store).ainvoke({}, CONFIG)
    app = row("b").compile(store)
    assert (await app.ainvoke({}, CONFIG)).state.trail == ["a", "b"]
    assert EventType.UPGRADED not in events_of([event async for event in app.aevents(CONFIG)])


async def test_the_default_of_a_new_field_is_put_on_record_when_a_thread_goes_on(store: BaseCheckpointer) -> None:
    class More(Trail):
        tags: Annotated[list[str], append] = ["base"]

    async def tag(state: More) -> dict[str, Any]:
        return {"tags": ["b"]}

    await row("a", "b").compile(store, interrupt_before=["b"]).ainvoke({}, CONFIG)
    graph = StateGraph(More).add_node("a", step("a")).add_node("b", tag)
    assert (await graph.compile(store).ainvoke(None, CONFIG)).state.tags == ["base", "b"]

    class Other(More):
        tags: Annotated[list[str], append] = ["other"]

    again = StateGraph(Other).add_node("a", step("a")).compile(store)
    assert (await again.aget_state(CONFIG)).state.tags == ["base", "b"]


# -- nodes -----------------------------------------------------------------------------------------


async def test_a_gone_node_is_told_with_the_way_to_rename_it(store: BaseCheckpointer) -> None:
    await row("a", "b").compile(store, interrupt_before=["b"]).ainvoke({}, CONFIG)
    await refused(row("a", "c").compile(store), r'at node "b".*rename_nodes=\{"b"', True)


async def test_the_node_of_a_finished_sibling_that_is_gone_is_noticed(store: BaseCheckpointer) -> None:
    """It is done, and what comes behind it is not decided before its step is."""

    def graph(*names: str) -> StateGraph:
        built = row(*names, "end", nodes={"ask": asking("ask", "sure?")})
        for name in names:
            built.add_edge(START, name).add_edge(name, "end")
        return built

    await graph("ask", "quick").compile(store).ainvoke({}, CONFIG)
    await refused(graph("ask", "other").compile(store), 'at node "quick"')


async def test_where_a_finished_sibling_leads_has_to_be_there(store: BaseCheckpointer) -> None:
    async def lead(state: Trail) -> Command:
        return Command(goto="far")

    def graph(far: str) -> StateGraph:
        built = row("ask", "lead", far, nodes={"ask": asking("ask", "sure?"), "lead": lead})
        return built.add_edge(START, "ask").add_edge(START, "lead").add_edge("ask", END).add_edge(far, END)

    await graph("far").compile(store).ainvoke({}, CONFIG)
    await refused(graph("near").compile(store), 'at node "far"')


async def test_a_node_behind_the_thread_may_go(store: BaseCheckpointer) -> None:
    await row("a", "b", "c").compile(store, interrupt_after=["b"]).ainvoke({}, CONFIG)
    done = await row("c", "d").compile(store).ainvoke(None, CONFIG)
    assert done.state.trail == ["a", "b", "c", "d"]


# -- joins -----------------------------------------------------------------------------------------


def joined(*sources: str, extra: str = "") -> StateGraph:
    """Return a graph in which ``quick`` is there at once and ``slow`` comes after ``first``."""
    built = row(*dict.fromkeys(["quick", "first", "slow", "end", *filter(None, [extra])]))
    built.add_edge(START, "quick").add_edge(START, "first").add_edge("first", "slow")
    if extra:
        built.add_edge("end", extra)
    return built.add_edge(list(sources), "end")


async def test_a_join_that_waits_for_other_nodes_is_noticed(store: BaseCheckpointer) -> None:
    await joined("quick", "slow").compile(store, interrupt_before=["slow"]).ainvoke({}, CONFIG)
    await refused(
        joined("quick", "slow", "first").compile(store), 'join "quick.slow->end", where "quick" arrived', True
    )


async def test_a_join_whose_nodes_stand_in_another_order_is_the_same(store: BaseCheckpointer) -> None:
    await joined("quick", "slow").compile(store, interrupt_before=["slow"]).ainvoke({}, CONFIG)
    done = await joined("slow", "quick").compile(store).ainvoke(None, CONFIG)
    assert done.state.trail == ["quick", "first", "slow", "end"]


async def test_a_new_join_that_waits_for_what_lies_behind_the_thread_is_noticed(store: BaseCheckpointer) -> None:
    old = row("a", "b", "end")
    await old.compile(store, interrupt_before=["b"]).ainvoke({}, CONFIG)
    new = row("a", "b", "end").add_edge(START, "a").add_edge("a", "b").add_edge(["a", "b"], "end")
    await refused(new.compile(store), 'join "a.b->end" is new.*"a" any more', True)
    assert (await old.compile(store).ainvoke(None, CONFIG)).state.trail == ["a", "b", "end"]


async def test_a_new_join_ahead_of_the_thread_is_no_trouble(store: BaseCheckpointer) -> None:
    await row("a", "b").compile(store, interrupt_before=["a"]).ainvoke({}, CONFIG)
    new = row("a", "b", "end").add_edge(START, "a").add_edge("a", "b").add_edge(["a", "b"], "end")
    assert (await new.compile(store).ainvoke(None, CONFIG)).state.trail == ["a", "b", "end"]


async def test_an_old_join_that_nobody_has_come_to_is_no_trouble(store: BaseCheckpointer) -> None:
    graph = joined("quick", "slow", extra="more")
    await joined("quick", "slow").compile(store, interrupt_before=["slow"]).ainvoke({}, CONFIG)
    assert (await graph.compile(store).ainvoke(None, CONFIG)).state.trail[-2:] == ["end", "more"]


# -- reducers and fields ---------------------------------------------------------------------------


@pytest.mark.parametrize("reducer", [append, lambda old, new: old + new], ids=["append", "custom"])
async def test_a_finished_nodes_update_needs_the_reducer_that_it_was_made_for(
    reducer: Any, store: BaseCheckpointer
) -> None:
    class Old(AgentState):
        log: Annotated[list[str], reducer] = []

    class New(AgentState):
        log: list[str] = []

    async def quick(state: Any) -> dict[str, Any]:
        return {"log": ["quick"]}

    async def ask(state: Any) -> None:
        await interrupt("sure?")

    def graph(model: Any) -> CompiledGraph:
        built = StateGraph(model).add_node("quick", quick).add_node("ask", ask)
        return built.add_edge(START, "quick").add_edge(START, "ask").compile(store)

    await graph(Old).ainvoke({}, CONFIG)
    with pytest.raises(GraphChangedError, match='"quick" has returned field "log" for a reducer'):
        await graph(New).aresume(CONFIG, "yes")
    assert (await graph(Old).aresume(CONFIG, "yes")).state.log == ["quick"]


# -- subgraphs -------------------------------------------------------------------------------------


def child(*names: str) -> CompiledGraph:
    return row("before", *names, nodes={name: asking(name, "sure?") for name in names}).compile()


def parent(sub: Any) -> StateGraph:
    return row("sub", "end", nodes={"sub": sub})


async def test_a_node_that_was_renamed_inside_a_subgraph_is_noticed_before_anything_runs(
    store: BaseCheckpointer,
) -> None:
    await parent(child("ask")).compile(store).ainvoke({}, CONFIG)
    await refused(parent(child("demand")).compile(store), 'inside node "sub", it is at node "ask"')
    done = await parent(child("ask")).compile(store).aresume(CONFIG, "yes")
    assert done.state.trail == ["before", "ask:yes", "end"]


async def test_a_subgraph_that_grew_goes_on_inside(store: BaseCheckpointer) -> None:
    await parent(child("ask")).compile(store).ainvoke({}, CONFIG)
    bigger = row("before", "ask", "then", nodes={"ask": asking("ask", "sure?")}).compile()
    done = await parent(bigger).compile(store).aresume(CONFIG, "yes")
    assert done.state.trail == ["before", "ask:yes", "then", "end"]


async def test_a_subgraph_that_waits_cannot_become_a_function(store: BaseCheckpointer) -> None:
    await parent(child("ask")).compile(store).ainvoke({}, CONFIG)
    await refused(parent(step("sub")).compile(store), 'inside node "sub", which was a subgraph and is a function')


async def test_a_subgraph_that_was_stopped_inside_cannot_become_a_function(store: BaseCheckpointer) -> None:
    app = parent(child("ask")).compile(store)
    await app.ainvoke({}, CONFIG)
    await app.astop(CONFIG)
    with pytest.raises(GraphChangedError, match="was a subgraph"):
        await parent(step("sub")).compile(store).ainvoke(None, CONFIG)


async def test_a_function_that_asked_cannot_become_a_subgraph(store: BaseCheckpointer) -> None:
    await parent(asking("sub", "sure?")).compile(store).ainvoke({}, CONFIG)
    await refused(parent(child("ask")).compile(store), "which was a function and is a subgraph")


async def test_a_function_that_has_not_begun_may_become_a_subgraph(store: BaseCheckpointer) -> None:
    await row("a", "sub").compile(store, interrupt_before=["sub"]).ainvoke({}, CONFIG)
    app = row("a", "sub", nodes={"sub": row("inner").compile()}).compile(store)
    assert (await app.ainvoke(None, CONFIG)).state.trail == ["a", "inner"]


async def test_a_field_that_does_not_fit_inside_a_subgraph_is_noticed(store: BaseCheckpointer) -> None:
    class Text(Trail):
        own: str = "x"

    class Numbers(Trail):
        own: list[int] = []

    def graph(model: type[Trail]) -> CompiledGraph:
        inner = StateGraph(model).add_node("ask", asking("ask", "sure?")).compile()
        return parent(inner).compile(store)

    await graph(Text).ainvoke({}, CONFIG)
    await refused(graph(Numbers), 'inside node "sub", the stored value of field "own"')


# -- calls that do not go on -----------------------------------------------------------------------


async def test_an_update_from_outside_does_not_claim_a_thread_that_does_not_fit(store: BaseCheckpointer) -> None:
    old = row("a", "b").compile(store, interrupt_before=["b"])
    await old.ainvoke({}, CONFIG)
    other = row("a", "c").compile(store)
    await other.aupdate_state(CONFIG, {"note": "n"})
    await refused(other, 'at node "b"', True)
    assert (await old.ainvoke(None, CONFIG)).state.note == "n"


async def test_branches_of_send_go_on_when_nodes_are_added(store: BaseCheckpointer) -> None:
    async def ask(state: Trail) -> dict[str, Any]:
        return {"trail": [f"{state.note}:{await interrupt('sure?')}"]}

    def graph(*more: str) -> CompiledGraph:
        built = row("a", "ask", *more, nodes={"ask": ask}).add_edge(START, "a")
        built.add_conditional_edges("a", lambda state: [Send("ask", {"note": n}) for n in "xy"])
        for name in more:
            built.add_edge("ask", name)
        return built.compile(store)

    paused = await graph().ainvoke({}, CONFIG)
    app = graph("end")
    for record in paused.interrupts:
        done = await app.aresume(CONFIG, "ok", interrupt_id=record.id)
    assert (done.status, done.state.trail) == (ExecutionStatus.COMPLETED, ["a", "x:ok", "y:ok", "end"])


def shapes(graphs: Mapping[str, StateGraph]) -> set[str]:
    return {graph.compile().runtime.spec.fingerprint for graph in graphs.values()}


def test_the_fingerprint_tells_graphs_apart_and_not_their_objects() -> None:
    class More(Trail):
        more: int = 0

    graphs = {
        "row": row("a", "b"),
        "another node": row("a", "b", "c"),
        "another edge": row("a", "b").add_edge(START, "b").add_edge("a", "b"),
        "a join": row("a", "b", "c").add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c"),
        "a subgraph": row("a", "b", nodes={"b": child("x")}),
        "another subgraph": row("a", "b", nodes={"b": child("y")}),
        "another field": StateGraph(More).add_node("a", step("a")).add_node("b", step("b")),
        "a router": row("a", "b").add_edge(START, "a").add_conditional_edges("a", lambda state: "b", ["b"]),
    }
    assert len(shapes(graphs)) == len(graphs)
    assert shapes({"one": row("a", "b"), "other": row("a", "b")}) == shapes({"same": row("a", "b")})
