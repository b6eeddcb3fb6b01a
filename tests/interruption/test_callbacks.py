"""Who wants to be called is called, in order, whatever the callback does."""

from __future__ import annotations

import asyncio

import pytest

from taf.interruption import AgentManager, TaskContext
from tests.interruption.clerk import Clerk
from tests.stopping.slow import until


async def test_each_change_is_told_once_and_in_order() -> None:
    clerk, heard = Clerk(), list[tuple[str, str, object]]()
    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        await manager.register_status_callback(
            "u", lambda task: heard.append((task.query, task.status.value, task.partial_results.get("write")))
        )
        await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        await until(lambda: len(heard) == 2)
        await manager.handle_user_message("u", "two")
        await clerk.until_at("two")
        clerk.let_go.set()
        await until(lambda: bool(heard) and heard[-1][1] == "completed")

    assert [one for one in heard if one[1] != "queued"] == [
        ("one", "running", None),
        ("one", "running", {"draft": "ONE"}),
        ("one", "interrupted", {"draft": "ONE"}),
        ("two", "running", None),
        ("two", "running", {"draft": "TWO"}),
        ("two", "running", None),
        ("two", "completed", None),
    ]


async def test_a_slow_callback_misses_nothing_of_the_record() -> None:
    clerk, heard, stuck = Clerk(), list[tuple[str, str]](), asyncio.Event()
    clerk.let_go.set()

    async def slow(task: TaskContext) -> None:
        await stuck.wait()
        heard.append((task.query, task.status))

    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        await manager.register_status_callback("u", slow)
        for number in range(30):
            await manager.result("u", await manager.handle_user_message("u", str(number)))
        stuck.set()
        await until(lambda: bool(heard) and heard[-1] == ("29", "completed"))

    assert [query for query, status in heard if status == "completed"] == [str(number) for number in range(30)]


async def test_a_callback_is_called_no_more_once_it_is_taken_back() -> None:
    clerk, heard = Clerk(), list[str]()
    clerk.let_go.set()

    def listen(task: TaskContext) -> None:
        heard.append(task.query)

    async def once(task: TaskContext) -> None:
        heard.append("once")
        await manager.unregister_status_callback("u", once)

    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        await manager.register_status_callback("u", listen)
        await manager.register_status_callback("u", once)
        await manager.result("u", await manager.handle_user_message("u", "one"))
        await until(lambda: heard.count("one") >= 3)
        await manager.unregister_status_callback("u", listen)
        await manager.unregister_status_callback("u", listen)
        await manager.result("u", await manager.handle_user_message("u", "two"))
        await asyncio.sleep(0.02)

    assert "two" not in heard
    assert heard.count("once") == 1


async def test_a_callback_that_fails_is_reported_once_and_goes_on_being_called() -> None:
    clerk, count = Clerk(), 0
    clerk.let_go.set()

    async def answered(manager: AgentManager) -> None:
        await manager.result("u", await manager.handle_user_message("u", "one"))
        await until(lambda: count >= 3)

    def broken(task: TaskContext) -> None:
        nonlocal count
        count += 1
        raise ValueError("no")

    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        await manager.register_status_callback("u", broken)
        with pytest.warns(RuntimeWarning, match="ValueError: no") as warned:
            await answered(manager)

    assert len(warned) == 1
