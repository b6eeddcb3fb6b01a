"""Several processes, one store, one thread: one of them runs it, and what it loses it has lost."""

import asyncio
from collections.abc import AsyncIterator
from itertools import groupby
from pathlib import Path

import pytest

from taf import CompiledGraph, ExecutionStatus
from taf.events import Event
from tests.crash.processes import CallFailed, Process, ledger, processes
from tests.crash.traveller import build
from tests.places import open_store

CONFIG = {"thread_id": "t"}
LEASE = 0.5


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("pg_dsn") if request.param == "postgres" else tmp_path / "t.db")


@pytest.fixture
async def pair(tmp_path: Path, place: str) -> AsyncIterator[list[Process]]:
    async with processes(tmp_path, place, "one", "two") as found:
        yield found


@pytest.fixture
async def short(tmp_path: Path, place: str) -> AsyncIterator[list[Process]]:
    """Two processes whose leases end soon."""
    async with processes(tmp_path, place, "one", "two", lease_seconds=LEASE) as found:
        yield found


@pytest.fixture
async def app(tmp_path: Path, place: str) -> AsyncIterator[CompiledGraph]:
    """An app of this process, on the same store."""
    async with open_store(place) as store, build(tmp_path, "here").compile(store) as app:
        yield app


async def journal(app: CompiledGraph, thread: str = "t") -> list[Event]:
    return [event async for event in app.aevents({"thread_id": thread})]


async def frozen(process: Process) -> "asyncio.Task[object]":
    """Freeze a process in the middle of its node, and wait until its lease is over."""
    run = process.call("stream", given={"trail": ["x"]})
    await process.at("wait")
    process.freeze()
    await asyncio.sleep(1.5 * LEASE)
    return run


async def test_of_two_invokes_at_once_exactly_one_runs(pair: list[Process], tmp_path: Path) -> None:
    for number in range(6):
        calls = [process.call("invoke", given={"trail": ["x"]}, thread=f"r{number}") for process in pair]
        refused, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert [str(call.exception()) for call in refused] == ["ThreadBusyError"]
        for process in pair:
            process.open_gate()
        (winner,) = waiting
        name = pair[calls.index(winner)].name
        assert await winner == ["completed", ["x", f"before {name}", f"wait {name}"]]
        for process in pair:
            (tmp_path / process.name).unlink()
    assert len([line for line in ledger(tmp_path) if line.endswith("before")]) == 6


async def test_what_a_frozen_owner_does_after_its_thread_was_taken_over_shows_nowhere(
    short: list[Process], app: CompiledGraph
) -> None:
    one, two = short
    run = await frozen(one)
    two.open_gate()
    done = ["completed", ["x", "before one", "wait two"]]
    assert await two.call("invoke", given=None) == done
    before = await journal(app)

    one.open_gate()
    one.thaw()

    with pytest.raises(CallFailed, match="StaleOwnerError"):
        await run
    assert await one.call("shown") == ["started", "node_completed", "partial"]
    assert await journal(app) == before
    assert [await process.call("state") for process in short] == [done, done]
    assert (await one.call("invoke", given={"trail": ["y"]}))[0] == "completed"


async def test_a_frozen_owner_does_not_write_a_stop_into_the_run_of_its_heir(
    short: list[Process], app: CompiledGraph
) -> None:
    one, two = short
    run = await frozen(one)
    heir = two.call("invoke", given=None)
    await two.at("wait")
    stop = one.call("stop")
    one.thaw()
    with pytest.raises(CallFailed, match="StaleOwnerError"):
        await run
    await stop
    two.open_gate()
    status, trail = await heir
    assert status in ("completed", "stopped")
    assert "wait one" not in trail
    assert all("shown by one" not in str(event.data) for event in await journal(app))


async def test_a_stop_ends_the_run_of_a_frozen_owner(short: list[Process], app: CompiledGraph) -> None:
    one, two = short
    run = await frozen(one)
    stopped = await two.call("stop")
    assert (stopped["ok"], stopped["status"]) == (True, "stopped")
    one.open_gate()
    one.thaw()
    with pytest.raises(CallFailed, match="StaleOwnerError"):
        await run
    assert await two.call("state") == ["stopped", ["x", "before one"]]
    assert [event.event_type for event in await journal(app)].count("stopped") == 1


async def test_a_stop_that_comes_while_the_owner_is_frozen_for_a_moment_is_heard(pair: list[Process]) -> None:
    one, two = pair
    run = one.call("invoke", given={"trail": ["x"]})
    await one.at("wait")
    one.freeze()
    stop = two.call("stop")
    await asyncio.sleep(0.1)
    assert not stop.done()
    one.thaw()
    assert (await stop)["status"] == "stopped"
    assert await run == ["stopped", ["x", "before one"]]


