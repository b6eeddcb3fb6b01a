from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from taf import Approve, interrupt, task
from taf import ExecutionStatus as Status
from taf.checkpointer import BaseCheckpointer
from taf.errors import NonDeterministicReplayError
from tests.pausing.trails import Trail, row

CONFIG = {"thread_id": "t"}


async def ask_then_task(state: Trail) -> None:
    await interrupt("first?")
    await task("work", lambda: 1)
    await interrupt("second?")


async def task_then_ask(state: Trail) -> None:
    await task("work", lambda: 1)
    await interrupt("first?")


async def another_question(state: Trail) -> None:
    await interrupt("other?")


async def another_task(state: Trail) -> None:
    await task("other", lambda: 1)
    await interrupt("first?")


async def a_task_for_a_question(state: Trail) -> None:
    await task("first?", lambda: 1)


async def a_question_for_a_task(state: Trail) -> None:
    await interrupt("work")


async def nothing(state: Trail) -> None:
    return None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            ask_then_task,
            another_question,
            'asked for the question "other?", but the record holds the question "first?"',
        ),
        (ask_then_task, a_task_for_a_question, 'asked for task "first?", but the record holds the question "first?"'),
        (ask_then_task, nothing, 'asked for nothing, but the record holds the question "first?"'),
        (task_then_ask, another_task, 'asked for task "other", but the record holds task "work"'),
        (task_then_ask, a_question_for_a_task, 'asked for the question "work", but the record holds task "work"'),
    ],
)
async def test_a_replay_that_asks_for_something_else_is_an_error(
    before: Any, after: Any, said: str, store: BaseCheckpointer
) -> None:
    await row("node", nodes={"node": before}).compile(store).ainvoke({}, CONFIG)
    app = row("node", nodes={"node": after}).compile(store)
    with pytest.raises(NonDeterministicReplayError) as caught:
        await app.aresume(CONFIG, "an answer")
    assert said in str(caught.value)
    assert (caught.value.node, caught.value.position) == ("node", 0)
    assert (await app.aget_state(CONFIG)).status is Status.ERROR


async def test_the_answer_is_not_lost_by_it(store: BaseCheckpointer) -> None:
    """With the old code back, the node goes on with the answer that was given."""
    got: list[Any] = []

    async def ask(state: Trail) -> None:
        got.append(await interrupt("first?"))

    await row("node", nodes={"node": ask}).compile(store).ainvoke({}, CONFIG)
    with pytest.raises(NonDeterministicReplayError):
        await row("node", nodes={"node": nothing}).compile(store).aresume(CONFIG, "the answer")
    done = await row("node", nodes={"node": ask}).compile(store).ainvoke(None, CONFIG)
    assert (done.status, got) == (Status.COMPLETED, ["the answer"])


async def test_another_question_in_a_task_that_the_node_makes_is_an_error(store: BaseCheckpointer) -> None:
    def asking_both(second: str) -> Callable[[Trail], Any]:
        async def node(state: Trail) -> None:
            await asyncio.gather(interrupt("first?"), interrupt(second))

        return node

    records = (await row("node", nodes={"node": asking_both("second?")}).compile(store).ainvoke({}, CONFIG)).interrupts
    app = row("node", nodes={"node": asking_both("other?")}).compile(store)
    await app.aresume(CONFIG, 1, interrupt_id=records[0].id)
    with pytest.raises(NonDeterministicReplayError, match=r'asked for the question "other\?", .* "second\?"'):
        await app.aresume(CONFIG, 2, interrupt_id=records[1].id)


async def test_a_breakpoint_leaves_nothing_to_replay(store: BaseCheckpointer) -> None:
    app = row("node", nodes={"node": nothing}).compile(store, interrupt_before=["node"])
    await app.ainvoke({}, CONFIG)
    assert (await app.aresume(CONFIG, Approve())).status is Status.COMPLETED


async def test_code_behind_the_record_may_change(store: BaseCheckpointer) -> None:
    async def longer(state: Trail) -> dict[str, Any]:
        answers = [await interrupt("first?"), await interrupt("new?")]
        return {"note": " ".join(answers)}

    async def shorter(state: Trail) -> None:
        await interrupt("first?")

    await row("node", nodes={"node": shorter}).compile(store).ainvoke({}, CONFIG)
    app = row("node", nodes={"node": longer}).compile(store)
    assert (await app.aresume(CONFIG, "a")).interrupt_reason == "new?"
    assert (await app.aresume(CONFIG, "b")).state.note == "a b"
