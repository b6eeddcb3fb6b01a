"""Retries: how often, after how long, on what, and what is kept between attempts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taf.checkpointer import BaseCheckpointer
from taf.errors import ConfigError, NodeTimeoutError
from taf.graph import Context, RetryPolicy, StateGraph, interrupt, task, task_sync
from taf.state import ExecutionStatus
from tests.graph.trail import Trail
from tests.styles import run

SOON = RetryPolicy(max_attempts=3, initial_interval=0)


class Flaky:
    """Fails some times, then says which attempt it is."""

    def __init__(self, failures: int, error: type[Exception] = ConnectionError) -> None:
        self.attempts: list[int] = []
        self._failures, self._error = failures, error

    async def later(self, state: Trail, ctx: Context) -> dict[str, Any]:
        return self.now(state, ctx)

    def now(self, state: Trail, ctx: Context) -> dict[str, Any]:
        self.attempts.append(ctx.attempt)
        if len(self.attempts) <= self._failures:
            state.trail.append("of a failed attempt")
            raise self._error(f"attempt {ctx.attempt}")
        return {"trail": f"attempt {ctx.attempt}", "number": len(state.trail)}


def app_of(fn: Any, retry: RetryPolicy | None = SOON, **options: Any) -> Any:
    return StateGraph(Trail).add_node("node", fn, retry=retry).compile(**options)


@pytest.mark.parametrize("kind", ["later", "now"])
async def test_a_node_is_tried_again_until_it_succeeds(store: BaseCheckpointer, style: str, kind: str) -> None:
    flaky = Flaky(failures=2)

    result = await run(app_of(getattr(flaky, kind), checkpointer=store), style, {}, {"thread_id": "t"})

    assert (result.state.trail, result.state.number, result.step) == (["attempt 3"], 0, 1)
    assert flaky.attempts == [1, 2, 3]


@pytest.mark.parametrize("kind", ["later", "now"])
async def test_the_last_error_is_raised_when_all_attempts_failed(store: BaseCheckpointer, kind: str) -> None:
    flaky = Flaky(failures=9)
    app = app_of(getattr(flaky, kind), checkpointer=store)

    with pytest.raises(ConnectionError, match="attempt 3") as caught:
        await app.ainvoke({}, {"thread_id": "t"})

    assert caught.value.node == "node"
    assert (await app.aget_state({"thread_id": "t"})).status is ExecutionStatus.ERROR


async def test_without_a_policy_a_node_is_tried_once() -> None:
    flaky = Flaky(failures=1)
    with pytest.raises(ConnectionError):
        await app_of(flaky.later, None).ainvoke({})

    assert flaky.attempts == [1]


async def test_a_resumed_node_has_all_its_attempts_again(store: BaseCheckpointer) -> None:
    flaky = Flaky(failures=4)
    app = app_of(flaky.later, checkpointer=store)
    with pytest.raises(ConnectionError):
        await app.ainvoke({}, {"thread_id": "t"})

    assert (await app.ainvoke(None, {"thread_id": "t"})).state.trail == ["attempt 2"]


RETRY_ON: list[tuple[Any, bool]] = [
    (ConnectionError, True),
    (OSError, True),
    ((ValueError, ConnectionError), True),
    (lambda error: "attempt 1" in str(error), True),
    (ValueError, False),
    ((), False),
    (lambda error: False, False),
]


@pytest.mark.parametrize(("retry_on", "is_retried"), RETRY_ON)
async def test_retry_on_is_a_class_a_tuple_or_a_function(retry_on: Any, is_retried: bool) -> None:
    flaky = Flaky(failures=1)
    app = app_of(flaky.later, RetryPolicy(max_attempts=2, initial_interval=0, retry_on=retry_on))

    if is_retried:
        assert (await app.ainvoke({})).state.trail == ["attempt 2"]
    else:
        with pytest.raises(ConnectionError, match="attempt 1"):
            await app.ainvoke({})


def test_the_pause_grows_by_its_factor_up_to_its_bound() -> None:
    policy = RetryPolicy(max_attempts=9, initial_interval=0.5, backoff_factor=3, max_interval=10, jitter=0)

    assert [policy.pause(attempt) for attempt in range(1, 6)] == [0.5, 1.5, 4.5, 10, 10]


def test_jitter_adds_up_to_its_share_and_takes_nothing_away() -> None:
    policy = RetryPolicy(initial_interval=2, backoff_factor=1, jitter=0.5)
    pauses = [policy.pause(1) for _ in range(200)]

    assert min(pauses) >= 2
    assert max(pauses) <= 3
    assert len(set(pauses)) > 1


def test_the_pause_stays_within_its_bound_for_any_number_of_attempts() -> None:
    assert RetryPolicy(max_attempts=5000, max_interval=60, jitter=0).pause(4999) == 60


async def test_the_pause_between_attempts_is_the_policys(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr("taf.graph.runner.asyncio.sleep", note)
    policy = RetryPolicy(max_attempts=4, initial_interval=1, backoff_factor=2, jitter=0)
    await app_of(Flaky(failures=3).later, policy).ainvoke({})

    assert pauses == [1, 2, 4]


@pytest.mark.parametrize(
    "wrong",
    [{"max_attempts": 0}, {"initial_interval": -1}, {"backoff_factor": -1}, {"max_interval": -1}, {"jitter": -0.1}],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RetryPolicy(**wrong)


async def test_what_a_task_returned_is_kept_for_the_next_attempt(store: BaseCheckpointer, style: str) -> None:
    calls: list[str] = []

    def pay(amount: int) -> str:
        calls.append("pay")
        return f"receipt {amount}"

    async def node(state: Trail, ctx: Context) -> dict[str, Any]:
        receipt = await task("pay", pay, 5)
        if ctx.attempt < 3:
            raise ConnectionError
        return {"trail": receipt}

    result = await run(app_of(node, checkpointer=store), style, {}, {"thread_id": "t"})

    assert (result.state.trail, calls) == (["receipt 5"], ["pay"])


async def test_what_a_task_returned_is_kept_in_sync_nodes_too(store: BaseCheckpointer, style: str) -> None:
    calls: list[str] = []

    def node(state: Trail, ctx: Context) -> dict[str, Any]:
        receipt = task_sync("pay", lambda: calls.append("pay") or "receipt")
        if ctx.attempt < 2:
            raise ConnectionError
        return {"trail": receipt}

    result = await run(app_of(node, checkpointer=store), style, {}, {"thread_id": "t"})

    assert (result.state.trail, calls) == (["receipt"], ["pay"])


async def test_a_pause_is_no_failure(store: BaseCheckpointer) -> None:
    runs: list[int] = []

    async def ask(state: Trail, ctx: Context) -> dict[str, Any]:
        runs.append(ctx.attempt)
        return {"trail": await interrupt("name?", answer=str)}

    app, config = app_of(ask, checkpointer=store), {"thread_id": "t"}
    assert (await app.ainvoke({}, config)).interrupted

    assert (await app.aresume(config, "ann")).state.trail == ["ann"]
    assert runs == [1, 1]


async def test_only_the_failing_branch_is_tried_again() -> None:
    runs: list[str] = []

    async def steady(state: Trail) -> dict[str, Any]:
        runs.append("steady")
        return {"trail": "steady"}

    flaky = Flaky(failures=2)
    graph = StateGraph(Trail).add_node("steady", steady).add_node("flaky", flaky.later, retry=SOON)
    graph.set_entry_point("steady").set_entry_point("flaky")

    assert (await graph.compile().ainvoke({})).state.trail == ["steady", "attempt 3"]
    assert runs == ["steady"]


async def test_a_stop_ends_the_waiting_between_attempts(store: BaseCheckpointer) -> None:
    failed = asyncio.Event()

    async def fail(state: Trail) -> None:
        failed.set()
        raise ConnectionError

    app = app_of(fail, RetryPolicy(max_attempts=2, initial_interval=3600), checkpointer=store)
    receipt = await app.asubmit({}, {"thread_id": "t"})
    async with asyncio.timeout(10):
        await failed.wait()
        stopped = await app.astop({"thread_id": "t"})
        result = await app.ajoin({"thread_id": "t"}, receipt.run_id)

    assert (stopped["ok"], result.status) == (True, ExecutionStatus.STOPPED)


async def test_an_attempt_that_took_too_long_is_tried_again() -> None:
    async def slow(state: Trail, ctx: Context) -> dict[str, Any]:
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return {"trail": f"attempt {ctx.attempt}"}

    graph = StateGraph(Trail).add_node("slow", slow, retry=SOON, timeout=0.02)
    async with asyncio.timeout(10):
        result = await graph.compile().ainvoke({})

    assert result.state.trail == ["attempt 2"]


async def test_a_policy_may_leave_timeouts_out() -> None:
    async def slow(state: Trail) -> None:
        await asyncio.Event().wait()

    policy = RetryPolicy(initial_interval=0, retry_on=ConnectionError)
    graph = StateGraph(Trail).add_node("slow", slow, retry=policy, timeout=0.02)

    async with asyncio.timeout(10):
        with pytest.raises(NodeTimeoutError):
            await graph.compile().ainvoke({})
