"""The app that paused is gone; another one, on the same store, goes on exactly where it was."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from taf import ExecutionStatus as Status
from taf import Message, Reject, interrupt, task
from taf.checkpointer import BaseCheckpointer, SqliteCheckpointer
from tests.pausing.trails import Trail, asking, fan, loop, row
from tests.styles import run

CONFIG = {"thread_id": "t"}
Reopen = Callable[[], BaseCheckpointer]


async def test_a_breakpoint(style: str, store: BaseCheckpointer, reopen: Reopen) -> None:
    graph = row("a", "b", "c")
    paused = await run(
        graph.compile(store, interrupt_before=["b"]), style, {"messages": [Message.text_message("hi")]}, CONFIG
    )
    app = graph.compile(reopen(), interrupt_before=["b"])
    found = await app.aget_state(CONFIG)
    assert (found.status, found.interrupts, found.state) == (paused.status, paused.interrupts, paused.state)
    done = await run(app, style, None, CONFIG)
    assert (done.status, done.state.trail, [m.text() for m in done.messages]) == (
        Status.COMPLETED,
        ["a", "b", "c"],
        ["hi"],
    )


async def test_a_breakpoint_in_a_loop(style: str, store: BaseCheckpointer, reopen: Reopen) -> None:
    graph = loop("again", 4)
    result, seen = await run(graph.compile(store, interrupt_after=["again"]), style, {}, CONFIG), list[int]()
    while result.interrupted:
        seen.append(len(result.state.trail))
        result = await run(graph.compile(reopen(), interrupt_after=["again"]), style, None, CONFIG)
    assert seen == [1, 2, 3, 4]


async def test_questions_one_after_the_other(store: BaseCheckpointer, reopen: Reopen) -> None:
    runs: list[str] = []

    async def ask(state: Trail) -> dict[str, Any]:
        runs.append("begun")
        first = await interrupt("when?", answer=datetime)
        stamp = await task("stamp", lambda: runs.append("stamped") or "s")
        second = await interrupt("sure?", answer=bool)
        return {"note": f"{first:%Y} {stamp} {second}"}

    graph = row("a", "ask", nodes={"ask": ask})
    await graph.compile(store).ainvoke({}, CONFIG)
    await graph.compile(reopen()).aresume(CONFIG, datetime(2025, 1, 2, tzinfo=UTC))
    done = await graph.compile(reopen()).aresume(CONFIG, True)
    assert (done.status, done.state.note, done.state.trail) == (Status.COMPLETED, "2025 s True", ["a"])
    assert (runs.count("stamped"), runs.count("begun")) == (1, 3)


async def test_questions_of_parallel_nodes_and_what_their_sibling_returned(
    store: BaseCheckpointer, reopen: Reopen
) -> None:
    runs: list[str] = []

    async def free(state: Trail) -> dict[str, Any]:
        runs.append("free")
        return {"trail": ["free"]}

    nodes = {"one": asking("one", "one?"), "free": free, "two": asking("two", "two?")}
    graph = fan("one", "free", "two", nodes=nodes)
    one, two = (await graph.compile(store).ainvoke({}, CONFIG)).interrupts
    half = await graph.compile(reopen()).aresume(CONFIG, "b", interrupt_id=two.id)
    assert half.interrupts == (one,)
    done = await graph.compile(reopen()).aresume(CONFIG, "a", interrupt_id=one.id)
    assert done.state.trail == ["start", "one:a", "free", "two:b", "end"]
    assert runs == ["free"]


async def test_guards_answered_by_different_processes(store: BaseCheckpointer, reopen: Reopen) -> None:
    graph, points = fan("one", "two"), {"interrupt_before": ["one", "two"]}
    one, two = (await graph.compile(store, **points).ainvoke({}, CONFIG)).interrupts
    await graph.compile(reopen(), **points).aresume(CONFIG, Reject("no"), by="alice", interrupt_id=one.id)
    done = await graph.compile(reopen(), **points).aresume(CONFIG, True, by="bob", interrupt_id=two.id)
    assert done.state.trail == ["start", "two", "end"]
    assert {record.answered_by for record in await graph.compile(reopen()).ainterrupts(CONFIG)} == {"alice", "bob"}


@pytest.mark.parametrize("status", [Status.INTERRUPTED_BEFORE, Status.INTERRUPTED_AFTER])
async def test_what_a_node_asked_for(status: Status, style: str, store: BaseCheckpointer, reopen: Reopen) -> None:
    async def ask(state: Trail) -> dict[str, Any]:
        state.set_interrupt("ask", "look", status, data={"pair": (1, 2), "at": datetime(2025, 1, 2, tzinfo=UTC)})
        return {"trail": ["ask"]}

    graph = row("ask", "b", nodes={"ask": ask})
    await run(graph.compile(store), style, {}, CONFIG)
    done = await run(graph.compile(reopen()), style, None, CONFIG)
    assert done.state.trail == (["ask", "ask", "b"] if status is Status.INTERRUPTED_BEFORE else ["ask", "b"])


async def test_a_rejection_behind_one_of_two_branches(store: BaseCheckpointer, reopen: Reopen) -> None:
    graph = fan("one", "two")
    await graph.compile(store, interrupt_after=["one"]).ainvoke({}, CONFIG)
    done = await graph.compile(reopen()).aresume(CONFIG, Reject("no"))
    assert done.state.trail == ["start", "one", "two", "end"]


PROGRAM = """
    import asyncio, sys
    from taf import SqliteCheckpointer, StateGraph, interrupt
    from tests.pausing.trails import asking, row

    async def main():
        graph = row("a", "ask", nodes={"ask": asking("ask", "sure?", answer=int)})
        app = graph.compile(SqliteCheckpointer(sys.argv[1]))
        if sys.argv[2] == "ask":
            result = await app.ainvoke({}, {"thread_id": "t"})
        else:
            result = await app.aresume({"thread_id": "t"}, int(sys.argv[2]), by="another process")
        print(result.status, result.interrupt_reason, *result.state.trail)

    asyncio.run(main())
"""


def in_another_process(path: Path, word: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path), word]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


async def test_a_question_asked_in_one_process_is_answered_in_another(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    assert in_another_process(path, "ask") == "interrupted_before sure? a"
    assert in_another_process(path, "5") == "completed None a ask:5"
    with SqliteCheckpointer(path) as store:
        (record,) = await row("a", "ask").compile(store).ainterrupts(CONFIG)
    assert (record.answered_by, record.answer) == ("another process", 5)
