"""Processes are killed in the middle of their runs, and others continue them: each run once, no step lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taf import CompiledGraph, EventType
from tests.crash.processes import Process, ledger, processes
from tests.crash.traveller import build
from tests.places import open_store

LEASE = 0.5
NAMES = [f"t{number}" for number in range(6)]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("pg_dsn") if request.param == "postgres" else tmp_path / "t.db")


@pytest.fixture
async def app(tmp_path: Path, place: str) -> AsyncIterator[CompiledGraph]:
    """An app of this process, whose nodes do not wait."""
    (tmp_path / "here").touch()
    async with open_store(place) as store, build(tmp_path, "here").compile(store) as app:
        yield app


async def begin(process: Process, folder: Path) -> "list[asyncio.Task[object]]":
    """Have a process begin all threads, and wait until each is in its second node."""
    calls = [process.call("invoke", given={"trail": ["x"]}, thread=name) for name in NAMES]
    async with asyncio.timeout(30):
        while ledger(folder).count(f"{process.name} wait") < len(NAMES):
            await asyncio.sleep(0.005)
    return calls


async def begin_and_die(process: Process, folder: Path, app: CompiledGraph) -> None:
    """Kill a process in the middle of its runs, and wait until the store takes it for dead."""
    calls = await begin(process, folder)
    await process.kill()
    for call in calls:
        call.cancel()
    await until_free(app)


async def until_free(app: CompiledGraph) -> None:
    """Wait until the store takes the owner for dead."""
    async with asyncio.timeout(30):
        while any(row.is_owned for row in await app.athreads()):
            await asyncio.sleep(0.005)


async def require_done(app: CompiledGraph, first: str) -> None:
    """Every run was continued exactly once, and kept its first step."""
    for name in NAMES:
        state = await app.aget_state({"thread_id": name})
        assert (state.status, state.state.trail[:2]) == ("completed", ["x", f"before {first}"])
        events = [event.event_type async for event in app.aevents({"thread_id": name})]
        assert (events.count(EventType.STARTED), events.count(EventType.RESUMED)) == (1, 1)


async def test_the_runs_of_a_killed_process_are_continued(tmp_path: Path, place: str, app: CompiledGraph) -> None:
    async with processes(tmp_path, place, "one") as (one,):
        calls = await begin(one, tmp_path)
        assert [row.is_owned for row in await app.athreads()] == [True] * len(NAMES)
        assert (await app.arecover()).results == {}
        await one.kill()
        for call in calls:
            call.cancel()
        await until_free(app)

        done = await app.arecover()

        assert sorted(done.results) == NAMES
        assert {tuple(r.state.trail) for r in done.results.values()} == {("x", "before one", "wait here")}
        await require_done(app, "one")


async def test_two_processes_that_recover_at_once_do_not_fight(tmp_path: Path, place: str, app: CompiledGraph) -> None:
    async with processes(tmp_path, place, "one", "two", "three") as (one, *others):
        for process in others:
            process.open_gate()
        await begin_and_die(one, tmp_path, app)

        found = await asyncio.gather(*[process.call("recover") for process in others], app.arecover())

        assert sorted([*found[0][0], *found[1][0], *found[2].results]) == NAMES
        assert (found[0][2], found[1][2], found[2].failed) == ([], [], {})
        await require_done(app, "one")


async def test_a_supervisor_takes_over_from_a_process_that_is_killed(
    tmp_path: Path, place: str, app: CompiledGraph
) -> None:
    async with processes(tmp_path, place, "one", "two") as (one, two):
        two.open_gate()
        watching = two.call("supervise")
        calls = await begin(one, tmp_path)
        await one.kill()
        async with asyncio.timeout(30):
            while {row.status for row in await app.athreads()} != {"completed"}:
                await asyncio.sleep(0.01)
        await require_done(app, "one")
        for call in (watching, *calls):
            call.cancel()


async def test_a_process_that_is_frozen_beyond_its_lease_has_lost_its_runs(
    tmp_path: Path, place: str, app: CompiledGraph
) -> None:
    async with processes(tmp_path, place, "one", lease_seconds=LEASE) as (one,):
        calls = await begin(one, tmp_path)
        one.freeze()
        await until_free(app)
        assert sorted((await app.arecover()).results) == NAMES
        one.open_gate()
        one.thaw()
        lost = await asyncio.gather(*calls, return_exceptions=True)
        assert [str(error) for error in lost] == ["StaleOwnerError"] * len(NAMES)
        await require_done(app, "one")


async def test_a_lost_run_is_continued_by_whoever_asks_next(tmp_path: Path, place: str, app: CompiledGraph) -> None:
    async with processes(tmp_path, place, "one") as (one,):
        await begin_and_die(one, tmp_path, app)
        for name in NAMES:
            result = await app.ainvoke(None, {"thread_id": name})
            assert (result.status, result.state.trail) == ("completed", ["x", "before one", "wait here"])
        await require_done(app, "one")


async def test_pruning_and_listing_go_on_while_processes_are_killed(
    tmp_path: Path, place: str, app: CompiledGraph
) -> None:
    for name in NAMES:
        for _ in range(3):
            await app.ainvoke({"trail": ["x"]}, {"thread_id": name})
    async with processes(tmp_path, place, "one") as (one,):
        calls = await begin(one, tmp_path)
        assert (await app.aprune(keep_last=1)).skipped == tuple(NAMES)
        await one.kill()
        for call in calls:
            call.cancel()
        await until_free(app)
        assert (await app.aprune(keep_last=1)).skipped == tuple(NAMES)
        await app.arecover()
        assert (await app.aprune(keep_last=1)).skipped == ()
        for name in NAMES:
            (left,) = await app.aget_history({"thread_id": name})
            assert left.state.trail[-3:] == ["x", "before one", "wait here"]
