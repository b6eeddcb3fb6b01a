"""The table "what a call does", row by row: by the thread's status, for None, for {} and for new input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from taf import CompiledGraph
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import NothingToResumeError, UnknownThreadError
from tests.pausing.trails import Trail, row, step
from tests.styles import run

CONFIG = {"thread_id": "t"}
NEW = {"note": "new"}
GIVEN = pytest.mark.parametrize("given", [None, {}, NEW], ids=["none", "empty", "input"])
NOTHING = pytest.mark.parametrize("nothing", [None, {}], ids=["none", "empty"])


class Trouble:
    """A node that fails, dies or goes well, as it is told."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    async def __call__(self, state: Trail) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {"trail": ["b"]}


class Died(BaseException):
    """Ends a run as the end of its process would: nothing is written any more."""


async def failed(app: CompiledGraph, trouble: Trouble) -> None:
    trouble.error = ConnectionError("down")
    with pytest.raises(ConnectionError):
        await app.ainvoke({}, CONFIG)


async def died(app: CompiledGraph, trouble: Trouble) -> None:
    trouble.error = Died()
    with pytest.raises(Died):
        await app.ainvoke({}, CONFIG)


Arrange = Callable[[CompiledGraph, Trouble], Awaitable[None]]


def app_with(trouble: Trouble, store: BaseCheckpointer, **points: Any) -> CompiledGraph:
    return row("a", "b", "c", nodes={"b": trouble}).compile(store, **points)


@GIVEN
async def test_a_new_thread_starts_at_start(given: Any, style: str, store: BaseCheckpointer) -> None:
    done = await run(app_with(Trouble(), store), style, given, CONFIG)
    assert (done.status, done.state.trail, done.state.note) == (
        Status.COMPLETED,
        ["a", "b", "c"],
        (given or {}).get("note", ""),
    )


@pytest.mark.parametrize("given", [{}, NEW], ids=["empty", "input"])
async def test_a_completed_thread_starts_a_new_pass_on_the_kept_state(
    given: Any, style: str, store: BaseCheckpointer
) -> None:
    app = app_with(Trouble(), store)
    first = await run(app, style, {"note": "old"}, CONFIG)
    done = await run(app, style, given, CONFIG)
    assert (done.state.trail, done.state.note) == (["a", "b", "c"] * 2, given.get("note", "old"))
    assert (done.step, done.run_id == first.run_id) == (3, False)


async def test_a_completed_thread_has_nothing_to_resume(style: str, store: BaseCheckpointer) -> None:
    app = app_with(Trouble(), store)
    await run(app, style, {}, CONFIG)
    before = await app.aget_state(CONFIG)
    with pytest.raises(NothingToResumeError, match="completed"):
        await run(app, style, None, CONFIG)
    with pytest.raises(NothingToResumeError):
        await app.aresume(CONFIG)
    assert await app.aget_state(CONFIG) == before


@GIVEN
@pytest.mark.parametrize("points", [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}], ids=["before", "after"])
async def test_a_paused_thread_resumes_and_merges_what_is_given(
    points: Any, given: Any, style: str, store: BaseCheckpointer
) -> None:
    app = app_with(Trouble(), store, **points)
    await run(app, style, {"note": "old"}, CONFIG)
    done = await run(app, style, given, CONFIG)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["a", "b", "c"])
    assert done.state.note == (given or {}).get("note", "old")


@NOTHING
@pytest.mark.parametrize("arrange", [failed, died])
async def test_a_thread_that_failed_or_whose_owner_died_continues_from_the_last_step(
    arrange: Arrange, nothing: Any, style: str, store: BaseCheckpointer
) -> None:
    trouble = Trouble()
    app = app_with(trouble, store)
    await arrange(app, trouble)
    trouble.error = None
    done = await run(app, style, nothing, CONFIG)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["a", "b", "c"])


@pytest.mark.parametrize("arrange", [failed, died])
async def test_a_thread_that_failed_or_whose_owner_died_starts_a_new_pass_on_input(
    arrange: Arrange, style: str, store: BaseCheckpointer
) -> None:
    trouble = Trouble()
    app = app_with(trouble, store)
    await arrange(app, trouble)
    trouble.error = None
    done = await run(app, style, NEW, CONFIG)
    assert (done.state.trail, done.state.note, done.step) == (["a", "a", "b", "c"], "new", 3)


@NOTHING
async def test_a_stopped_thread_continues_from_the_last_step(nothing: Any, style: str, store: BaseCheckpointer) -> None:
    guarded = app_with(Trouble(), store, interrupt_before=["b"])
    await run(guarded, style, {}, CONFIG)
    await guarded.astop(CONFIG)
    done = await run(app_with(Trouble(), store), style, nothing, CONFIG)
    assert (done.status, done.state.trail) == (Status.COMPLETED, ["a", "b", "c"])


async def test_a_stopped_thread_starts_a_new_pass_on_input(style: str, store: BaseCheckpointer) -> None:
    guarded = app_with(Trouble(), store, interrupt_before=["b"])
    await run(guarded, style, {}, CONFIG)
    await guarded.astop(CONFIG)
    done = await run(app_with(Trouble(), store), style, NEW, CONFIG)
    assert done.state.trail == ["a", "a", "b", "c"]


@pytest.mark.parametrize("arrange", [failed, died])
async def test_resume_continues_what_failed_or_died(arrange: Arrange, store: BaseCheckpointer) -> None:
    trouble = Trouble()
    app = app_with(trouble, store)
    await arrange(app, trouble)
    trouble.error = None
    assert (await app.aresume(CONFIG)).state.trail == ["a", "b", "c"]


async def test_resume_does_not_make_a_thread(store: BaseCheckpointer) -> None:
    app = app_with(Trouble(), store)
    with pytest.raises(UnknownThreadError):
        await app.aresume(CONFIG)
    assert await app.athreads() == []


async def test_a_bare_message_and_a_state_are_input(store: BaseCheckpointer) -> None:
    from taf import Message

    app = row("a", nodes={"a": step("a")}).compile(store)
    for given in (Message.text_message("x"), [Message.text_message("x")], Trail(context=[Message.text_message("x")])):
        result = await app.ainvoke(given)
        assert [message.text() for message in result.messages] == ["x"]
