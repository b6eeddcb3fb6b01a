"""Seven things that the first version of this did wrong, each shown to be right."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from taf import AgentState, BaseCheckpointer, Context, Message, StateGraph, emit
from taf.interruption import AgentManager, InterruptionManager, TaskContext, TaskStatus
from tests.interruption.clerk import Clerk
from tests.stopping.slow import until


async def until_status(manager: AgentManager, user_id: str, task_id: str, status: TaskStatus) -> TaskContext:
    """Wait until a task stands so."""
    async with asyncio.timeout(10):
        while True:
            found = await manager.interruptions.get_task_context(user_id, task_id)
            if found is not None and found.status is status:
                return found
            await asyncio.sleep(0.002)


async def test_1_what_was_streamed_before_an_interruption_is_kept(store: BaseCheckpointer) -> None:
    clerk = Clerk()
    async with asyncio.timeout(10), clerk.compile(store) as app, AgentManager(app) as manager:
        await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        await manager.handle_user_message("u", "two")
        await clerk.until_at("two")
        previous = await manager.interruptions.get_previous_context("u", "two")
        assert previous is not None
        assert previous["partial_results"] == {"write": {"draft": "ONE"}}


async def test_2_the_managers_event_reaches_the_node() -> None:
    seen: dict[str, asyncio.Event] = {}
    ended = threading.Event()

    async def search(state: AgentState) -> None:
        event = await manager.interruptions.get_cancellation_event("u")
        assert event is not None
        seen["event"] = event
        await asyncio.to_thread(blocking, event)

    def blocking(event: asyncio.Event) -> None:
        while not event.is_set():
            threading.Event().wait(0.002)
        ended.set()

    app = StateGraph().add_node(search).compile()
    async with asyncio.timeout(10), app, AgentManager(app) as manager:
        await manager.handle_user_message("u", "one")
        await until(lambda: "event" in seen)
        assert not seen["event"].is_set()
        await manager.interrupt("u")
        await until(ended.is_set)


async def test_3_an_old_task_that_unwinds_changes_nothing_of_the_new_one(store: BaseCheckpointer) -> None:
    clerk = Clerk()
    async with asyncio.timeout(10), clerk.compile(store) as app, AgentManager(app) as manager:
        first = await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        second = await manager.handle_user_message("u", "two")
        await until(lambda: "one" in clerk.left)
        await until_status(manager, "u", second, TaskStatus.RUNNING)
        old = await until_status(manager, "u", first, TaskStatus.INTERRUPTED)
        assert old.superseded_by == second
        clerk.let_go.set()
        await until_status(manager, "u", second, TaskStatus.COMPLETED)


async def test_4_a_message_after_a_complete_task_interrupts_nothing(store: BaseCheckpointer) -> None:
    clerk = Clerk()
    clerk.let_go.set()
    async with asyncio.timeout(10), clerk.compile(store) as app, AgentManager(app) as manager:
        first = await manager.handle_user_message("u", "one")
        await until_status(manager, "u", first, TaskStatus.COMPLETED)
        receipt = await manager.submit("u", "two")
        assert (receipt.outcome, receipt.supersedes) == ("started", None)
        await until_status(manager, "u", receipt.run_id, TaskStatus.COMPLETED)
        await until_status(manager, "u", first, TaskStatus.COMPLETED)
        assert await manager.interruptions.get_previous_context("u", "two") is None
        assert await manager.store.get_interrupted_contexts("u") == []


async def test_5_an_answer_is_kept_under_its_own_question_however_late_its_work_is_named() -> None:
    async with asyncio.timeout(10), InterruptionManager() as manager:
        gap, tasks = asyncio.Event(), dict[str, asyncio.Task[Any]]()

        async def work(query: str) -> dict[str, str]:
            await manager.save_partial_results("u", "agent", query)
            return {"answer": f"that of {query}"}

        async def handle(query: str, wait_for: asyncio.Event | None) -> str:
            task = await manager.create_task_context("u", query)
            if wait_for is not None:
                await wait_for.wait()
            tasks[query] = asyncio.create_task(work(query))
            await manager.set_task_reference("u", tasks[query])
            return task.task_id

        slow = asyncio.create_task(handle("one", gap))
        await asyncio.sleep(0.02)
        second = await asyncio.create_task(handle("two", None))
        await tasks["two"]
        gap.set()
        first = await slow
        await asyncio.wait([tasks["one"]])
        result = await manager.app.ajoin({"thread_id": "u"}, second)
        assert result.state.final_results == {"answer": "that of two"}
        assert result.state.shown == {"agent": "two"}
        old = await manager.get_task_context("u", first)
        assert old is not None
        assert (old.status, old.final_results, old.partial_results) == (TaskStatus.INTERRUPTED, None, {})
        assert tasks["one"].cancelled()


async def test_6_a_slow_callback_keeps_nobody_waiting_and_may_ask_the_manager() -> None:
    clerk = Clerk()
    clerk.let_go.set()
    stuck, entered, asked, heard = asyncio.Event(), asyncio.Event(), list[str](), list[str]()

    async def slow(task: TaskContext) -> None:
        entered.set()
        await stuck.wait()

    async def asks(task: TaskContext) -> None:
        found = await manager.interruptions.get_task_context("u")
        assert found is not None
        asked.append(found.status)

    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        for callback in (slow, asks):
            await manager.register_status_callback("u", callback)
        await manager.register_status_callback("other", lambda task: heard.append(task.status))
        first = await manager.handle_user_message("u", "one")
        await entered.wait()
        other = await manager.handle_user_message("other", "two")
        await until_status(manager, "u", first, TaskStatus.COMPLETED)
        await until_status(manager, "other", other, TaskStatus.COMPLETED)
        await until(lambda: heard[-1:] == ["completed"] and asked[-1:] == ["completed"])
        assert not stuck.is_set()


async def test_7_agents_that_are_done_are_listed_and_a_thread_can_leave() -> None:
    booked: list[int] = []

    async def router(state: AgentState) -> dict[str, Any]:
        return {"intent": "flight"}

    def book(state: AgentState, ctx: Context) -> Message:
        for number in range(1000):
            if ctx.stopping:
                break
            booked.append(number)
            emit(number)
            threading.Event().wait(0.001)
        return Message.text_message("booked", role="assistant")

    app = StateGraph().add_node(router).add_node(book).compile()
    async with asyncio.timeout(10), app, AgentManager(app) as manager:
        first = await manager.handle_user_message("u", "one")
        await until(lambda: len(booked) >= 3)
        assert await manager.interrupt("u")
        count = len(booked)
        task = await until_status(manager, "u", first, TaskStatus.INTERRUPTED)
        assert task.agents_completed == ["router"]
        await asyncio.sleep(0.05)
        assert len(booked) == count
        assert (await app.aget_state({"thread_id": "u"})).state.messages[-1].text() == "one"
