"""What callers note of tasks, beside what is known of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from taf import BaseCheckpointer
from taf.interruption import AgentManager, InterruptionManager, StateStore
from tests.interruption.clerk import Clerk


async def test_it_works_without_any_argument() -> None:
    async with StateStore() as store:
        assert await store.get_task_metadata("u") is None
        assert (await store.get_partials("u"), await store.get_interrupted_contexts("u")) == ({}, [])
        assert await store.get_latest_interrupted_context("u") is None
        await store.save_task_metadata("u", "t1", {"status": "running"})
        await store.save_task_metadata("u", "t2", {"status": "queued"})
        await store.save_partial("u", "flight", [1])
        await store.save_partial("u", "hotel", [2])
        first, last = await store.get_task_metadata("u", "t1"), await store.get_task_metadata("u")
        assert first is not None
        assert last is not None
        assert (first["status"], last["status"]) == ("running", "queued")
        assert await store.get_partials("u") == {"flight": [1], "hotel": [2]}
        assert await store.get_partials("other") == {}


async def test_the_last_five_contexts_are_kept_one_for_each_task() -> None:
    async with StateStore() as store:
        for number in range(8):
            await store.preserve_interrupted_context("u", f"t{number % 7}", {"query": number})
        contexts = await store.get_interrupted_contexts("u")
        assert [one["query"] for one in contexts] == [3, 4, 5, 6, 7]
        latest = await store.get_latest_interrupted_context("u")
        assert latest is not None
        assert (latest["task_id"], latest["query"], "interrupted_at" in latest) == ("t0", 7, True)


async def test_notes_are_there_after_a_restart(store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]) -> None:
    async with StateStore(checkpointer=store) as notes:
        await notes.save_task_metadata("u", "t1", {"status": "running"})
        await notes.preserve_interrupted_context("u", "t1", {"query": "one"})
    async with StateStore(checkpointer=reopen()) as notes:
        assert (await notes.get_task_metadata("u", "t1") or {})["status"] == "running"
        assert (await notes.get_latest_interrupted_context("u") or {})["query"] == "one"


async def test_many_who_note_at_once_lose_nothing(store: BaseCheckpointer) -> None:
    async with StateStore(checkpointer=store) as notes:
        await asyncio.gather(*(notes.save_partial("u", f"agent {number}", number) for number in range(20)))
        assert await notes.get_partials("u") == {f"agent {number}": number for number in range(20)}


async def test_a_task_is_asked_of_the_record_and_a_note_laid_over_it(store: BaseCheckpointer) -> None:
    clerk = Clerk()
    async with asyncio.timeout(10), clerk.compile(store) as app, AgentManager(app) as manager:
        task_id = await manager.handle_user_message("u", "one")
        await clerk.until_at("one")
        await manager.store.save_task_metadata("u", task_id, {"channel": "web"})
        found = await manager.store.get_task_metadata("u")
        assert found is not None
        assert (found["task_id"], found["query"], found["channel"]) == (task_id, "one", "web")
        assert await manager.store.get_partials("u") == {"write": {"draft": "ONE"}}
        await manager.handle_user_message("u", "two")
        await clerk.until_at("two")
        await manager.store.preserve_interrupted_context("u", task_id, {"why": "impatience"})
        latest = await manager.store.get_latest_interrupted_context("u")
        assert latest is not None
        assert (latest["previous_query"], latest["why"]) == ("one", "impatience")
        assert [row.thread_id for row in await app.athreads()] == ["u"]


async def test_a_partial_that_is_saved_belongs_to_the_task_under_way() -> None:
    async with asyncio.timeout(10), InterruptionManager() as manager, StateStore(manager) as store:
        await manager.create_task_context("u", "one")
        await store.save_partial("u", "flight", [1])
        assert await store.get_partials("u") == {"flight": [1]}
        await manager.create_task_context("u", "two")
        await store.save_partial("u", "hotel", [2])
        assert await store.get_partials("u") == {"hotel": [2]}
        previous = await manager.get_previous_context("u", "two")
        assert previous is not None
        assert previous["partial_results"] == {"flight": [1]}
