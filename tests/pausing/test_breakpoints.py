from __future__ import annotations

from typing import Any

import pytest

from taf import ExecutionStatus as Status
from taf import Message
from taf.checkpointer import BaseCheckpointer
from taf.errors import NothingToResumeError
from tests.pausing.trails import loop, row
from tests.styles import run

CONFIG = {"thread_id": "t"}
NAMES = ("first", "middle", "last")
said = Message.text_message


@pytest.mark.parametrize("at", NAMES)
@pytest.mark.parametrize("is_async", [True, False])
async def test_a_breakpoint_before_a_node_pauses_once_and_the_node_has_not_run(
    at: str, is_async: bool, style: str, store: BaseCheckpointer
) -> None:
    app = row(*NAMES, is_async=is_async).compile(store, interrupt_before=[at])
    paused = await run(app, style, {}, CONFIG)
    assert (paused.status, paused.current_node) == (Status.INTERRUPTED_BEFORE, at)
    assert paused.state.trail == list(NAMES[: NAMES.index(at)])
    done = await run(app, style, None, CONFIG)
    assert (done.status, done.state.trail, done.interrupts) == (Status.COMPLETED, list(NAMES), ())


@pytest.mark.parametrize("at", NAMES)
@pytest.mark.parametrize("is_async", [True, False])
async def test_a_breakpoint_after_a_node_pauses_once_and_the_node_is_committed(
    at: str, is_async: bool, style: str, store: BaseCheckpointer
) -> None:
    app = row(*NAMES, is_async=is_async).compile(store, interrupt_after=[at])
    paused = await run(app, style, {}, CONFIG)
    assert (paused.status, paused.current_node) == (Status.INTERRUPTED_AFTER, at)
    assert paused.state.trail == list(NAMES[: NAMES.index(at) + 1])
    done = await run(app, style, {}, CONFIG)
    assert (done.status, done.state.trail, done.interrupts) == (Status.COMPLETED, list(NAMES), ())


async def pauses(app: Any, style: str) -> list[tuple[str, str | None, int]]:
    """Run a thread to its end, and return each pause: its status, its node, and how long the trail was."""
    found: list[tuple[str, str | None, int]] = []
    result = await run(app, style, {}, CONFIG)
    while result.interrupted and len(found) < 20:
        found.append((result.status.value, result.current_node, len(result.state.trail)))
        result = await run(app, style, None, CONFIG)
    assert result.status is Status.COMPLETED
    return found


async def test_a_node_with_both_breakpoints_pauses_before_and_after(style: str, store: BaseCheckpointer) -> None:
    app = row(*NAMES).compile(store, interrupt_before=["middle"], interrupt_after=["middle"])
    before, after = ("interrupted_before", "middle", 1), ("interrupted_after", "middle", 2)
    assert await pauses(app, style) == [before, after]


async def test_breakpoints_behind_one_node_and_before_the_next_are_two_pauses(
    style: str, store: BaseCheckpointer
) -> None:
    app = row("a", "b").compile(store, interrupt_after=["a"], interrupt_before=["b"])
    assert await pauses(app, style) == [("interrupted_after", "a", 1), ("interrupted_before", "b", 1)]


async def test_every_node_can_have_every_breakpoint(style: str, store: BaseCheckpointer) -> None:
    app = row(*NAMES).compile(store, interrupt_before=NAMES, interrupt_after=NAMES)
    expected = [
        pause
        for i, name in enumerate(NAMES)
        for pause in (("interrupted_before", name, i), ("interrupted_after", name, i + 1))
    ]
    assert await pauses(app, style) == expected


async def test_in_a_loop_a_breakpoint_before_pauses_at_every_visit(style: str, store: BaseCheckpointer) -> None:
    app = loop("again", 4).compile(store, interrupt_before=["again"])
    assert await pauses(app, style) == [("interrupted_before", "again", done) for done in range(4)]


async def test_in_a_loop_a_breakpoint_after_pauses_at_every_visit(style: str, store: BaseCheckpointer) -> None:
    app = loop("again", 4).compile(store, interrupt_after=["again"])
    assert await pauses(app, style) == [("interrupted_after", "again", done) for done in range(1, 5)]


async def test_in_a_loop_both_breakpoints_pause_at_every_visit(style: str, store: BaseCheckpointer) -> None:
    app = loop("again", 3).compile(store, interrupt_before=["again"], interrupt_after=["again"])
    expected = [
        pause for i in range(3) for pause in (("interrupted_before", "again", i), ("interrupted_after", "again", i + 1))
    ]
    assert await pauses(app, style) == expected


async def test_resumed_after_the_last_node_nothing_is_run_again(style: str, store: BaseCheckpointer) -> None:
    app = row("only").compile(store, interrupt_after=["only"])
    await run(app, style, {}, CONFIG)
    done = await run(app, style, None, CONFIG)
    assert (done.status, done.state.trail, done.step) == (Status.COMPLETED, ["only"], 1)
    with pytest.raises(NothingToResumeError):
        await run(app, style, None, CONFIG)


async def test_input_given_at_a_resume_is_merged(style: str, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    await run(app, style, {"messages": [said("do it")], "note": "old", "trail": ["given"]}, CONFIG)
    done = await run(app, style, {"messages": [said("approved")], "note": "new"}, CONFIG)
    assert [message.text() for message in done.messages] == ["do it", "approved"]
    assert (done.state.note, done.state.trail) == ("new", ["given", "a", "b"])


async def test_input_given_at_a_resume_after_the_last_node_is_merged(style: str, store: BaseCheckpointer) -> None:
    app = row("only").compile(store, interrupt_after=["only"])
    await run(app, style, {"messages": [said("one")]}, CONFIG)
    done = await run(app, style, {"messages": [said("two")]}, CONFIG)
    assert [message.text() for message in done.messages] == ["one", "two"]


async def test_a_second_pass_asks_again(style: str, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    for turn in (1, 2):
        paused = await run(app, style, {"note": "go"}, CONFIG)
        assert paused.status is Status.INTERRUPTED_BEFORE
        done = await run(app, style, None, CONFIG)
        assert done.state.trail == ["a", "b"] * turn


async def test_breakpoints_take_any_iterable_of_names(store: BaseCheckpointer) -> None:
    for names in ("b", ["b"], ("b",), {"b"}, iter(["b"])):
        app = row("a", "b").compile(store, interrupt_before=names)
        assert (await app.ainvoke({})).current_node == "b"


async def test_threads_pause_apart_from_each_other(style: str, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"])
    for thread in ("one", "two"):
        await run(app, style, {}, {"thread_id": thread})
    await run(app, style, None, {"thread_id": "one"})
    assert (await app.aget_state({"thread_id": "one"})).status is Status.COMPLETED
    assert (await app.aget_state({"thread_id": "two"})).status is Status.INTERRUPTED_BEFORE


async def test_a_resume_goes_on_counting_steps(store: BaseCheckpointer) -> None:
    app = row(*NAMES).compile(store, interrupt_before=["last"])
    assert (await app.ainvoke({}, CONFIG)).step == 2
    assert (await app.ainvoke(None, CONFIG)).step == 3
