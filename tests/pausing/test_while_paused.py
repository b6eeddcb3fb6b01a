from __future__ import annotations

from typing import Any

import pytest

from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import AlreadyAnsweredError, ConfigError, ThreadPausedError
from tests.pausing.trails import asking, row
from tests.styles import run

CONFIG = {"thread_id": "t"}


def options(where: str, value: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what to give ``compile`` and what to give the call."""
    given: dict[str, Any] = {"while_paused": value}
    return (given, {}) if where == "compile" else ({}, given)


WHERE = pytest.mark.parametrize("where", ["compile", "call"])


@WHERE
async def test_resume_merges_the_input_and_goes_on(where: str, style: str, store: BaseCheckpointer) -> None:
    at_compile, at_call = options(where, "resume")
    app = row("a", "b").compile(store, interrupt_before=["b"], **at_compile)
    await run(app, style, {"note": "old"}, CONFIG)
    done = await run(app, style, {"note": "new"}, CONFIG, **at_call)
    assert (done.state.note, done.state.trail) == ("new", ["a", "b"])


@WHERE
async def test_reject_refuses_new_input_and_changes_nothing(where: str, style: str, store: BaseCheckpointer) -> None:
    at_compile, at_call = options(where, "reject")
    app = row("a", "b").compile(store, interrupt_before=["b"], **at_compile)
    await run(app, style, {"note": "old"}, CONFIG)
    before = await app.aget_state(CONFIG)
    with pytest.raises(ThreadPausedError, match='Paused before node "b"') as caught:
        await run(app, style, {"note": "new"}, CONFIG, **at_call)
    assert (caught.value.thread_id, caught.value.reasons) == ("t", ('Paused before node "b".',))
    assert await app.aget_state(CONFIG) == before


@WHERE
@pytest.mark.parametrize("nothing", [None, {}])
async def test_reject_lets_a_call_without_input_resume(
    nothing: Any, where: str, style: str, store: BaseCheckpointer
) -> None:
    at_compile, at_call = options(where, "reject")
    app = row("a", "b").compile(store, interrupt_before=["b"], **at_compile)
    await run(app, style, {}, CONFIG)
    assert (await run(app, style, nothing, CONFIG, **at_call)).status is Status.COMPLETED


@WHERE
async def test_reject_takes_input_when_nothing_is_paused(where: str, style: str, store: BaseCheckpointer) -> None:
    at_compile, at_call = options(where, "reject")
    app = row("a").compile(store, **at_compile)
    for turn in (1, 2):
        assert (await run(app, style, {"note": "go"}, CONFIG, **at_call)).state.trail == ["a"] * turn


@WHERE
async def test_supersede_withdraws_the_question_and_begins_a_new_pass(
    where: str, style: str, store: BaseCheckpointer
) -> None:
    at_compile, at_call = options(where, "supersede")
    app = row("a", "b").compile(store, interrupt_before=["b"], **at_compile)
    first = await run(app, style, {"note": "old"}, CONFIG)
    second = await run(app, style, {"note": "new"}, CONFIG, **at_call)
    assert (second.status, second.state.trail, second.state.note) == (Status.INTERRUPTED_BEFORE, ["a", "a"], "new")
    assert second.run_id != first.run_id
    assert [record.status for record in await app.ainterrupts(CONFIG)] == ["open", "withdrawn"]
    with pytest.raises(AlreadyAnsweredError, match="withdrawn"):
        await app.aresume(CONFIG, True, interrupt_id=first.interrupts[0].id)


async def test_supersede_withdraws_a_question_inside_a_node_too(style: str, store: BaseCheckpointer) -> None:
    app = row("ask", nodes={"ask": asking("ask", "sure?")}).compile(store)
    (old,) = (await run(app, style, {}, CONFIG)).interrupts
    (new,) = (await run(app, style, {"note": "new"}, CONFIG, while_paused="supersede")).interrupts
    assert new.id != old.id
    assert (await app.aresume(CONFIG, "yes")).state.trail == ["ask:yes"]


async def test_a_call_can_differ_from_what_was_compiled(style: str, store: BaseCheckpointer) -> None:
    app = row("a", "b").compile(store, interrupt_before=["b"], while_paused="reject")
    await run(app, style, {}, CONFIG)
    assert (await run(app, style, {"note": "x"}, CONFIG, while_paused="resume")).status is Status.COMPLETED


async def test_an_unknown_word_is_refused(style: str, store: BaseCheckpointer) -> None:
    with pytest.raises(ConfigError, match="while_paused"):
        row("a").compile(store, while_paused="ignore")
    app = row("a", "b").compile(store, interrupt_before=["b"])
    await run(app, style, {}, CONFIG)
    with pytest.raises(ConfigError, match="while_paused"):
        await run(app, style, {"note": "x"}, CONFIG, while_paused="ignore")
