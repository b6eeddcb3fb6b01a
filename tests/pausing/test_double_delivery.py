"""One pause, many who answer it at once: one answer is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from taf import CompiledGraph
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import AlreadyAnsweredError, ThreadBusyError
from tests.pausing.trails import Trail, row

CONFIG = {"thread_id": "t"}
CALLERS = 20


def counting(runs: list[str]) -> Any:
    async def b(state: Trail) -> dict[str, Any]:
        runs.append("b")
        await asyncio.sleep(0.001)
        return {"trail": ["b"]}

    return row("a", "b", "c", nodes={"b": b})


async def answer(app: CompiledGraph, number: int, interrupt_id: str, *, in_thread: bool) -> str:
    try:
        if in_thread:
            await asyncio.to_thread(app.resume, CONFIG, True, by=f"caller {number}", interrupt_id=interrupt_id)
        else:
            await app.aresume(CONFIG, True, by=f"caller {number}", interrupt_id=interrupt_id)
    except (AlreadyAnsweredError, ThreadBusyError):
        return ""
    return f"caller {number}"


@pytest.mark.parametrize("in_thread", [True, False])
async def test_of_many_callers_one_is_heard(in_thread: bool, store: BaseCheckpointer) -> None:
    runs: list[str] = []
    app = counting(runs).compile(store, interrupt_before=["b"])
    (record,) = (await app.ainvoke({}, CONFIG)).interrupts
    heard = await asyncio.gather(*(answer(app, i, record.id, in_thread=in_thread) for i in range(CALLERS)))
    (winner,) = filter(None, heard)
    (closed,) = await app.ainterrupts(CONFIG)
    assert (closed.answered_by, runs) == (winner, ["b"])
    done = await app.aget_state(CONFIG)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["a", "b", "c"])


@pytest.mark.parametrize("in_thread", [True, False])
async def test_of_two_apps_on_one_store_one_is_heard(
    in_thread: bool, store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    runs: list[str] = []
    graph = counting(runs)
    apps = [graph.compile(store, interrupt_before=["b"]), graph.compile(reopen(), interrupt_before=["b"])]
    (record,) = (await apps[0].ainvoke({}, CONFIG)).interrupts
    heard = await asyncio.gather(*(answer(apps[i % 2], i, record.id, in_thread=in_thread) for i in range(CALLERS)))
    (winner,) = filter(None, heard)
    for app in apps:
        assert [closed.answered_by for closed in await app.ainterrupts(CONFIG)] == [winner]
        assert (await app.aget_state(CONFIG)).state.trail == ["a", "b", "c"]
    assert runs == ["b"]
