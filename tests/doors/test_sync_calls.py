"""Sync calls from everywhere: plain threads, sync nodes, running loops, and all of them at once."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest

from taf import AgentState, CompiledGraph, ExecutionStatus, InMemoryCheckpointer, StateGraph
from taf.checkpointer.base import BaseCheckpointer
from taf.graph.app import AsyncGraph
from taf.state.reducers import append


class Trail(AgentState):
    done: Annotated[list[str], append] = []


def graph_of(**nodes: Any) -> StateGraph:
    graph = StateGraph(Trail)
    for name, fn in nodes.items():
        graph.add_node(name, fn)
    return graph


def leaf(state: Trail) -> dict[str, Any]:
    return {"done": ["leaf"]}


ASYNC = sorted(name for name in vars(AsyncGraph) if name.startswith("a") and hasattr(CompiledGraph, name[1:]))


def test_every_async_method_has_a_twin() -> None:
    methods = {name for name, _ in inspect.getmembers(CompiledGraph, inspect.isfunction) if not name.startswith("_")}
    is_async = {n for n in methods if inspect.iscoroutinefunction(getattr(CompiledGraph, n))}
    is_async |= {n for n in methods if inspect.isasyncgenfunction(getattr(CompiledGraph, n))}
    assert {name.removeprefix("a") for name in is_async} <= methods
    assert is_async >= {"ainvoke", "astream", "aresume", "astop", "aget_state", "aget_history", "aevents", "aclose"}


@pytest.mark.parametrize("name", ASYNC)
def test_the_twins_have_one_signature(name: str) -> None:
    twin, original = getattr(CompiledGraph, name[1:]), getattr(CompiledGraph, name)
    one, other = inspect.signature(twin), inspect.signature(original)
    assert one.parameters == other.parameters
    if not inspect.isasyncgenfunction(original):
        assert one.return_annotation == other.return_annotation


def test_from_a_plain_thread(store: BaseCheckpointer) -> None:
    with graph_of(leaf=leaf).compile(store) as app:
        found = []
        thread = threading.Thread(target=lambda: found.append(app.invoke({}, {"thread_id": "t"})))
        thread.start()
        thread.join(10)
        assert found[0].state.done == ["leaf"]


@pytest.mark.parametrize("outer", ["invoke", "ainvoke"])
def test_from_inside_a_sync_node_it_goes_back_to_the_loop_of_the_run(store: BaseCheckpointer, outer: str) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def says_where(state: Trail) -> None:
        loops.append(asyncio.get_running_loop())

    inner = graph_of(says_where=says_where, leaf=leaf).compile(store)

    def calls(state: Trail) -> dict[str, Any]:
        return {"done": [*inner.invoke({}, {"thread_id": "inner"}).state.done, "outer"]}

    app = graph_of(says_where=says_where, calls=calls).compile(store)
    if outer == "invoke":
        result = app.invoke({}, {"thread_id": "outer"})
    else:
        result = asyncio.run(app.ainvoke({}, {"thread_id": "outer"}))
    assert result.state.done == ["leaf", "outer"]
    assert loops[0] is loops[1]
    app.close()
    inner.close()


def test_two_deep_in_sync_nodes_and_with_a_stream(store: BaseCheckpointer) -> None:
    low = graph_of(leaf=leaf).compile(store)

    def middle_node(state: Trail) -> dict[str, Any]:
        return {"done": [*low.invoke({}, {"thread_id": "low"}).state.done, "middle"]}

    middle = graph_of(middle=middle_node).compile(store)

    def top_node(state: Trail) -> dict[str, Any]:
        last = [values for values in middle.stream({}, {"thread_id": "middle"}, stream_mode="values")][-1]
        return {"done": [*last.done, "top"]}

    with low, middle, graph_of(top=top_node).compile(store) as top:
        assert top.invoke({}, {"thread_id": "top"}).state.done == ["leaf", "middle", "top"]


async def test_from_inside_a_running_loop_it_works_and_warns(store: BaseCheckpointer) -> None:
    app = graph_of(leaf=leaf).compile(store)
    with pytest.warns(RuntimeWarning, match=r"invoke\(\) was called inside a running .*Use ainvoke\(\)") as found:
        assert app.invoke({}, {"thread_id": "t"}).state.done == ["leaf"]
    assert found[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"Use astream\(\)") as found:
        assert len(list(app.stream({}, {"thread_id": "t"}))) == 3
    assert found[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"Use aget_state\(\)"):
        assert app.get_state({"thread_id": "t"}).status is ExecutionStatus.COMPLETED
    await app.aclose()


async def test_a_warning_that_is_an_error_leaves_no_coroutine_behind(store: BaseCheckpointer) -> None:
    async with graph_of(leaf=leaf).compile(store) as app:
        for name in ("invoke", "get_history"):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises(RuntimeWarning):
                    getattr(app, name)(*([{}] if name == "invoke" else [{"thread_id": "t"}]))


@pytest.mark.parametrize("deep", [1, 2, 3])
def test_from_inside_async_nodes_however_deep(store: BaseCheckpointer, deep: int) -> None:
    apps: list[CompiledGraph] = [graph_of(leaf=leaf).compile(store)]

    def calling(below: CompiledGraph, name: str) -> Any:
        async def node(state: Trail) -> dict[str, Any]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return {"done": [*below.invoke({}, {"thread_id": name}).state.done, name]}

        return node

    for number in range(deep):
        apps.append(graph_of(node=calling(apps[-1], f"n{number}")).compile(store))
    assert apps[-1].invoke({}, {"thread_id": "top"}).state.done == ["leaf", *(f"n{number}" for number in range(deep))]
    for app in apps:
        app.close()


def test_an_app_can_call_itself_from_its_async_nodes() -> None:
    async def node(state: Trail) -> dict[str, Any]:
        if len(state.done) == 4:
            return {"done": ["end"]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inner = app.invoke({"done": [*state.done, "down"]}, {"thread_id": f"t{len(state.done)}"})
        return {"done": inner.state.done[len(state.done) :]}

    with graph_of(node=node).compile() as app:
        assert app.invoke({}, {"thread_id": "top"}).state.done == ["down"] * 4 + ["end"]


def test_one_app_serves_threads_and_loops_and_both_kinds_of_call_at_once(store: BaseCheckpointer) -> None:
    async def in_loop(state: Trail) -> dict[str, Any]:
        await asyncio.sleep(0.001)
        return {"done": ["loop"]}

    def by_loop(number: int) -> list[list[str]]:
        async def several() -> list[list[str]]:
            calls = [app.ainvoke({}, {"thread_id": f"l{number}-{n}"}) for n in range(10)]
            mixed = asyncio.to_thread(app.invoke, {}, {"thread_id": f"l{number}-mixed"})
            return [result.state.done for result in await asyncio.gather(*calls, mixed)]

        return asyncio.run(several())

    def by_thread(number: int) -> list[list[str]]:
        return [app.invoke({}, {"thread_id": f"s{number}-{n}"}).state.done for n in range(10)]

    with graph_of(in_loop=in_loop, leaf=leaf).compile(store) as app, ThreadPoolExecutor(11) as pool:
        jobs = [pool.submit(by_thread, n) for n in range(8)] + [pool.submit(by_loop, n) for n in range(3)]
        found = [done for job in jobs for done in job.result(60)]
        assert found == [["loop", "leaf"]] * (80 + 33)
        assert len(app.threads(limit=1000)) == 113


USER: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_nodes_see_the_callers_context_variables(store: BaseCheckpointer, style: str, kind: str) -> None:
    from tests.styles import run

    async def in_loop(state: Trail) -> dict[str, Any]:
        return {"done": [USER.get()]}

    def in_thread(state: Trail) -> dict[str, Any]:
        return {"done": [USER.get()]}

    token = USER.set("alice")
    try:
        async with graph_of(node=in_loop if kind == "async" else in_thread).compile(store) as app:
            assert (await run(app, style, {}, {"thread_id": "t"})).state.done == ["alice"]
    finally:
        USER.reset(token)


def test_a_node_that_ends_the_process_does_not_end_the_door() -> None:
    def leaves(state: Trail) -> None:
        if not state.done:
            raise SystemExit(3)

    with graph_of(leaves=leaves).compile(InMemoryCheckpointer()) as app:
        with pytest.raises(SystemExit):
            app.invoke({}, {"thread_id": "t"})
        assert app.invoke({"done": ["x"]}, {"thread_id": "t"}).status is ExecutionStatus.COMPLETED
