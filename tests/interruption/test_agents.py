"""The front of a graph: messages, strategies, results, and what is left of them after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from taf import (
    BaseCheckpointer,
    InvalidInputError,
    NothingToResumeError,
    ThreadBusyError,
    UnknownThreadError,
    interrupt,
)
from taf.interruption import AgentManager, TaskStatus
from tests.interruption.clerk import Clerk
from tests.stopping.slow import until


async def test_without_a_graph_it_echoes() -> None:
    async with asyncio.timeout(10), AgentManager() as manager:
        task_id = await manager.handle_user_message("u", "hello")
        result = await manager.result("u", task_id)
        assert (result.run_id, result.messages[-1].text()) == (task_id, "hello")
        status = await manager.get_status("u")
        assert (status["status"], status["final_results"]) == ("completed", {"response": "hello"})


async def test_the_id_comes_at_once_and_the_work_goes_on_behind_it() -> None:
    clerk = Clerk()
    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        task_id = await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        assert await manager.get_partial_results("u") == {"write": {"draft": "ONE"}}
        clerk.let_go.set()
        assert (await manager.result("u", task_id)).messages[-1].text() == "done: one"
        assert await manager.get_partial_results("nobody") == {}


async def test_a_message_may_wait_for_its_turn_and_is_seen_to(store: BaseCheckpointer) -> None:
    clerk = Clerk()
    heard: list[tuple[str, str, int | None]] = []
    async with asyncio.timeout(10), clerk.compile(store) as app, AgentManager(app, strategy="enqueue") as manager:
        await manager.register_status_callback("u", lambda task: heard.append((task.query, task.status, task.position)))
        await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        ids = [await manager.handle_user_message("u", text) for text in ("two", "three")]
        waiting = await manager.pending("u")
        assert [(one.run_id, one.position) for one in waiting] == [(ids[0], 0), (ids[1], 1)]
        queued = await manager.interruptions.get_task_context("u", ids[1])
        assert queued is not None
        assert (queued.query, queued.status, queued.position) == ("three", TaskStatus.QUEUED, 1)
        await until(lambda: ("three", "queued", 1) in heard)
        clerk.let_go.set()
        assert (await manager.result("u", ids[1])).messages[-1].text() == "done: three"
        assert clerk.done == ["one", "two", "three"]


async def test_a_message_may_be_refused_and_a_rollback_forgets_what_it_replaces() -> None:
    clerk = Clerk()
    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app, strategy="reject") as manager:
        await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        with pytest.raises(ThreadBusyError):
            await manager.handle_user_message("u", "two")
        receipt = await manager.submit("u", "three", strategy="rollback")
        await clerk.until_at("three")
        clerk.let_go.set()
        result = await manager.result("u", receipt.run_id)
        assert [message.text() for message in result.messages] == ["three", "done: three"]


async def test_a_task_that_was_stopped_goes_on_when_it_is_told_to() -> None:
    clerk = Clerk()
    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        with pytest.raises(UnknownThreadError):
            await manager.resume("u")
        await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        assert await manager.interrupt("u")
        clerk.let_go.set()
        receipt = await manager.resume("u")
        assert (await manager.result("u", receipt.run_id)).messages[-1].text() == "done: one"
        assert (await manager.get_status("u"))["query"] == "one"
        with pytest.raises(NothingToResumeError):
            await manager.resume("u")


async def test_an_empty_message_is_refused() -> None:
    async with AgentManager() as manager:
        with pytest.raises(InvalidInputError, match="empty"):
            await manager.handle_user_message("u", "\n")


async def test_everything_is_there_after_a_restart(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    clerk = Clerk()
    async with asyncio.timeout(10), clerk.compile(store) as app, AgentManager(app) as manager:
        first = await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        second = await manager.handle_user_message("u", "two")
        await clerk.until_at("two")
    async with asyncio.timeout(10), clerk.compile(reopen()) as app, AgentManager(app) as manager:
        previous = await manager.interruptions.get_previous_context("u", "three")
        assert previous is not None
        assert (previous["task_id"], previous["partial_results"]) == (second, {"write": {"draft": "TWO"}})
        contexts = await manager.store.get_interrupted_contexts("u")
        assert [one["previous_query"] for one in contexts] == ["one", "two"]
        old = await manager.interruptions.get_task_context("u", first)
        assert old is not None
        assert (old.status, old.superseded_by) == (TaskStatus.INTERRUPTED, second)


async def test_a_pause_for_a_human_shows_as_a_question() -> None:
    from taf import AgentState, StateGraph

    async def ask(state: AgentState) -> dict[str, str]:
        return {"name": await interrupt("Who pays?", answer=str)}

    async with asyncio.timeout(10), StateGraph().add_node(ask).compile() as app, AgentManager(app) as manager:
        await manager.result("u", await manager.handle_user_message("u", "one"))
        status = await manager.get_status("u")
        assert (status["status"], status["question"], status["current_agent"]) == ("running", "Who pays?", "ask")
        assert await manager.interrupt("u")
        assert (await manager.get_status("u"))["status"] == "interrupted"
        assert not await manager.interrupt("u")
