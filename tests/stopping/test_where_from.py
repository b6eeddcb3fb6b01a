"""A stop reaches the run from wherever it is asked for."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taf import ExecutionStatus, SqliteCheckpointer
from taf.checkpointer.base import BaseCheckpointer
from taf.graph import StopStatus
from tests.stopping.slow import CONFIG, Slow, slow_chain
from tests.styles import run

KEYS = {"ok", "thread_id", "run_id", "status", "was_running", "node", "reason", "unwinding", "queued"}


@pytest.fixture(params=["async", "sync"])
def slow(request: pytest.FixtureRequest) -> Slow:
    found = Slow()
    found.fn = found.in_loop if request.param == "async" else found.in_thread
    return found


def is_stopped(answer: StopStatus) -> bool:
    return (answer["ok"], answer["status"], answer["was_running"], answer["node"]) == (True, "stopped", True, "slow")


async def test_from_the_same_loop(store: BaseCheckpointer, slow: Slow, style: str) -> None:
    async with asyncio.timeout(20), slow_chain(store, slow.fn) as app:
        running = asyncio.create_task(run(app, style, {}, CONFIG))
        await slow.until_entered()

        assert is_stopped(await app.astop(CONFIG))
        result = await running
        assert (result.status, result.state.done, result.interrupt_reason) == ("stopped", ["first"], "stopped")


async def test_from_another_thread(store: BaseCheckpointer, slow: Slow, style: str) -> None:
    async with asyncio.timeout(20), slow_chain(store, slow.fn) as app:
        running = asyncio.create_task(run(app, style, {}, CONFIG))
        await slow.until_entered()

        assert is_stopped(await asyncio.to_thread(app.stop, CONFIG))
        assert (await running).status is ExecutionStatus.STOPPED


async def test_from_another_loop(store: BaseCheckpointer, slow: Slow) -> None:
    async with asyncio.timeout(20), slow_chain(store, slow.fn) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()

        assert is_stopped(await asyncio.to_thread(lambda: asyncio.run(app.astop(CONFIG))))
        assert (await running).status is ExecutionStatus.STOPPED


async def test_from_another_app(store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer], slow: Slow) -> None:
    async with asyncio.timeout(20), slow_chain(store, slow.fn) as app, slow_chain(reopen(), slow.fn) as other:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()

        assert is_stopped(await other.astop(CONFIG, "from next door"))
        result = await running
        assert (result.status, result.interrupt_reason) == (ExecutionStatus.STOPPED, "from next door")


async def test_from_another_process(tmp_path: Path, slow: Slow) -> None:
    code = (
        "import json, sys\n"
        "from taf import SqliteCheckpointer\n"
        "from tests.stopping.slow import CONFIG, slow_chain, step\n"
        "with SqliteCheckpointer(sys.argv[1]) as store, slow_chain(store, step('slow')) as app:\n"
        "    print(json.dumps(app.stop(CONFIG, 'from afar')))\n"
    )
    path = str(tmp_path / "t.db")
    async with asyncio.timeout(30):
        with SqliteCheckpointer(path) as store:
            async with slow_chain(store, slow.fn) as app:
                running = asyncio.create_task(app.ainvoke({}, CONFIG))
                await slow.until_entered()
                command = [sys.executable, "-c", code, path]
                found = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=25)

                assert is_stopped(json.loads(found.stdout)), found.stderr
                result = await running
                assert (result.status, result.interrupt_reason) == (ExecutionStatus.STOPPED, "from afar")


async def test_from_within_the_node_itself(store: BaseCheckpointer) -> None:
    async def ends_it(state: object) -> None:
        await app.astop(CONFIG, "enough")

    async with asyncio.timeout(20), slow_chain(store, ends_it, stop_grace=0.2) as app:
        result = await app.ainvoke({}, CONFIG)
        assert (result.status, result.interrupt_reason) == (ExecutionStatus.STOPPED, "enough")


async def test_the_answer_is_a_dict_that_json_takes(store: BaseCheckpointer, slow: Slow) -> None:
    async with asyncio.timeout(20), slow_chain(store, slow.fn) as app:
        running = asyncio.create_task(app.ainvoke({}, {**CONFIG, "run_id": "r"}))
        await slow.until_entered()
        answer = await app.astop(CONFIG, "why not")
        await running

        assert type(answer) is dict
        assert set(answer) == KEYS
        assert json.loads(json.dumps(answer)) == answer
        assert (answer["thread_id"], answer["run_id"]) == ("t", "r")
        assert answer["reason"].startswith("why not")


async def test_twenty_callers_at_once_all_get_the_same_answer(store: BaseCheckpointer, slow: Slow) -> None:
    async with asyncio.timeout(20), slow_chain(store, slow.fn) as app:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await slow.until_entered()
        ways = [app.astop(CONFIG) if n % 2 else asyncio.to_thread(app.stop, CONFIG) for n in range(20)]
        answers = await asyncio.gather(*ways)
        result = await running

        assert {(answer["ok"], answer["status"], answer["run_id"]) for answer in answers} == {
            (True, "stopped", result.run_id)
        }


async def test_from_another_app_the_answer_names_what_is_still_at_it(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    entered, let_go = asyncio.Event(), asyncio.Event()

    async def stubborn(state: object) -> None:
        entered.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    app, other = slow_chain(store, stubborn, stop_grace=0.05), slow_chain(reopen(), stubborn)
    async with asyncio.timeout(20), app, other:
        running = asyncio.create_task(app.ainvoke({}, CONFIG))
        await entered.wait()
        answer = await other.astop(CONFIG)
        await running
        assert (answer["ok"], answer["status"], answer["unwinding"]) == (True, "stopped", ["slow"])
        let_go.set()
