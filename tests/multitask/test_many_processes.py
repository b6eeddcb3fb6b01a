"""A hundred messages at once from four processes to one thread: one run at a time, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.multitask.crowd import CONFIG, Log, build
from tests.places import open_store

HANG = 120.0
PROCESSES, EACH = ("a", "b", "c", "d"), 25
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("pg_dsn") if request.param == "postgres" else tmp_path / "t.db")


async def crowd(place: str, strategy: str, path: Path) -> list[dict[str, Any]]:
    """Let four processes submit at the same moment; return what became of each message."""
    running = [
        await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-W",
                "error",
                "-m",
                "tests.multitask.crowd",
                place,
                strategy,
                name,
                str(EACH),
                str(path),
            ),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for name in PROCESSES
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        said = await asyncio.gather(*(process.communicate(b"go\n") for process in running))
    finally:
        for process in running:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert [process.returncode for process in running] == [0] * len(running)
    return [one for out, _ in said for one in json.loads(out)]


def require_one_at_a_time(lines: list[str]) -> None:
    """No node begins before the one that runs has ended."""
    active: str | None = None
    for line in lines:
        word, run_id = line.split()
        if word == "begin":
            assert active is None, f"{run_id} began while {active} ran"
            active = run_id
        else:
            assert active == run_id
            active = None


@pytest.mark.parametrize("strategy", ["enqueue", "interrupt", "rollback", "steer"])
async def test_a_hundred_messages_from_four_processes(place: str, tmp_path: Path, strategy: str) -> None:
    path = tmp_path / "log"
    names = {f"{name}-{number:02}" for name in PROCESSES for number in range(EACH)}
    async with asyncio.timeout(HANG):
        found = await crowd(place, strategy, path)
        async with open_store(place) as store, build(Log(str(path))).compile(store) as app:
            assert await app.aqueue(CONFIG) == ()
            state = await app.aget_state(CONFIG)
            events = [event async for event in app.aevents(CONFIG)]

    require_one_at_a_time(path.read_text().splitlines())
    assert {one["name"] for one in found} == names
    began = [event.run_id for event in events if event.event_type == "started"]
    steered = [name for event in events if event.event_type == "steered" for name in event.data["messages"]]
    assert sorted([*began, *steered]) == sorted(names), "each message began a run, or came into one, once"
    heard = [message.text() for message in state.state.messages if message.role == "user"]
    if strategy != "rollback":
        assert sorted(heard) == sorted(names)
    for process in PROCESSES:  # the second half of each was submitted in this order
        own = [name for name in (*began, *steered) if name.startswith(process) and int(name[2:]) >= EACH // 2]
        assert own == sorted(own) or strategy == "steer"
    for one in found:
        assert one["status"] == ("stopped" if one["by"] else "completed")
        assert one["run"] == one["name"] or strategy == "steer"
    assert state.status == "completed"
    assert sum(one["by"] is None for one in found) >= (len(names) if strategy in ("enqueue", "steer") else 1)
