"""What a node gets back from the record is its own: the next replay finds the record as it was."""

from typing import Any

import pytest

from taf import ExecutionStatus as Status
from taf import interrupt, task
from taf.checkpointer import BaseCheckpointer
from tests.pausing.trails import Trail, row

CONFIG = {"thread_id": "t"}
FOUND = {"pair": (1, {2}), "list": [(3,)]}


async def test_a_recorded_result_is_recalled_as_often_as_the_node_runs(store: BaseCheckpointer) -> None:
    seen: list[Any] = []

    async def node(state: Trail) -> None:
        seen.append(await task("find", lambda: FOUND))
        for question in ("one?", "two?", "three?"):
            await interrupt(question)

    app = row("node", nodes={"node": node}).compile(store)
    result = await app.ainvoke({}, CONFIG)
    while result.interrupted:
        result = await app.aresume(CONFIG, "yes")
    assert seen == [FOUND] * 4


@pytest.mark.parametrize("declared", [None, list[Any], dict[str, Any] | list[Any]])
async def test_what_a_node_does_to_an_answer_or_a_result_is_not_recalled(
    store: BaseCheckpointer, declared: Any
) -> None:
    seen: list[Any] = []

    async def node(state: Trail) -> None:
        for got in (await task("find", lambda: [[1]]), await interrupt("first?", answer=declared)):
            seen.append([list(part) for part in got])
            got[0].append("changed")
        await interrupt("second?")

    app = row("node", nodes={"node": node}).compile(store)
    await app.ainvoke({}, CONFIG)
    await app.aresume(CONFIG, [[2]])
    done = await app.aresume(CONFIG, "yes")
    assert done.status is Status.COMPLETED
    assert seen == [[[1]], [[2]]] * 2
