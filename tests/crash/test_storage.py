"""What a step stores grows with what it changes, whatever the length of the thread."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from taf import END, AgentState, Message, SqliteCheckpointer, StateGraph
from taf.checkpointer.base import Commit, Signal
from taf.state import append

STEPS, ITEM = 400, 1000
CONFIG: dict[str, Any] = {"thread_id": "t", "recursion_limit": STEPS + 1}


class Pile(AgentState):
    items: Annotated[list[str], append] = []


def growing() -> StateGraph:
    async def add(state: Pile) -> dict[str, Any]:
        return {"items": [os.urandom(ITEM // 2).hex()]}

    graph = StateGraph(Pile).add_node("add", add).set_entry_point("add")
    return graph.add_conditional_edges("add", lambda state: "add" if len(state.items) < STEPS else END)


async def test_a_list_that_grows_takes_less_than_three_times_its_size(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with SqliteCheckpointer(path, synchronous="NORMAL") as store, growing().compile(store) as app:
        done = await app.ainvoke({}, CONFIG)
        assert (len(done.state.items), done.step) == (STEPS, STEPS)
    assert sum(os.path.getsize(tmp_path / name) for name in os.listdir(tmp_path)) < 3 * STEPS * ITEM


class Weighed(SqliteCheckpointer):
    """Counts the bytes that it is given to keep."""

    written = 0

    async def append(self, commit: Commit) -> Sequence[Signal]:
        self.written += sum(len(record.body) + len(record.items or b"") for record in commit.records)
        self.written += sum(map(len, commit.snapshot.parts)) if commit.snapshot is not None else 0
        return await super().append(commit)


async def written(path: Path, messages: int) -> int:
    """Return how many bytes 20 further turns store on a thread of so many messages."""

    async def reply(state: AgentState) -> Message:
        return Message.text_message("a reply", role="assistant")

    graph = StateGraph().add_node("reply", reply)
    async with Weighed(path, synchronous="NORMAL") as store, graph.compile(store) as app:
        given = [Message.text_message("a question") for _ in range(messages)]
        await app.ainvoke({"messages": given}, CONFIG)
        before = store.written
        for _ in range(20):
            done = await app.ainvoke({"messages": [Message.text_message("a question")]}, CONFIG)
        assert len(done.messages) == messages + 41
        return store.written - before


async def test_a_long_thread_stores_no_more_per_step_than_a_short_one(tmp_path: Path) -> None:
    short = await written(tmp_path / "short.db", 10)
    long = await written(tmp_path / "long.db", 10_000)
    assert long <= short * 1.1
