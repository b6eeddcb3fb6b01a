"""Tasks whose work the caller does: each is a run, so it is on record, fenced, and one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from taf import AgentState, BaseCheckpointer, ExecutionStatus, InvalidInputError, NotStorableError, StateGraph
from taf.interruption import InterruptionManager, TaskContext, TaskStatus
from tests.interruption.clerk import Clerk
from tests.stopping.slow import until


async def status(manager: InterruptionManager, user_id: str, task_id: str | None = None) -> TaskStatus:
    found = await manager.get_task_context(user_id, task_id)
    assert found is not None
    return found.status


async def begun(manager: InterruptionManager, query: str, intent: str = "") -> TaskContext:
    """Create a task, which runs then."""
    task = await manager.create_task_context("u", query, intent)
    assert task.status is TaskStatus.RUNNING
    return task


async def test_it_works_without_any_argument() -> None:
    async with asyncio.timeout(10), InterruptionManager() as manager:
        task = await manager.create_task_context("u", "Find flights", "flight")
        assert (task.user_id, task.query, task.intent, task.status) == ("u", "Find flights", "flight", "running")
        assert await manager.save_partial_results("u", "flight", ["F1"])
        assert await manager.complete_task("u", {"answer": 42})
        done = await manager.get_task_context("u")
        assert done is not None
        assert (done.task_id, done.status, done.final_results) == (task.task_id, "completed", {"answer": 42})
        assert (done.partial_results, done.agents_completed) == ({"flight": ["F1"]}, ["flight"])


async def test_a_second_task_interrupts_the_first_and_gets_its_context(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), InterruptionManager(checkpointer=store) as manager:
        first = await begun(manager, "Find flights", "flight")
        await manager.save_partial_results("u", "flight", ["F1"])
        await manager.save_partial_results("u", "hotel", ["H1"])
        second = await begun(manager, "Find hotels")
        assert first.cancel_event.is_set()
        assert not second.cancel_event.is_set()
        assert await status(manager, "u", first.task_id) is TaskStatus.INTERRUPTED
        previous = await manager.get_previous_context("u", "Find hotels")
        assert previous is not None
        assert previous["interrupted_at"] >= first.created_at.isoformat()
        assert {key: previous[key] for key in ("task_id", "previous_query", "previous_intent", "partial_results")} == {
            "task_id": first.task_id,
            "previous_query": "Find flights",
            "previous_intent": "flight",
            "partial_results": {"flight": ["F1"], "hotel": ["H1"]},
        }


async def test_an_asyncio_task_is_the_work_and_goes_with_it(store: BaseCheckpointer) -> None:
    async with asyncio.timeout(10), InterruptionManager(checkpointer=store) as manager:
        first = await begun(manager, "one")
        never = asyncio.create_task(asyncio.Event().wait())
        await manager.set_task_reference("u", never)
        second = await begun(manager, "two")
        await until(never.done)
        assert never.cancelled()

        async def work() -> dict[str, int]:
            return {"answer": 2}

        await manager.set_task_reference("u", asyncio.create_task(work()))
        await manager.app.ajoin({"thread_id": "u"}, second.task_id)
        done = await manager.get_task_context("u")
        assert done is not None
        assert (done.status, done.final_results) == (TaskStatus.COMPLETED, {"answer": 2})
        assert await status(manager, "u", first.task_id) is TaskStatus.INTERRUPTED


async def test_work_that_fails_is_a_task_that_failed() -> None:
    async with asyncio.timeout(10), InterruptionManager() as manager:

        async def work() -> None:
            raise ValueError("no flights today")

        task = await begun(manager, "one")
        await manager.set_task_reference("u", asyncio.create_task(work()))
        await manager.app.ajoin({"thread_id": "u"}, task.task_id)
        failed = await manager.get_task_context("u")
        assert failed is not None
        assert failed.status is TaskStatus.FAILED
        assert "no flights today" in (failed.error or "")
        await begun(manager, "two")
        await manager.complete_task("u", {"error": "none either"}, TaskStatus.FAILED)
        assert "none either" in str((await manager.get_status_dict("u"))["error"])


async def test_an_interruption_keeps_the_context_unless_it_is_told_not_to() -> None:
    async with asyncio.timeout(10), InterruptionManager() as manager:
        assert not await manager.interrupt_task("u")
        kept = await begun(manager, "kept")
        await manager.save_partial_results("u", "agent", 1)
        assert await manager.interrupt_task("u")
        assert kept.cancel_event.is_set()
        assert await status(manager, "u") is TaskStatus.INTERRUPTED
        previous = await manager.get_previous_context("u", "next")
        assert previous is not None
        assert (previous["previous_query"], previous["partial_results"]) == ("kept", {"agent": 1})
        assert not await manager.interrupt_task("u")

        await begun(manager, "dropped")
        await manager.save_partial_results("u", "agent", 2)
        assert await manager.interrupt_task("u", preserve_context=False)
        assert await status(manager, "u") is TaskStatus.CANCELLED
        await begun(manager, "next")
        contexts = await manager.previous_contexts("u")
        assert [one["previous_query"] for one in contexts] == ["kept"]


async def test_a_node_is_told_nothing_of_a_task_that_was_dropped() -> None:
    clerk, seen = Clerk(), list[object]()

    async def look(state: AgentState) -> None:
        seen.append(state.previous_context)

    app = StateGraph().add_node(look).add_node("write", clerk.write).compile()
    async with asyncio.timeout(10), app, InterruptionManager(app) as manager:
        for query, preserve in (("one", False), ("two", True), ("three", True)):
            await manager.create_task_context("u", query)
            await clerk.until_at(query)
            await manager.interrupt_task("u", preserve)
    assert seen[:2] == [None, None]
    assert len(seen) == 3
    assert seen[2] is not None


async def test_a_stop_from_outside_reaches_the_event_and_the_work(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    async with (
        asyncio.timeout(10),
        InterruptionManager(checkpointer=store) as manager,
        InterruptionManager(checkpointer=reopen()) as other,
    ):
        task = await begun(manager, "one")
        event = await manager.get_cancellation_event("u")
        assert event is task.cancel_event
        never = asyncio.create_task(asyncio.Event().wait())
        await manager.set_task_reference("u", never)
        assert await other.interrupt_task("u")
        await until(lambda: event.is_set() and never.done())
        again = await manager.get_cancellation_event("u")
        assert again is not None
        assert again.is_set()


async def test_what_was_interrupted_is_there_after_a_restart(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    async with asyncio.timeout(10), InterruptionManager(checkpointer=store) as manager:
        for number in range(7):
            await begun(manager, f"query {number}")
            await manager.save_partial_results("u", "agent", number)
    async with asyncio.timeout(10), InterruptionManager(checkpointer=reopen()) as manager:
        contexts = await manager.previous_contexts("u")
        assert [one["previous_query"] for one in contexts][-5:] == [f"query {number}" for number in range(2, 7)]
        assert [one["partial_results"] for one in contexts][-1] == {"agent": 6}
        assert (await manager.get_status_dict("u"))["status"] == "interrupted"


async def test_a_selector_says_whose_context_is_of_use() -> None:
    async def same_town(query: str, context: object) -> bool:
        return isinstance(context, dict) and query.rsplit(maxsplit=1)[-1] in context["previous_query"]

    async with asyncio.timeout(10), InterruptionManager(is_relevant=same_town) as manager:
        for query in ("flights Rome", "flights Oslo", "flights Lima"):
            await begun(manager, query)
        previous = await manager.get_previous_context("u", "hotels Rome")
        assert previous is not None
        assert previous["previous_query"] == "flights Rome"
        assert await manager.get_previous_context("u", "hotels Cairo") is None


async def test_users_do_not_know_of_each_other() -> None:
    async with asyncio.timeout(10), InterruptionManager() as manager:
        a, b = await manager.create_task_context("a", "one"), await manager.create_task_context("b", "two")
        await manager.interrupt_task("a")
        assert (a.cancel_event.is_set(), b.cancel_event.is_set()) == (True, False)
        assert await manager.get_previous_context("b", "x") is None


async def test_an_empty_query_and_a_result_that_cannot_be_kept_are_refused() -> None:
    async with asyncio.timeout(10), InterruptionManager() as manager:
        with pytest.raises(InvalidInputError, match="empty"):
            await manager.create_task_context("u", "  ")
        assert await manager.get_task_context("u") is None
        assert (await manager.get_status_dict("u")) == {"status": "idle"}
        assert await manager.get_cancellation_event("u") is None
        assert not await manager.save_partial_results("u", "agent", 1)
        assert not await manager.complete_task("u", {})
        await begun(manager, "one")
        with pytest.raises(NotStorableError):
            await manager.save_partial_results("u", "agent", object())


async def test_in_a_node_the_manager_speaks_of_the_nodes_own_run() -> None:
    seen: list[object] = []

    async def flight(state: object) -> None:
        event = await manager.get_cancellation_event("u")
        assert event is not None
        seen.append(event.is_set())
        await manager.save_partial_results("u", "flight", ["F1"])
        await manager.save_partial_results("u", "hotel", ["H1"])
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(event.is_set())

    app = StateGraph().add_node(flight).compile()
    async with asyncio.timeout(10), app, InterruptionManager(app) as manager:
        task = await manager.create_task_context("u", "one")
        await until(lambda: bool(seen))
        assert await manager.interrupt_task("u")
        assert seen == [False, True]
        assert (await app.ajoin({"thread_id": "u"})).status is ExecutionStatus.STOPPED
        found = await manager.get_task_context("u", task.task_id)
        assert found is not None
        assert found.partial_results == {"flight": {"hotel": ["H1"]}}


async def test_an_ended_manager_leaves_no_task_behind() -> None:
    async with asyncio.timeout(10):
        async with InterruptionManager() as manager:
            await manager.register_status_callback("u", print)
            await begun(manager, "one")
        await until(lambda: len(asyncio.all_tasks()) == 1)
