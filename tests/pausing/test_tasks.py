from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from taf import ExecutionStatus as Status
from taf import RetryPolicy, interrupt, interrupt_sync, task, task_sync
from taf.checkpointer import BaseCheckpointer
from taf.errors import ConfigError, NotStorableError, OutsideNodeError
from taf.graph import StateGraph
from tests.pausing.trails import Slow, Trail, fan, loop, row
from tests.styles import run

CONFIG = {"thread_id": "t"}


class Receipt(BaseModel):
    number: int
    at: datetime


@dataclass
class Total:
    amount: int


@pytest.mark.parametrize("is_async_fn", [True, False])
async def test_a_task_runs_once_over_several_pauses(is_async_fn: bool, style: str, store: BaseCheckpointer) -> None:
    calls: list[int] = []

    def charge(amount: int, *, times: int = 1) -> int:
        calls.append(amount)
        return amount * times

    async def charge_async(amount: int, *, times: int = 1) -> int:
        await asyncio.sleep(0)
        return charge(amount, times=times)

    async def node(state: Trail) -> dict[str, Any]:
        total = await task("charge", charge_async if is_async_fn else charge, 5, times=3)
        answers = [await interrupt(f"{i}?") for i in range(3)]
        return {"note": f"{total} {answers}"}

    app = row("node", nodes={"node": node}).compile(store)
    await run(app, style, {}, CONFIG)
    for answer in "abc":
        result = await app.aresume(CONFIG, answer)
    assert (result.status, result.state.note, calls) == (Status.COMPLETED, "15 ['a', 'b', 'c']", [5])


async def test_a_task_of_a_sync_node_runs_once(style: str, store: BaseCheckpointer) -> None:
    calls: list[int] = []

    def charge(amount: int, *, times: int = 1) -> int:
        calls.append(amount)
        return amount * times

    def node(state: Trail) -> dict[str, Any]:
        total = task_sync("charge", charge, 5, times=3)
        return {"note": f"{total} {interrupt_sync('ok?')}"}

    app = row("node", nodes={"node": node}).compile(store)
    await run(app, style, {}, CONFIG)
    assert ((await app.aresume(CONFIG, "yes")).state.note, calls) == ("15 yes", [5])


async def test_a_task_is_not_run_again_by_another_app_on_the_same_store(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    calls: list[int] = []

    def charge() -> int:
        calls.append(1)
        return 7

    async def node(state: Trail) -> dict[str, Any]:
        return {"note": f"{await task('charge', charge)} {await interrupt('ok?')}"}

    graph = row("node", nodes={"node": node})
    await graph.compile(store).ainvoke({}, CONFIG)
    done = await graph.compile(reopen()).aresume(CONFIG, "yes")
    assert (done.state.note, calls) == ("7 yes", [1])


async def test_typed_results_come_back_typed(store: BaseCheckpointer) -> None:
    at, seen = datetime(2025, 1, 2, tzinfo=UTC), list[Any]()

    def receipt() -> Receipt:
        return Receipt(number=1, at=at)

    async def totals() -> dict[str, list[Total]]:
        return {"all": [Total(1), Total(2)]}

    def plain():
        return {"pair": (1, 2), "at": at, "ids": {3}}

    async def node(state: Trail) -> None:
        seen.append([await task("receipt", receipt), await task("totals", totals), await task("plain", plain)])
        await interrupt("ok?")

    app = row("node", nodes={"node": node}).compile(store)
    await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG, True)
    expected = [Receipt(number=1, at=at), {"all": [Total(1), Total(2)]}, {"pair": (1, 2), "at": at, "ids": {3}}]
    assert seen == [expected, expected]
    assert [type(one) for one in seen[1]] == [Receipt, dict, dict]


async def test_a_result_that_cannot_be_stored_is_refused_by_its_path(style: str, store: BaseCheckpointer) -> None:
    def connect() -> Any:
        return {"open": [object()]}

    async def node(state: Trail) -> None:
        await task("connect", connect)

    app = row("node", nodes={"node": node}).compile(store)
    with pytest.raises(NotStorableError, match="connect") as caught:
        await run(app, style, {}, CONFIG)
    assert "open" in caught.value.path
    assert (await app.aget_state(CONFIG)).status is Status.ERROR


async def test_what_a_task_raises_is_not_recorded(store: BaseCheckpointer) -> None:
    calls: list[int] = []

    def flaky() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("first try")
        return "second try"

    async def node(state: Trail) -> dict[str, Any]:
        return {"note": await task("flaky", flaky)}

    app = row("node", nodes={"node": node}).compile(store)
    with pytest.raises(ConnectionError):
        await app.ainvoke({}, CONFIG)
    assert (await app.ainvoke(None, CONFIG)).state.note == "second try"


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_recorded_task_is_not_repeated_by_a_retry(is_async: bool, store: BaseCheckpointer) -> None:
    calls: list[str] = []

    def charge() -> int:
        calls.append("charge")
        return 1

    def fail_once() -> None:
        calls.append("try")
        if calls.count("try") == 1:
            raise ConnectionError

    async def node(state: Trail) -> None:
        await task("charge", charge)
        fail_once()

    def node_sync(state: Trail) -> None:
        task_sync("charge", charge)
        fail_once()

    graph = StateGraph(Trail)
    graph.add_node("node", node if is_async else node_sync, retry=RetryPolicy(initial_interval=0))
    assert (await graph.compile(store).ainvoke({}, CONFIG)).status is Status.COMPLETED
    assert calls == ["charge", "try", "try"]


