"""What a stop keeps: committed steps, finished siblings, and what was shown; going on runs exactly the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from taf import END, START, Context, ExecutionStatus, Message, RetryPolicy, Send, StateGraph, emit, task
from taf.checkpointer.base import BaseCheckpointer
from tests.stopping.slow import CONFIG, Slow, Trail, chain, slow_chain, step, until
from tests.styles import run


async def stopped(app: Any, slow: Slow, style: str = "ainvoke", given: Any = None) -> Any:
    """Run until ``slow`` is entered, stop, and return the result."""
    running = asyncio.create_task(run(app, style, {} if given is None else given, CONFIG))
    await slow.until_entered()
    await app.astop(CONFIG)
    return await running


async def test_committed_steps_are_kept_and_going_on_runs_the_rest(store: BaseCheckpointer, style: str) -> None:
    slow = Slow()
    async with asyncio.timeout(20), slow_chain(store, slow.in_loop) as app:
        result = await stopped(app, slow, style)
        assert (result.status, result.state.done, result.step) == (ExecutionStatus.STOPPED, ["first"], 1)
        assert (await app.aget_state(CONFIG)).next == ("slow",)

        slow.let_go.set()
        result = await run(app, style, None, CONFIG)
        assert (result.status, result.state.done) == (ExecutionStatus.COMPLETED, ["first", "slow", "last"])
        assert slow.runs == 2


async def test_new_input_after_a_stop_is_a_new_pass_on_the_kept_state(store: BaseCheckpointer, style: str) -> None:
    slow = Slow()
    async with asyncio.timeout(20), slow_chain(store, slow.in_loop) as app:
        await stopped(app, slow, style)
        slow.let_go.set()
        result = await run(app, style, {"done": ["again"]}, CONFIG)
        assert result.state.done == ["first", "again", "first", "slow", "last"]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_what_was_emitted_is_kept_and_marked(store: BaseCheckpointer, kind: str) -> None:
    slow = Slow()

    def show() -> None:
        for value in ("a", "b"):
            emit(value)
        for value in (1, 2):
            emit({"at": value}, key="progress")

    async def in_loop(state: Trail) -> None:
        show()
        await slow.in_loop(state)

    def in_thread(state: Trail, ctx: Context) -> None:
        show()
        slow.in_thread(state, ctx)

    async with asyncio.timeout(20), slow_chain(store, in_loop if kind == "async" else in_thread) as app:
        result = await stopped(app, slow)
        expected = [("slow", 1, None, "a"), ("slow", 1, None, "b"), ("slow", 1, "progress", {"at": 2})]
        assert list(result.partials) == expected
        assert (await app.aget_state(CONFIG)).partials == result.partials
        assert result["partials"] == result.partials
        told = [event async for event in app.aevents(CONFIG) if event.event_type == "stopped"]
        names = ("node", "attempt", "key", "value")
        assert [tuple(partial[name] for name in names) for partial in told[0].data["partials"]] == expected
        assert result.state.done == ["first"]

        slow.let_go.set()
        await app.ainvoke(None, CONFIG)
        assert (await app.aget_state(CONFIG)).partials == ()


async def test_a_message_that_was_emitted_comes_back_as_one(store: BaseCheckpointer, reopen: Any) -> None:
    slow, said = Slow(), Message.text_message("half a sen", role="assistant")

    async def node(state: Trail) -> None:
        emit(said, key="answer")
        await slow.in_loop(state)

    async with asyncio.timeout(20), chain(store, ("node", node)) as app, chain(reopen(), ("node", node)) as other:
        await stopped(app, slow)
        assert [partial.value for partial in (await other.aget_state(CONFIG)).partials] == [said]


async def test_what_is_shown_is_what_it_was_when_it_was_emitted(store: BaseCheckpointer) -> None:
    slow = Slow()

    async def node(state: Trail) -> None:
        words = ["one"]
        emit(words)
        words.append("two")
        await slow.in_loop(state)

    async with asyncio.timeout(20), chain(store, ("node", node)) as app:
        assert [partial.value for partial in (await stopped(app, slow)).partials] == [["one"]]


async def test_of_one_key_each_branch_has_its_own_last_value(store: BaseCheckpointer) -> None:
    slow = Slow()

    async def work(state: Trail) -> None:
        emit(state.done[-1] + "?", key="at")
        emit(state.done[-1], key="at")
        if state.done[-1] == "c":
            slow.entered.set()
        await asyncio.sleep(60)

    graph = StateGraph(Trail).add_node("work", work)
    graph.add_conditional_edges(START, lambda state: [Send("work", {"done": [name]}) for name in "abc"], ["work"])
    async with asyncio.timeout(20), graph.compile(store) as app:
        assert [partial.value for partial in (await stopped(app, slow)).partials] == ["a", "b", "c"]


def fan(store: BaseCheckpointer, nodes: dict[str, Callable[..., Any]], **options: Any) -> Any:
    graph = StateGraph(Trail)
    for name, fn in nodes.items():
        graph.add_node(name, fn).add_edge(START, name).add_edge(name, "join")
    return graph.add_node("join", step("join")).add_edge("join", END).compile(store, **options)


async def test_siblings_that_were_finished_are_kept_and_do_not_run_again(store: BaseCheckpointer, style: str) -> None:
    slow = Slow()
    ran: list[str] = []

    async def quick(state: Trail) -> dict[str, Any]:
        ran.append("quick")
        return {"done": ["quick"]}

    async def waits(state: Trail) -> dict[str, Any]:
        await until(lambda: bool(ran))
        return await slow.in_loop(state)

    async with asyncio.timeout(20), fan(store, {"quick": quick, "slow": waits}) as app:
        result = await stopped(app, slow, style)
        assert (result.state.done, (await app.aget_state(CONFIG)).next) == ([], ("slow",))
        slow.let_go.set()
        assert (await run(app, style, None, CONFIG)).state.done == ["quick", "slow", "join"]
        assert ran == ["quick"]


async def test_they_are_kept_beside_one_that_will_not_leave(store: BaseCheckpointer) -> None:
    slow, let_go = Slow(), asyncio.Event()
    ran: list[str] = []

    async def quick(state: Trail) -> dict[str, Any]:
        ran.append("quick")
        return {"done": ["quick"]}

    async def stubborn(state: Trail) -> dict[str, Any]:
        slow.entered.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return {"done": ["stubborn"]}

    async with asyncio.timeout(20), fan(store, {"quick": quick, "stubborn": stubborn}, stop_grace=0.05) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        assert (await app.astop(CONFIG))["unwinding"] == ["stubborn"]
        await running
        let_go.set()
        assert (await app.ainvoke(None, CONFIG)).state.done == ["quick", "stubborn", "join"]
        assert ran == ["quick"]


async def test_a_stop_while_a_retry_sleeps_ends_the_sleep(store: BaseCheckpointer) -> None:
    tries: list[int] = []

    async def fails(state: Trail, ctx: Context) -> None:
        tries.append(ctx.attempt)
        emit(f"try {ctx.attempt}")
        raise ConnectionError("not yet")

    graph = StateGraph(Trail).add_node("fails", fails, retry=RetryPolicy(initial_interval=60))
    async with asyncio.timeout(20), graph.compile(store) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await until(lambda: bool(tries))
        await asyncio.sleep(0.01)
        assert (await app.astop(CONFIG))["status"] == "stopped"
        result = await running
        assert (tries, [(p.attempt, p.value) for p in result.partials]) == ([1], [(1, "try 1")])


async def test_a_stop_while_a_router_awaits_keeps_the_step_that_led_to_it(store: BaseCheckpointer, style: str) -> None:
    slow = Slow()
    ran: list[str] = []

    async def node(state: Trail) -> dict[str, Any]:
        ran.append("node")
        return {"done": ["node"]}

    async def router(state: Trail) -> str:
        await slow.in_loop(state)
        return "last"

    graph = StateGraph(Trail).add_node("node", node).add_node("last", step("last"))
    graph.add_edge(START, "node").add_conditional_edges("node", router, ["last"]).add_edge("last", END)
    async with asyncio.timeout(20), graph.compile(store) as app:
        assert (await stopped(app, slow, style)).status is ExecutionStatus.STOPPED
        slow.let_go.set()
        assert (await run(app, style, None, CONFIG)).state.done == ["node", "last"]
        assert ran == ["node"]


async def test_a_stop_while_what_decides_awaits_cancels_the_pause(store: BaseCheckpointer) -> None:
    slow = Slow()

    async def decide(given: Any, record: Any) -> None:
        await slow.in_loop(Trail())

    async with asyncio.timeout(20):
        async with chain(store, ("act", step("act")), interrupt_before=["act"], decide=decide) as app:
            await app.ainvoke({}, CONFIG)
            running = asyncio.create_task(app.ainvoke({"done": ["yes"]}, CONFIG))
            await slow.until_entered()
            assert (await app.astop(CONFIG))["status"] == "stopped"
            await running
            assert (await app.aget_state(CONFIG)).status is ExecutionStatus.STOPPED


async def test_a_recorded_task_is_not_repeated_after_a_stop(store: BaseCheckpointer) -> None:
    slow = Slow()
    calls: list[str] = []

    async def node(state: Trail) -> dict[str, Any]:
        await task("charge", calls.append, "card")
        await slow.in_loop(state)
        return {"done": ["charged"]}

    async with asyncio.timeout(20), chain(store, ("node", node)) as app:
        await stopped(app, slow)
        slow.let_go.set()
        assert (await app.ainvoke(None, CONFIG)).state.done == ["charged"]
        assert calls == ["card"]


async def test_a_subgraph_goes_on_where_it_was_stopped(store: BaseCheckpointer, style: str) -> None:
    slow = Slow()
    ran: list[str] = []

    async def one(state: Trail) -> dict[str, Any]:
        ran.append("one")
        emit("shown")
        return {"done": ["one"]}

    async def two(state: Trail) -> dict[str, Any]:
        emit("half")
        return await slow.in_loop(state)

    inner = StateGraph(Trail).add_node(one).add_node(two).compile()
    async with asyncio.timeout(20), chain(store, ("inner", inner), ("last", step("last"))) as app:
        result = await stopped(app, slow, style)
        assert (result.status, result.state.done) == (ExecutionStatus.STOPPED, [])
        assert [(partial.node, partial.value) for partial in result.partials] == [("inner", "shown"), ("inner", "half")]
        slow.let_go.set()
        assert (await run(app, style, None, CONFIG)).state.done == ["one", "slow", "last"]
        assert ran == ["one"]


async def test_a_sync_node_in_a_subgraph_is_named_in_the_answer(store: BaseCheckpointer) -> None:
    slow = Slow()

    def node(state: Trail) -> None:
        slow.entered.set()
        slow.let_go.wait(10)

    inner = StateGraph(Trail).add_node("deep", node).compile()
    async with asyncio.timeout(20), chain(store, ("inner", inner)) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        assert (await app.astop(CONFIG))["unwinding"] == ["deep"]
        await running
        slow.let_go.set()
