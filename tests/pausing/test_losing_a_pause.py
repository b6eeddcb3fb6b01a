"""A pause leaves the node, however the node's code is wrapped around the question."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from taf import ExecutionStatus as Status
from taf import RetryPolicy, StateGraph, interrupt, interrupt_sync
from taf.checkpointer import BaseCheckpointer
from taf.errors import InterruptRejectedError, InvalidAnswerError, PauseSwallowedError
from taf.state.interrupts import Reject
from tests.pausing.trails import Slow, Trail, fan, row
from tests.styles import run

CONFIG = {"thread_id": "t"}

Way = Callable[[], Awaitable[Any]]


async def ask() -> Any:
    return await interrupt("sure?", answer=YES)


def careful(value: str) -> str:
    if value != "yes":
        raise ValueError("say yes")
    return value


YES = Annotated[str, AfterValidator(careful)]
"""An answer whose JSON Schema takes any text, and whose own code takes one."""


async def plain() -> Any:
    return await ask()


async def inside_except_exception() -> Any:
    try:
        return await ask()
    except Exception:
        return "swallowed"


async def in_gather() -> Any:
    return (await asyncio.gather(ask(), asyncio.sleep(0)))[0]


async def in_gather_with_exceptions() -> Any:
    return (await asyncio.gather(ask(), asyncio.sleep(0), return_exceptions=True))[0]


async def behind_others_in_gather_with_exceptions() -> Any:
    async def late() -> Any:
        await asyncio.sleep(0.001)
        return await ask()

    return (await asyncio.gather(asyncio.sleep(0.01), late(), return_exceptions=True))[1]


async def in_task_group() -> Any:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(ask())
        group.create_task(asyncio.sleep(0))
    return asked.result()


async def in_nested_task_groups() -> Any:
    async with asyncio.TaskGroup() as outer:
        asked = outer.create_task(in_task_group())
    return asked.result()


async def in_wait_for() -> Any:
    return await asyncio.wait_for(ask(), 10)


async def in_timeout() -> Any:
    async with asyncio.timeout(10):
        return await ask()


async def in_shield() -> Any:
    return await asyncio.shield(ask())


async def in_a_task_of_its_own() -> Any:
    return await asyncio.create_task(ask())


async def in_a_thread() -> Any:
    return await asyncio.to_thread(lambda: interrupt_sync("sure?", answer=YES))


async def in_wait() -> Any:
    done, _ = await asyncio.wait([asyncio.create_task(ask())])
    return done.pop().result()


async def in_as_completed() -> Any:
    (found,) = [await coming for coming in asyncio.as_completed([ask()])]
    return found


WAYS = [
    plain,
    inside_except_exception,
    in_gather,
    in_gather_with_exceptions,
    behind_others_in_gather_with_exceptions,
    in_task_group,
    in_nested_task_groups,
    in_wait_for,
    in_timeout,
    in_shield,
    in_a_task_of_its_own,
    in_a_thread,
    in_wait,
    in_as_completed,
]

CATCHING = (inside_except_exception, in_gather_with_exceptions, behind_others_in_gather_with_exceptions)
"""Here a rejection is an exception like any other, and the node's code chose to go on with it."""


def named(way: Any) -> str:
    return str(getattr(way, "__name__", way))


def app_asking(way: Way, store: BaseCheckpointer, **options: Any) -> Any:
    async def node(state: Trail) -> dict[str, Any]:
        return {"trail": [f"answer {await way()}"]}

    graph = StateGraph(Trail).add_node("node", node, **options).add_node("next", lambda state: {"trail": ["next"]})
    return graph.compile(store)


@pytest.mark.parametrize("way", WAYS, ids=named)
async def test_the_question_is_asked_and_its_answer_arrives(way: Way, store: BaseCheckpointer) -> None:
    app = app_asking(way, store)
    paused = await app.ainvoke({}, CONFIG)
    assert (paused.status, paused.interrupt_reason, paused.state.trail) == (Status.INTERRUPTED_BEFORE, "sure?", [])
    done = await app.aresume(CONFIG, "yes")
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["answer yes", "next"])


@pytest.mark.parametrize("way", WAYS, ids=named)
async def test_it_is_so_in_every_call_style(way: Way, style: str, store: BaseCheckpointer) -> None:
    app = app_asking(way, store)
    assert (await run(app, style, {}, CONFIG)).interrupt_reason == "sure?"