async def test_a_recorded_task_is_not_repeated_after_an_error(style: str, store: BaseCheckpointer) -> None:
    calls: list[str] = []

    async def node(state: Trail) -> None:
        await task("charge", lambda: calls.append("charge"))
        calls.append("try")
        if calls.count("try") == 1:
            raise ConnectionError

    app = row("node", nodes={"node": node}).compile(store)
    with pytest.raises(ConnectionError):
        await run(app, style, {}, CONFIG)
    await run(app, style, None, CONFIG)
    assert calls == ["charge", "try", "try"]


async def test_tasks_side_by_side_run_once_each(store: BaseCheckpointer) -> None:
    calls: list[int] = []

    async def fetch(number: int) -> int:
        await asyncio.sleep(0.002 * (3 - number))
        calls.append(number)
        return number * 10

    async def node(state: Trail) -> dict[str, Any]:
        found = await asyncio.gather(*(task("fetch", fetch, number) for number in range(3)))
        return {"note": f"{found} {await interrupt('ok?')}"}

    app = row("node", nodes={"node": node}).compile(store)
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, "yes")).state.note == "[0, 10, 20] yes"
    assert sorted(calls) == [0, 1, 2]


async def test_each_branch_of_a_gather_counts_its_own_tasks(store: BaseCheckpointer) -> None:
    calls: list[str] = []

    async def work(name: str, seconds: float) -> str:
        await asyncio.sleep(seconds)
        calls.append(name)
        return name

    async def branch(name: str, seconds: float) -> list[str]:
        return [await task(f"{name} {i}", work, f"{name}{i}", seconds) for i in range(2)]

    async def node(state: Trail) -> dict[str, Any]:
        found = await asyncio.gather(branch("slow", 0.01), branch("quick", 0))
        return {"note": f"{found} {await interrupt('ok?')}"}

    app = row("node", nodes={"node": node}).compile(store)
    await app.ainvoke({}, CONFIG)
    done = await app.aresume(CONFIG, "yes")
    assert done.state.note == "[['slow0', 'slow1'], ['quick0', 'quick1']] yes"
    assert sorted(calls) == ["quick0", "quick1", "slow0", "slow1"]


async def test_a_task_beside_a_question_is_recorded_or_run_again_but_the_run_goes_on(
    style: str, store: BaseCheckpointer
) -> None:
    """The question leaves the node while the task's result is on its way into the store."""

    async def at_once() -> str:
        return "done"

    async def node(state: Trail) -> dict[str, Any]:
        found = await asyncio.gather(task("work", at_once), interrupt("ok?"))
        return {"note": str(found)}

    app = row("node", nodes={"node": node}).compile(store)
    assert (await run(app, style, {}, CONFIG)).interrupt_reason == "ok?"
    assert (await app.aresume(CONFIG, "yes")).state.note == "['done', 'yes']"


async def test_a_question_does_not_tear_the_commit_of_a_task_in_two() -> None:
    calls: list[int] = []

    async def node(state: Trail) -> dict[str, Any]:
        found = await asyncio.gather(task("work", lambda: calls.append(1)), interrupt("ok?"))
        return {"note": str(found)}

    app = row("node", nodes={"node": node}).compile(Slow())
    assert (await app.ainvoke({}, CONFIG)).interrupt_reason == "ok?"
    assert (await app.aresume(CONFIG, "yes")).state.note == "[None, 'yes']"
    assert calls == [1]


async def test_tasks_of_parallel_nodes_do_not_mix(store: BaseCheckpointer) -> None:
    calls: list[str] = []

    def working(name: str) -> Callable[[Trail], Any]:
        def work() -> str:
            calls.append(name)
            return name

        async def node(state: Trail) -> dict[str, Any]:
            return {"trail": [f"{await task('work', work)} {await interrupt(name)}"]}

        return node

    app = fan("one", "two", nodes={"one": working("one"), "two": working("two")}).compile(store)
    for record in (await app.ainvoke({}, CONFIG)).interrupts:
        done = await app.aresume(CONFIG, "ok", interrupt_id=record.id)
    assert done.state.trail == ["start", "one ok", "two ok", "end"]
    assert sorted(calls) == ["one", "two"]


async def test_a_task_runs_anew_at_the_next_visit_of_its_node(store: BaseCheckpointer) -> None:
    calls: list[int] = []

    def charge() -> int:
        calls.append(1)
        return len(calls)

    async def node(state: Trail) -> dict[str, Any]:
        return {"trail": [f"{await task('charge', charge)} {await interrupt('ok?')}"]}

    app = loop("again", 3, node=node).compile(store)
    await app.ainvoke({}, CONFIG)
    for answer in "abc":
        done = await app.aresume(CONFIG, answer)
    assert done.state.trail == ["1 a", "2 b", "3 c"]


async def test_a_task_outside_a_node_is_an_error() -> None:
    with pytest.raises(OutsideNodeError, match="task"):
        await task("work", lambda: 1)
    with pytest.raises(OutsideNodeError, match="task_sync"):
        task_sync("work", lambda: 1)


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("given", [(print, 5), ("charge", 5), ("charge", "print")])
async def test_what_is_no_name_and_function_is_no_task(
    given: tuple[Any, ...], is_async: bool, store: BaseCheckpointer
) -> None:
    async def node(state: Trail) -> None:
        await task(*given)

    def sync_node(state: Trail) -> None:
        task_sync(*given)

    app = row("node", nodes={"node": node if is_async else sync_node}).compile(store)
    with pytest.raises(ConfigError, match=r'a name and a function, as in task\("charge", charge, 5\), not'):
        await app.ainvoke({}, CONFIG)
