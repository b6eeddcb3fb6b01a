"""``recursion_limit`` counts the steps of one pass."""

from __future__ import annotations

from typing import Any

import pytest

from taf.checkpointer import BaseCheckpointer
from taf.errors import RecursionLimitError
from taf.graph import END, START, StateGraph
from taf.state import ExecutionStatus
from tests.graph.trail import Trail, graph_of, visit
from tests.styles import run


def chain(length: int, **options: Any) -> Any:
    return graph_of(*[f"n{number}" for number in range(length)]).compile(**options)


@pytest.mark.parametrize("length", [1, 2, 5])
async def test_n_nodes_in_a_row_need_n(store: BaseCheckpointer, style: str, length: int) -> None:
    config = {"thread_id": "t", "recursion_limit": length}

    result = await run(chain(length, checkpointer=store), style, {}, config)

    assert (result.status, result.step) == (ExecutionStatus.COMPLETED, length)


async def test_one_less_is_an_error_that_names_what_would_be_next(store: BaseCheckpointer, style: str) -> None:
    app, config = chain(5, checkpointer=store), {"thread_id": "t", "recursion_limit": 4}

    with pytest.raises(
        RecursionLimitError, match=r"made 4 steps, its recursion_limit, and would go on with n4"
    ) as caught:
        await run(app, style, {}, config)

    assert (caught.value.limit, caught.value.next, caught.value.thread_id) == (4, ("n4",), "t")
    snapshot = await app.aget_state(config)
    assert (snapshot.status, snapshot.next, snapshot.step) == (ExecutionStatus.ERROR, ("n4",), 4)
    assert snapshot.state.trail == ["n0", "n1", "n2", "n3"]


async def test_a_resume_with_a_higher_limit_goes_on_counting(store: BaseCheckpointer, style: str) -> None:
    app = chain(6, checkpointer=store)
    for limit in (2, 4):
        with pytest.raises(RecursionLimitError, match=f"made {limit} steps"):
            await run(app, style, None if limit > 2 else {}, {"thread_id": "t", "recursion_limit": limit})

    result = await run(app, style, None, {"thread_id": "t", "recursion_limit": 6})

    assert (result.step, result.state.trail) == (6, [f"n{number}" for number in range(6)])


async def test_a_resume_with_the_same_limit_fails_again_and_runs_nothing(store: BaseCheckpointer) -> None:
    app, config = chain(3, checkpointer=store), {"thread_id": "t", "recursion_limit": 2}
    for _ in range(2):
        with pytest.raises(RecursionLimitError):
            await app.ainvoke(None, config)

    assert (await app.aget_state(config)).state.trail == ["n0", "n1"]


async def test_a_pause_does_not_begin_the_count_again(store: BaseCheckpointer, style: str) -> None:
    app = chain(4, checkpointer=store, interrupt_before=["n2"])
    config = {"thread_id": "t", "recursion_limit": 3}
    await run(app, style, {}, config)

    with pytest.raises(RecursionLimitError, match="n3"):
        await run(app, style, None, config)


async def test_a_new_pass_counts_from_the_beginning(store: BaseCheckpointer) -> None:
    app, config = chain(3, checkpointer=store), {"thread_id": "t", "recursion_limit": 3}
    await app.ainvoke({}, config)

    assert (await app.ainvoke({}, config)).step == 3


async def test_parallel_nodes_are_one_step_and_all_are_named() -> None:
    graph = graph_of("a", "b", "c", "d").set_entry_point("a")
    for source, target in ("ab", "ac", "bd", "cd"):
        graph.add_edge(source, target)
    app = graph.compile()

    with pytest.raises(RecursionLimitError) as caught:
        await app.ainvoke({}, {"recursion_limit": 1})

    assert caught.value.next == ("b", "c")
    assert (await app.ainvoke({}, {"recursion_limit": 3})).step == 3


async def test_an_endless_loop_ends_at_a_hundred_when_nothing_is_said(store: BaseCheckpointer, style: str) -> None:
    app = graph_of("a").add_edge(START, "a").add_edge("a", "a").compile(checkpointer=store)

    with pytest.raises(RecursionLimitError, match="made 100 steps"):
        await run(app, style, {}, {"thread_id": "t"})


async def test_a_loop_that_ends_just_in_time_is_complete() -> None:
    graph = graph_of("a").add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: "a" if len(state.trail) < 100 else END)

    assert (await graph.compile().ainvoke({})).step == 100


async def test_a_breakpoint_behind_the_last_step_pauses_and_needs_no_further_step(store: BaseCheckpointer) -> None:
    app = chain(2, checkpointer=store, interrupt_after=["n1"])
    config = {"thread_id": "t", "recursion_limit": 2}
    assert (await app.ainvoke({}, config)).status is ExecutionStatus.INTERRUPTED_AFTER

    assert (await app.ainvoke(None, config)).status is ExecutionStatus.COMPLETED


async def test_a_subgraph_counts_its_own_steps() -> None:
    graph = StateGraph(Trail).add_node("inner", chain(3)).add_node("end", visit("end"))

    result = await graph.compile().ainvoke({}, {"recursion_limit": 3})

    assert (result.step, result.state.trail) == (2, ["n0", "n1", "n2", "end"])