@pytest.mark.parametrize("way", WAYS, ids=named)
async def test_it_is_so_in_a_node_with_retries_and_a_timeout(way: Way, store: BaseCheckpointer) -> None:
    app = app_asking(way, store, retry=RetryPolicy(initial_interval=0), timeout=10)
    assert (await app.ainvoke({}, CONFIG)).interrupt_reason == "sure?"
    assert (await app.aresume(CONFIG, "yes")).state.trail == ["answer yes", "next"]


@pytest.mark.parametrize("way", WAYS, ids=named)
async def test_it_is_so_beside_other_nodes(way: Way, store: BaseCheckpointer) -> None:
    async def node(state: Trail) -> dict[str, Any]:
        return {"trail": [f"answer {await way()}"]}

    app = fan("node", "other", nodes={"node": node}).compile(store)
    assert (await app.ainvoke({}, CONFIG)).interrupt_reason == "sure?"
    assert (await app.aresume(CONFIG, "yes")).state.trail == ["start", "answer yes", "other", "end"]


@pytest.mark.parametrize("way", [way for way in WAYS if way not in CATCHING], ids=named)
async def test_a_rejection_ends_the_run_and_is_no_error(way: Way, store: BaseCheckpointer) -> None:
    app = app_asking(way, store)
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("no"))
    assert (done.status, done.state.trail) == (Status.COMPLETED, [])


@pytest.mark.parametrize("way", WAYS, ids=named)
async def test_an_answer_that_the_type_itself_refuses_cannot_be_lost_either(way: Way, store: BaseCheckpointer) -> None:
    app = app_asking(way, store)
    (record,) = (await app.ainvoke({}, CONFIG)).interrupts
    with pytest.raises(InvalidAnswerError, match="say yes"):
        await app.aresume(CONFIG, "no")
    (still,) = (await app.aget_state(CONFIG)).interrupts
    assert (still.id, still.status) == (record.id, "open")
    assert (await app.aresume(CONFIG, "yes")).state.trail == ["answer yes", "next"]


async def test_a_node_that_swallows_the_pause_is_told_so(style: str, store: BaseCheckpointer) -> None:
    async def node(state: Trail) -> None:
        with contextlib.suppress(BaseException):
            await interrupt("sure?")

    app = row("node", nodes={"node": node}).compile(store)
    with pytest.raises(PauseSwallowedError, match=r'"node" asked "sure\?"') as caught:
        await run(app, style, {}, CONFIG)
    assert (caught.value.node, caught.value.thread_id) == ("node", "t")
    assert (await app.aget_state(CONFIG)).status is Status.ERROR


async def test_a_sync_node_that_swallows_the_pause_is_told_so(style: str, store: BaseCheckpointer) -> None:
    def node(state: Trail) -> None:
        with contextlib.suppress(BaseException):
            interrupt_sync("sure?")

    with pytest.raises(PauseSwallowedError):
        await run(row("node", nodes={"node": node}).compile(store), style, {}, CONFIG)


@pytest.mark.parametrize("way", [in_gather, in_shield, in_a_task_of_its_own, in_wait, in_wait_for], ids=named)
async def test_a_node_that_swallows_its_cancellation_is_told_so_and_the_thread_lives_on(
    way: Way, store: BaseCheckpointer
) -> None:
    async def node(state: Trail) -> dict[str, Any]:
        if state.note:
            return {"trail": ["node"]}
        with contextlib.suppress(BaseException):
            await way()
        return {}

    app = row("node", "next", nodes={"node": node}).compile(store)
    with pytest.raises(PauseSwallowedError):
        await app.ainvoke({}, CONFIG)
    done = await app.ainvoke({"note": "do not ask"}, CONFIG)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["node", "next"])


async def test_a_node_that_leaves_before_its_question_was_heard_is_told_so(style: str, store: BaseCheckpointer) -> None:
    async def node(state: Trail) -> dict[str, Any]:
        left = asyncio.create_task(ask())
        await asyncio.sleep(0)
        return {"note": str(left.done())}

    app = row("node", "next", nodes={"node": node}).compile(store)
    with pytest.raises(PauseSwallowedError):
        await run(app, style, {}, CONFIG)
    assert (await app.aget_state(CONFIG)).status is Status.ERROR


