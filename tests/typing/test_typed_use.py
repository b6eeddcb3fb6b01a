"""What users see through mypy and pyright, both strict. The tests also run, so that what is typed is also true."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, assert_type

import pytest
from pydantic import BaseModel

from taf import (
    AgentState,
    AlreadyAnsweredError,
    Approve,
    Command,
    CompiledGraph,
    Context,
    Event,
    EventType,
    ExecutionMeta,
    ExecutionStatus,
    InterruptRecord,
    Message,
    Pruned,
    Receipt,
    Recovered,
    Reject,
    RetryPolicy,
    RunResult,
    Send,
    SqliteCheckpointer,
    StateGraph,
    StateSnapshot,
    StopStatus,
    Supervisor,
    append,
    approve_if,
    emit,
    interrupt,
    interrupt_sync,
    task,
    task_sync,
)
from taf.checkpointer import BaseCheckpointer
from taf.checkpointer.base import ThreadRow

CONFIG = {"thread_id": "t"}


class Verdict(BaseModel):
    """An answer."""

    accepts: bool


class Article(AgentState):
    """A state."""

    notes: Annotated[list[str], append] = []


def count(text: str, *, times: int = 1) -> int:
    return len(text) * times


async def fetch(url: str) -> bytes:
    return url.encode()


async def ask(state: Article, config: dict[str, Any], ctx: Context) -> dict[str, str]:
    assert_type(ctx.attempt, int)
    assert_type(ctx.stopping, bool)
    assert_type(state.messages, list[Message])
    assert_type(state.execution_meta, ExecutionMeta)
    assert_type(await task("count", count, "abc", times=2), int)
    assert_type(await task("fetch", fetch, "url"), bytes)
    assert_type(await interrupt("A model?", answer=Verdict), Verdict)
    assert_type(await interrupt("A number?", answer=int), int)
    assert_type(await interrupt("Anything?"), Any)
    emit("done", key="k")
    return {"notes": "asked"}


def ask_sync(state: Article) -> Command:
    assert_type(task_sync("count", count, "abc"), int)
    assert_type(interrupt_sync("A model?", answer=Verdict), Verdict)
    assert_type(interrupt_sync("A list?", answer=list[int]), list[int])
    return Command(update={"notes": "asked again"})


async def nothing(state: Article) -> None:
    """Change nothing."""


def route(state: Article) -> list[Send]:
    return [Send("ask_sync", {"notes": []})]


def build(store: BaseCheckpointer) -> CompiledGraph:
    graph = StateGraph(Article)
    assert_type(graph.add_node(ask), StateGraph)
    graph.add_node("ask_sync", ask_sync, retry=RetryPolicy(max_attempts=2), timeout=10)
    graph.set_entry_point("ask").add_conditional_edges("ask", route, ["ask_sync"])
    app = graph.compile(checkpointer=store, interrupt_before={"ask"}, decide=approve_if(["yes"]))
    assert_type(app, CompiledGraph)
    return app


def test_what_calls_return(tmp_path: Any) -> None:
    with SqliteCheckpointer(tmp_path / "t.db") as store, build(store) as app:
        assert_type(store, SqliteCheckpointer)
        assert_type(app, CompiledGraph)
        result = app.invoke({"messages": [Message.text_message("go")]}, CONFIG)
        assert_type(result, RunResult)
        assert_type(result.interrupted, bool)
        assert_type(result.status, ExecutionStatus)
        assert_type(result.interrupt_reason, str | None)
        assert_type(result.interrupts, tuple[InterruptRecord, ...])
        assert_type(result.messages, list[Message])
        assert_type(result["status"], Any)
        app.resume(CONFIG, Approve(), by="alice")
        for answer in (Verdict(accepts=True), 3, "x", Verdict(accepts=False)):
            app.resume(CONFIG, answer)
        assert_type(app.resume(CONFIG, [1, 2], interrupt_id=app.get_state(CONFIG).interrupts[0].id), RunResult)


def test_what_looks_return() -> None:
    with StateGraph(Article).add_node(nothing).compile() as app:
        receipt = app.submit({}, CONFIG)
        assert_type(receipt, Receipt)
        assert_type(app.join(CONFIG, receipt.run_id), RunResult)
        snapshot = app.get_state(CONFIG)
        assert_type(snapshot, StateSnapshot)
        assert_type(snapshot.next, tuple[str, ...])
        assert_type(snapshot.created_at, datetime | None)
        assert_type(app.get_history(CONFIG, limit=1), list[StateSnapshot])
        assert_type(app.interrupts(CONFIG), list[InterruptRecord])
        assert_type(app.threads(), Sequence[ThreadRow])
        assert_type(app.prune(keep_last=1, older_than=timedelta(days=1)), Pruned)
        assert_type(app.recover(), Recovered)
        assert_type(app.supervise(interval=1), Supervisor)
        assert_type(app.fork(CONFIG), dict[str, Any])
        for event in app.events(CONFIG):
            assert_type(event, Event)
            assert_type(event.event_type, EventType)
        stopped = app.stop(CONFIG)
        assert_type(stopped, StopStatus)
        assert_type(stopped["ok"], bool)
        assert_type(stopped["node"], str | None)
        assert_type(app.delete_thread(CONFIG), bool)


async def test_what_async_calls_return() -> None:
    async with StateGraph(Article).add_node(nothing).compile() as app:
        assert_type(app, CompiledGraph)
        assert_type(await app.ainvoke({}, CONFIG), RunResult)
        assert_type(app.aevents(CONFIG), AsyncGenerator[Event, None])
        async for event in app.aevents(CONFIG):
            assert_type(event, Event)
        assert_type(await app.astop(CONFIG), StopStatus)
        assert_type(await app.aget_state(CONFIG), StateSnapshot)


def test_what_errors_carry() -> None:
    error = AlreadyAnsweredError("t", "i", "answered", "alice", None)
    assert_type(error.by, str | None)
    assert_type(error.at, datetime | None)
    assert_type(Reject("no").goto, str | None)


def test_what_is_wrong_is_found_by_the_checkers_too() -> None:
    with pytest.raises(TypeError):
        StateGraph().compile(interupt_before=["a"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with StateGraph().add_node(nothing).compile() as app, pytest.raises(TypeError):
        app.invoke({}, CONFIG, while_pause="reject")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