async def test_the_thread_of_a_killed_owner_goes_on_at_once(pair: list[Process]) -> None:
    one, two = pair
    run = one.call("invoke", given={"trail": ["x"]})
    await one.at("wait")
    two.open_gate()
    with pytest.raises(CallFailed, match="ThreadBusyError"):
        await two.call("invoke", given=None)
    await one.kill()
    assert await two.call("invoke", given=None) == ["completed", ["x", "before one", "wait two"]]
    run.cancel()


async def test_a_run_is_stopped_from_another_process(pair: list[Process], app: CompiledGraph) -> None:
    one, two = pair
    run = one.call("invoke", given={"trail": ["x"]})
    await one.at("wait")
    stopped = await two.call("stop")
    assert (stopped["ok"], stopped["was_running"], stopped["status"]) == (True, True, "stopped")
    assert await run == ["stopped", ["x", "before one"]]
    last = (await journal(app))[-1]
    assert (last.data["reason"], [p["value"] for p in last.data["partials"]]) == ("by two", ["shown by one"])


async def test_a_run_is_followed_and_waited_for_from_another_process(pair: list[Process], app: CompiledGraph) -> None:
    run = pair[0].call("invoke", given={"trail": ["x"]})
    await pair[0].at("wait")
    seen: list[str] = []

    async def follow() -> None:
        async for event in app.aevents(CONFIG, follow=True):
            seen.append(event.event_type)
            if event.event_type == "completed":
                return

    async with asyncio.timeout(20):
        following, joining = asyncio.create_task(follow()), asyncio.create_task(app.ajoin(CONFIG))
        while "node_completed" not in seen:
            await asyncio.sleep(0.005)
        assert not joining.done()
        pair[0].open_gate()
        joined, _ = await asyncio.gather(joining, following)

    assert (joined.status, joined.state.trail) == ("completed", ["x", "before one", "wait one"])
    assert seen == [event.event_type for event in await journal(app)]
    await run


async def test_a_question_of_one_process_is_answered_by_another(pair: list[Process], app: CompiledGraph) -> None:
    one, two = pair
    one.open_gate()
    two.open_gate()
    assert (await one.call("invoke", given={"trail": ["ask"]}))[0] == "interrupted_before"
    assert await two.call("resume", answer=5) == ["completed", ["ask", "before one", "wait one", "answer 5 two"]]
    with pytest.raises(CallFailed, match="AlreadyAnsweredError"):
        await one.call("resume", answer=6)
    (record,) = await app.ainterrupts(CONFIG)
    assert (record.answered_by, record.answer) == ("two", 5)


async def test_one_of_two_answers_at_once_counts(pair: list[Process], app: CompiledGraph) -> None:
    for process in pair:
        process.open_gate()
    for number in range(6):
        thread = f"q{number}"
        await pair[0].call("invoke", given={"trail": ["ask"]}, thread=thread)
        answers = [process.call("resume", answer=index, thread=thread) for index, process in enumerate(pair)]
        found = await asyncio.gather(*answers, return_exceptions=True)
        lost = [one for one in found if isinstance(one, CallFailed)]
        assert [str(one) in ("ThreadBusyError", "AlreadyAnsweredError") for one in lost] == [True]
        (record,) = await app.ainterrupts({"thread_id": thread})
        assert record.answer == found.index(next(one for one in found if one not in lost))


async def test_no_thread_is_wedged_by_what_four_processes_do_to_it(
    tmp_path: Path, place: str, app: CompiledGraph
) -> None:
    names = ("one", "two", "three", "four")
    async with processes(tmp_path, place, *names) as travellers:
        for process in travellers:
            process.open_gate()
        errors = await asyncio.gather(*[p.call("wander", seed=i, calls=25) for i, p in enumerate(travellers)])
    assert {name for found in errors for name in found} <= {
        *("ThreadBusyError", "AlreadyAnsweredError", "NothingToResumeError", "UnknownThreadError"),
    }
    (tmp_path / "here").touch()
    for row in await app.athreads():
        config = {"thread_id": row.thread_id}
        if row.status in (ExecutionStatus.INTERRUPTED_BEFORE, ExecutionStatus.RUNNING):
            await app.astop(config)
        result = await app.ainvoke({"trail": ["end"]}, config)
        if result.interrupted:
            result = await app.aresume(config, 9)
        assert result.status == "completed"
        events = await journal(app, row.thread_id)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        runs = [run_id for run_id, _ in groupby(events, key=lambda event: event.run_id)]
        assert len(runs) == len(set(runs)), "two runs wrote at the same time"
    assert len(await app.athreads()) == 10