async def test_a_question_that_was_heard_too_late_does_not_disturb_the_commit() -> None:
    asking: set[asyncio.Task[Any]] = set()

    async def node(state: Trail) -> dict[str, Any]:
        if not state.note:
            asking.add(asyncio.create_task(ask()))
            await asyncio.sleep(0)
        return {"trail": ["node"]}

    app = row("node", "next", nodes={"node": node}).compile(Slow())
    with pytest.raises(PauseSwallowedError):
        await app.ainvoke({}, CONFIG)
    assert (await app.aget_state(CONFIG)).status is Status.ERROR
    assert (await app.ainvoke({"note": "do not ask"}, CONFIG)).state.trail == ["node", "next"]


async def test_a_swallowed_pause_is_not_tried_again(store: BaseCheckpointer) -> None:
    tries: list[int] = []

    async def node(state: Trail) -> None:
        tries.append(1)
        with contextlib.suppress(BaseException):
            await interrupt("sure?")

    app = StateGraph(Trail).add_node("node", node, retry=RetryPolicy(initial_interval=0)).compile(store)
    with pytest.raises(PauseSwallowedError):
        await app.ainvoke({}, CONFIG)
    assert tries == [1]


async def test_a_lambda_that_calls_an_async_function_cannot_lose_it_either(store: BaseCheckpointer) -> None:
    async def node(state: Trail) -> dict[str, Any]:
        return {"trail": [f"answer {await in_gather_with_exceptions()}"]}

    def disguised(state: Trail) -> Any:
        return node(state)

    app = row("node", nodes={"node": disguised}).compile(store)
    assert (await app.ainvoke({}, CONFIG)).interrupt_reason == "sure?"
    assert (await app.aresume(CONFIG, "yes")).state.trail == ["answer yes"]


async def test_two_questions_of_one_gather_are_both_open(store: BaseCheckpointer) -> None:
    async def node(state: Trail) -> dict[str, Any]:
        found = await asyncio.gather(interrupt("one?"), interrupt("two?"))
        return {"trail": [str(found)]}

    app = row("node", nodes={"node": node}).compile(store)
    result = await app.ainvoke({}, CONFIG)
    answers = {"one?": 1, "two?": 2}
    while result.interrupted:
        record = result.interrupts[-1]
        result = await app.aresume(CONFIG, answers.pop(record.reason), interrupt_id=record.id)
    assert (result.state.trail, answers) == (["[1, 2]"], {})


async def test_what_a_node_does_on_its_way_out_is_done(store: BaseCheckpointer) -> None:
    left: list[str] = []

    async def node(state: Trail) -> None:
        try:
            await asyncio.gather(ask(), asyncio.sleep(5))
        finally:
            await asyncio.sleep(0)
            left.append("closed")

    app = row("node", nodes={"node": node}).compile(store)
    assert (await app.ainvoke({}, CONFIG)).interrupted
    assert left == ["closed"]


async def test_an_error_on_the_way_out_is_raised(store: BaseCheckpointer) -> None:
    async def node(state: Trail) -> None:
        try:
            await ask()
        finally:
            raise ConnectionError("closing failed")

    app = row("node", nodes={"node": node}).compile(store)
    with pytest.raises(ConnectionError):
        await app.ainvoke({}, CONFIG)


async def test_an_error_beside_a_question_in_a_task_group_is_raised(store: BaseCheckpointer) -> None:
    async def fail() -> None:
        raise ConnectionError("beside")

    async def node(state: Trail) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ask())
            group.create_task(fail())

    app = row("node", nodes={"node": node}).compile(store)
    with pytest.raises(ExceptionGroup) as caught:
        await app.ainvoke({}, CONFIG)
    assert [type(error) for error in caught.value.exceptions] == [ConnectionError]
    assert (await app.aget_state(CONFIG)).status is Status.ERROR


async def test_a_rejection_may_be_caught_and_dealt_with(store: BaseCheckpointer) -> None:
    async def node(state: Trail) -> dict[str, Any]:
        try:
            await ask()
        except InterruptRejectedError as rejected:
            return {"trail": [f"rejected by {rejected.by}: {rejected.reason}"]}
        return {"trail": ["accepted"]}

    app = row("node", "next", nodes={"node": node}).compile(store)
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, Reject("too dear"), by="alice")
    assert done.state.trail == ["rejected by alice: too dear", "next"]
