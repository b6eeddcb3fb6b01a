"""Who follows a user gets what is on record from any point on, and what is shown in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from taf import BaseCheckpointer
from taf.interruption import AgentManager, Update
from tests.interruption.clerk import Clerk
from tests.stopping.slow import until


async def take(manager: AgentManager, after: int | None, last: str) -> list[Update]:
    """Return updates until one of that status."""
    found: list[Update] = []
    async with aclosing(manager.watch("u", after)) as updates:
        async for update in updates:
            found.append(update)
            if update.context.status == last:
                return found
    return found


async def test_a_follower_that_comes_back_gets_what_it_missed(store: BaseCheckpointer) -> None:
    clerk = Clerk()
    clerk.let_go.set()
    async with asyncio.timeout(10), clerk.compile(store) as app, AgentManager(app) as manager:
        await manager.result("u", await manager.handle_user_message("u", "one"))
        everything = await take(manager, 0, "completed")
        assert [update.context.sequence for update in everything] == [1, 2, 3]
        missed = await take(manager, 2, "completed")
        assert [(update.context.sequence, update.context.query) for update in missed] == [(3, "one")]
        assert missed[0].context.agents_completed == ["write"]
        assert all(update.is_committed for update in everything)


async def test_a_new_follower_begins_with_the_task_as_it_is() -> None:
    clerk = Clerk()
    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        following = asyncio.create_task(take(manager, None, "completed"))
        await asyncio.sleep(0.02)
        clerk.let_go.set()
        updates = await following
        assert (updates[0].context.query, updates[0].context.status, updates[0].is_committed) == (
            "one",
            "running",
            False,
        )
        assert {"draft": "ONE"} in [update.context.partial_results.get("write") for update in updates]
        assert updates[-1].context.response == "done: one"


async def test_a_follower_may_come_before_the_user() -> None:
    clerk = Clerk()
    clerk.let_go.set()
    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        following = asyncio.create_task(take(manager, None, "completed"))
        await asyncio.sleep(0.02)
        await manager.handle_user_message("u", "one")
        assert (await following)[-1].context.query == "one"


async def test_another_process_sees_what_is_on_record(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    clerk = Clerk()
    async with (
        asyncio.timeout(10),
        clerk.compile(store) as app,
        clerk.compile(reopen()) as elsewhere,
        AgentManager(app) as manager,
        AgentManager(elsewhere) as other,
    ):
        following = asyncio.create_task(take(other, 0, "completed"))
        await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        clerk.let_go.set()
        updates = await following
        assert [update.context.status.value for update in updates] == ["running", "running", "completed"]


async def test_a_long_thread_is_not_read_from_its_beginning() -> None:
    clerk = Clerk()
    clerk.let_go.set()
    async with asyncio.timeout(30), clerk.compile() as app, AgentManager(app) as manager:
        for number in range(60):
            await manager.result("u", last := await manager.handle_user_message("u", str(number)))
        reads: list[int] = []
        original = app.checkpointer.read

        async def counted(key: object, after: int = 0, limit: int = 1000) -> object:
            reads.append(after)
            return await original(key, after, limit)

        app.checkpointer.read = counted
        found = await manager.interruptions.get_task_context("u")
        assert found is not None
        assert (found.task_id, found.query) == (last, "59")
        assert min(reads) > 100


async def test_an_older_task_is_found_by_its_id() -> None:
    clerk = Clerk()
    clerk.let_go.set()
    async with asyncio.timeout(30), clerk.compile() as app, AgentManager(app) as manager:
        ids = [await manager.handle_user_message("u", "0")]
        await manager.result("u", ids[0])
        for number in range(1, 40):
            ids.append(await manager.handle_user_message("u", str(number)))
            await manager.result("u", ids[-1])
        for number in (0, 1, 20, 39):
            found = await manager.interruptions.get_task_context("u", ids[number])
            assert found is not None
            assert (found.query, found.response) == (str(number), f"done: {number}")
        assert await manager.interruptions.get_task_context("u", "nobody") is None


async def test_a_follower_leaves_nothing_behind() -> None:
    clerk = Clerk()
    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        for _ in range(5):
            following = asyncio.create_task(take(manager, None, "completed"))
            await asyncio.sleep(0.01)
            following.cancel()
            await asyncio.wait([following])
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert manager.interruptions.feed._followers == {}


async def test_the_context_of_an_interrupted_task_costs_one_load_of_the_thread() -> None:
    clerk, loads = Clerk(), list[object]()
    async with asyncio.timeout(10), clerk.compile() as app, AgentManager(app) as manager:
        for text in ("one", "two", "three"):
            await manager.handle_user_message("u", text)
            await clerk.until_at(text)
        original = app.checkpointer.load

        async def counted(key: object, known: object = None) -> object:
            loads.append(key)
            return await original(key, known)

        app.checkpointer.load = counted
        contexts = await manager.interruptions.previous_contexts("u")
        assert [one["previous_query"] for one in contexts] == ["one", "two"]
        assert len(loads) == 1
