"""A run whose owner died is found and continued, once, and nothing else is touched."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import taf
from taf.checkpointer import BaseCheckpointer, InMemoryCheckpointer
from taf.checkpointer.base import ThreadKey
from taf.errors import AppClosedError, ConfigError, NothingToResumeError, StoreUnavailableError
from taf.events import EventType
from taf.graph import CompiledGraph, Context, StateGraph
from taf.graph.config import read_config
from taf.graph.intake import Recover
from taf.graph.recovery import Recovered
from tests.graph.trail import Trail, visit
from tests.stopping.slow import Slow

HANG = 15


class Lost:
    """Runs that were left in the middle of their second node, on a store that others use too."""

    def __init__(self, store: BaseCheckpointer, **options: Any) -> None:
        self.slow, self.configs = Slow(), list[dict[str, Any]]()
        self.owner = self.app(store, **options)

    async def _wait(self, state: Trail, config: dict[str, Any], ctx: Context) -> dict[str, Any]:
        self.configs.append(config)
        await self.slow.in_loop(state)
        if state.last == "fail":
            raise ValueError("failed")
        return {"trail": "wait"}

    def app(self, store: BaseCheckpointer, **options: Any) -> CompiledGraph:
        graph = StateGraph(Trail).add_node("first", visit("first")).add_node("wait", self._wait)
        return graph.add_node("last", visit("last")).compile(store, **options)

    async def lose(self, *names: str, **given: Any) -> None:
        """Begin runs, and lose them as a process loses them that is killed."""
        for name in names:
            self.slow.entered.clear()
            await self.owner.asubmit(given, {"thread_id": name, "run_id": f"run {name}"})
            await self.slow.until_entered()
            ledger = self.owner._flights._having[name].engine._ledger
            assert ledger is not None
            ledger.abandon()
            self.owner._flights._having.pop(name)
        await self.owner.checkpointer.delete(ThreadKey("", "nobody"))  # behind what frees the threads
        self.configs.clear()


async def statuses(app: CompiledGraph) -> dict[str, str]:
    return {row.thread_id: row.status for row in await app.athreads()}


# -- one pass --------------------------------------------------------------------------------------


async def test_a_lost_run_is_continued_from_its_last_step(store: BaseCheckpointer, reopen: Callable[[], Any]) -> None:
    lost = Lost(store)
    async with asyncio.timeout(HANG), lost.owner, lost.app(reopen()) as app:
        await lost.lose("a", "b")
        assert [row.is_owned for row in await app.athreads(status="running")] == [False, False]
        lost.slow.let_go.set()

        done = await app.arecover()

        assert list(done.results) == ["a", "b"]
        assert [r.state.trail for r in done.results.values()] == 2 * [["first", "wait", "last"]]
        assert ([r.run_id for r in done.results.values()], done.failed) == (["run a", "run b"], {})
        assert await app.arecover() == Recovered()


async def test_whoever_waits_for_the_run_gets_its_result(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    async with asyncio.timeout(HANG), lost.owner, lost.app(store) as app:
        await lost.lose("a")
        recovery = asyncio.create_task(app.arecover())
        await lost.slow.until_entered()
        while not (await app.athreads())[0].is_owned:
            await asyncio.sleep(0.001)
        waiting = asyncio.create_task(app.ajoin({"thread_id": "a"}, "run a"))
        await asyncio.sleep(0)
        lost.slow.let_go.set()
        assert (await waiting).status == "completed"
        await recovery


async def test_only_runs_under_way_are_recovered(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    async with asyncio.timeout(HANG), lost.app(store, interrupt_before=["wait"]) as app, lost.owner:
        await app.ainvoke({}, {"thread_id": "paused"})
        await app.ainvoke({}, {"thread_id": "stopped"})
        await app.astop({"thread_id": "stopped"})
        await lost.owner.asubmit({}, {"thread_id": "running"})
        await lost.slow.until_entered()
        before = await app.athreads()

        assert await app.arecover() == Recovered()

        assert await app.athreads() == before
        with pytest.raises(NothingToResumeError):  # as it was lost when it was listed, and paused since
            await app.launch(Recover(), read_config({"thread_id": "paused", "run_id": before[0].run_id})).result()
        assert await app.athreads() == before


async def test_a_run_that_was_begun_since_is_not_the_one_that_was_lost(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    async with asyncio.timeout(HANG), lost.owner, lost.app(store) as app:
        await lost.lose("a")
        before = await app.athreads()
        with pytest.raises(NothingToResumeError):
            await app.launch(Recover(), read_config({"thread_id": "a", "run_id": "another"})).result()
        assert await app.athreads() == before


async def test_a_graph_recovers_its_own_threads_only(store: BaseCheckpointer) -> None:
    lost = Lost(store, name="theirs")
    async with asyncio.timeout(HANG), lost.owner, lost.app(store, name="mine") as mine, lost.app(store) as plain:
        await lost.lose("a")
        lost.slow.let_go.set()
        assert await mine.arecover() == await plain.arecover() == Recovered()
        async with lost.app(store, name="theirs") as theirs:
            assert list((await theirs.arecover()).results) == ["a"]


async def test_of_many_who_recover_at_once_one_continues_each_run(
    store: BaseCheckpointer, reopen: Callable[[], Any]
) -> None:
    lost, names = Lost(store), [f"t{number}" for number in range(8)]
    async with asyncio.timeout(HANG), lost.owner, lost.app(store) as one, lost.app(reopen()) as two:
        await lost.lose(*names)
        lost.slow.let_go.set()

        done = await asyncio.gather(one.arecover(), two.arecover(), one.arecover(concurrency=2))

        assert sorted(name for part in done for name in part.results) == names
        assert not any(part.failed for part in done)
        for name in names:
            events = [event.event_type async for event in one.aevents({"thread_id": name})]
            assert events.count(EventType.RESUMED) == 1
        assert len(lost.configs) == 8


async def test_no_more_runs_are_continued_at_once_than_was_said(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    async with asyncio.timeout(HANG), lost.owner, lost.app(store) as app:
        await lost.lose(*"abcde")
        lost.slow.let_go.clear()
        recovery = asyncio.create_task(app.arecover(concurrency=2))
        while len(lost.configs) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert sum(row.is_owned for row in await app.athreads()) == 2
        lost.slow.let_go.set()
        assert sorted((await recovery).results) == [*"abcde"]


async def test_a_node_that_fails_is_told_and_not_tried_again(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    async with asyncio.timeout(HANG), lost.owner, lost.app(store) as app:
        await lost.lose("a", last="fail")
        await lost.lose("b")
        lost.slow.let_go.set()
        done = await app.arecover()
        assert ({name: str(error) for name, error in done.failed.items()}, list(done.results)) == (
            {"a": "failed"},
            ["b"],
        )
        assert await statuses(app) == {"a": "error", "b": "completed"}
        assert await app.arecover() == Recovered()


async def test_a_config_can_be_given_back_to_the_nodes(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    async with asyncio.timeout(HANG), lost.owner, lost.app(store) as app:
        await lost.lose("a")
        lost.slow.let_go.set()
        await app.arecover(config=lambda row: {"user_id": f"owner of {row.thread_id}", "run_id": "not this"})
        (config,) = lost.configs
        assert (config["user_id"], config["thread_id"], config["run_id"]) == ("owner of a", "a", "run a")


async def test_a_subgraph_is_recovered_with_its_parent(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    runs: list[str] = []

    async def outer(state: Trail) -> dict[str, Any]:
        runs.append("outer")
        return {"trail": "outer"}

    def nested() -> CompiledGraph:
        graph = StateGraph(Trail).add_node("outer", outer).add_node("inner", lost.app(InMemoryCheckpointer()))
        return graph.compile(store)

    lost.owner = nested()
    async with asyncio.timeout(HANG), lost.owner, nested() as app:
        await lost.owner.asubmit({}, {"thread_id": "a"})
        await lost.slow.until_entered()
        engine = lost.owner._flights._having.pop("a").engine
        for found in (engine, *engine.children):
            found._ledger.abandon()
        lost.slow.let_go.set()
        done = await app.arecover()
        assert [r.state.trail for r in done.results.values()] == [["outer", "first", "wait", "last"]]
        assert runs == ["outer"]


def test_a_run_whose_event_loop_was_closed_is_recovered(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(lost.owner.asubmit({}, {"thread_id": "a"}))
    loop.run_until_complete(lost.slow.until_entered())
    lost.slow.let_go.set()
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False
    loop.close()
    with lost.owner as app:
        assert app.recover().results["a"].state.trail == ["first", "wait", "last"]


# -- again and again -------------------------------------------------------------------------------


async def test_a_supervisor_finds_what_is_lost_while_it_looks(store: BaseCheckpointer) -> None:
    lost, told = Lost(store), list[Recovered]()
    async with asyncio.timeout(HANG), lost.owner, lost.app(store) as app:
        async with app.supervise(interval=0.01, on_recovered=told.append):
            await lost.lose("a")
            await lost.lose("b")
            lost.slow.let_go.set()
            while set((await statuses(app)).values()) != {"completed"}:
                await asyncio.sleep(0.005)
            while len([name for one in told for name in one.results]) < 2:
                await asyncio.sleep(0.005)
        assert not [task for task in asyncio.all_tasks() if "superv" in task.get_name()]


class Unwell(InMemoryCheckpointer):
    """A store that fails for a while."""

    failures = 3

    async def threads(self, *args: Any, **options: Any) -> Any:
        self.failures -= 1
        if self.failures >= 0:
            raise StoreUnavailableError("list threads", OSError("gone"))
        return await super().threads(*args, **options)


async def test_a_supervisor_outlives_a_store_that_fails() -> None:
    lost = Lost(Unwell())
    store = lost.owner.checkpointer

    def fail(done: Recovered) -> None:
        raise RuntimeError("observer")

    async with asyncio.timeout(HANG), lost.owner, lost.app(store) as app:
        await lost.lose("a")
        lost.slow.let_go.set()
        async with app.supervise(interval=0.01, on_recovered=fail) as supervisor:
            errors = list[Exception | None]()
            while not errors or errors[-1] is not None:
                await asyncio.sleep(0.001)
                errors += [supervisor.error] if supervisor.error or errors else []
            assert isinstance(errors[0], StoreUnavailableError)
            while set((await statuses(app)).values()) != {"completed"}:
                await asyncio.sleep(0.005)


async def test_the_end_of_a_supervisor_ends_no_run(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    async with asyncio.timeout(HANG), lost.owner, lost.app(store) as app:
        await lost.lose("a")
        async with app.supervise(interval=0.01):
            while not lost.configs:
                await asyncio.sleep(0.001)
        assert await statuses(app) == {"a": "running"}
        lost.slow.let_go.set()
        assert (await app.ajoin({"thread_id": "a"})).status == "completed"


async def test_a_supervisor_whose_app_was_closed_ends_by_itself(store: BaseCheckpointer) -> None:
    lost = Lost(store)
    async with asyncio.timeout(HANG), lost.owner:
        app = lost.app(store)
        async with app.supervise(interval=0.001) as supervisor:
            await app.aclose()
            await lost.lose("a")
            assert supervisor._task is not None
            await asyncio.wait([supervisor._task])
        with pytest.raises(AppClosedError):
            await app.arecover()


async def test_what_makes_no_sense_is_refused(store: BaseCheckpointer) -> None:
    async with Lost(store).owner as app:
        for interval in (0, -1, True):
            with pytest.raises(ConfigError, match="interval"):
                app.supervise(interval=interval)
        with pytest.raises(ConfigError, match="concurrency"):
            app.supervise(concurrency=0)
        with pytest.raises(ConfigError, match="concurrency"):
            await app.arecover(concurrency=0)


def test_a_supervisor_works_for_sync_callers(store: BaseCheckpointer) -> None:
    lost, told, is_told = Lost(store), list[Recovered](), threading.Event()

    def note(done: Recovered) -> None:
        told.append(done)
        is_told.set()

    with lost.owner as owner, lost.app(store) as app:
        owner._call("lose", lost.lose("a"))
        lost.slow.let_go.set()
        with app.supervise(interval=0.01, on_recovered=note):
            assert is_told.wait(HANG)
        assert list(told[0].results) == ["a"]


def test_the_function_does_what_the_method_does() -> None:
    with StateGraph(Trail).add_node("first", visit("first")).compile() as app:
        assert taf.recover(app) == app.recover() == Recovered()
