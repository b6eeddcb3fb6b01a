"""The hot path and the general way of a step write the same records."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, model_validator

from taf import (
    END,
    AgentState,
    Command,
    Context,
    Event,
    InMemoryCheckpointer,
    Message,
    Send,
    StateGraph,
    add_messages,
    append,
    emit,
    interrupt,
    merge,
    task,
)
from taf.checkpointer.base import Record, ThreadKey
from taf.graph.straight import StraightAhead
from taf.serialization import decompressed

CONFIG = {"thread_id": "t", "run_id": "r", "recursion_limit": 6}


class State(BaseModel):
    count: int = 0
    label: str = ""
    items: Annotated[list[int], append] = []
    table: Annotated[dict[str, int], merge] = {}
    plain: list[str] = []
    any: Any = None


class Whole(State):
    @model_validator(mode="after")
    def small(self) -> Whole:
        if self.count > 2:
            raise ValueError("too much")
        return self


class Agent(AgentState):
    count: int = 0


class Note(BaseModel):
    id: Any


class Notes(BaseModel):
    notes: Annotated[list[Note], add_messages] = []


class Judged(AgentState):
    @model_validator(mode="after")
    def short(self) -> Judged:
        if len(self.messages) > 1:
            raise ValueError("too many")
        return self


async def up(state: Any) -> dict[str, Any]:
    return {"count": state.count + 1}


async def lists(state: State) -> dict[str, Any]:
    return {"items": [state.count, 7], "table": {f"k{state.count}": 1}, "plain": ["x"], "count": state.count + 1}


async def nothing(state: Any) -> None:
    return None


async def in_place(state: State) -> State:
    state.count += 1
    state.plain.append("y")
    return state


async def wrong(state: Any) -> dict[str, Any]:
    raise RuntimeError("no")


async def unknown_field(state: Any) -> dict[str, Any]:
    return {"nope": 1}


async def unstorable(state: Any) -> dict[str, Any]:
    return {"any": object()}


async def surrogates(state: Any) -> dict[str, Any]:
    return {"label": "\ud800 alone"}


async def long(state: Any) -> dict[str, Any]:
    return {"label": "x" * 10_000}


async def jump(state: Any) -> Command:
    return Command(goto="c", update={"count": 5})


async def ask_state(state: Agent) -> dict[str, Any]:
    if state.count == 1:
        state.set_interrupt("b", "look")
    return {"count": state.count + 1}


async def ask(state: Any) -> dict[str, Any]:
    return {"label": str(await interrupt("well?"))}


async def record(state: Any) -> dict[str, Any]:
    return {"count": await task("one", lambda: 3)}


async def show(state: Any) -> dict[str, Any]:
    emit("half", key="k")
    return {"count": state.count + 1}


async def send_one(state: Any) -> Command:
    return Command(goto=Send("c", {"count": 40}))


async def say(state: Any) -> Message:
    return Message(id=f"m{len(state.messages)}", role="assistant", content="said")


async def correct(state: Any) -> Message:
    return Message(id="m0", role="assistant", content="corrected")


async def say_much(state: Agent) -> list[Message]:
    return [await say(state), await correct(state)]


async def say_and_count(state: Agent) -> dict[str, Any]:
    return {"count": state.count + 1, "context": [await say(state), await correct(state)]}


async def say_and_ask(state: Agent) -> Message:
    state.set_interrupt("b", "look")
    return await say(state)


async def note(state: Notes) -> dict[str, Any]:
    return {"notes": Note(id=len(state.notes) or "first")}


async def note_without_hash(state: Notes) -> dict[str, Any]:
    return {"notes": [Note(id=["a list"])]}


def row(*nodes: Callable[..., Any], model: type[BaseModel] = State) -> StateGraph:
    return (
        StateGraph(model)
        .add_sequence((name, node) for name, node in zip("abcdef", nodes, strict=False))
        .set_entry_point("a")
    )


def diamond() -> StateGraph:
    graph = StateGraph(State)
    for name in "abcd":
        graph.add_node(name, lists if name in "bc" else up)
    graph.add_edge("a", "b").add_edge("a", "c").add_edge(["b", "c"], "d").set_entry_point("a")
    graph.add_edge("d", END)
    return graph


def branching() -> StateGraph:
    graph = row(up, up, up)
    graph.add_conditional_edges("c", lambda state: "a" if state.count < 5 else END, ["a", END])
    return graph


CASES: dict[str, tuple[Callable[[], StateGraph], dict[str, Any]]] = {
    "a row": (lambda: row(up, up, up), {}),
    "lists and dicts": (lambda: row(lists, up, lists), {}),
    "nothing returned": (lambda: row(up, nothing, up), {}),
    "a changed state": (lambda: row(up, in_place, up), {}),
    "a failing node": (lambda: row(up, wrong, up), {}),
    "an unknown field": (lambda: row(up, unknown_field, up), {}),
    "what cannot be stored": (lambda: row(up, unstorable, up), {}),
    "surrogates": (lambda: row(up, surrogates, up), {}),
    "a long text": (lambda: row(long, long, up), {}),
    "a Command": (lambda: row(up, jump, up, up), {}),
    "a Send": (lambda: row(up, send_one, up, up), {}),
    "set_interrupt": (lambda: row(up, ask_state, up, model=Agent), {}),
    "an agent's state": (lambda: row(up, up, up, model=Agent), {}),
    "a message": (lambda: row(say, correct, say, model=Agent), {}),
    "several messages": (lambda: row(say_much, say, model=Agent), {}),
    "messages and a field": (lambda: row(say, say_and_count, say_and_count, model=Agent), {}),
    "a message and set_interrupt": (lambda: row(say, say_and_ask, say, model=Agent), {}),
    "messages judged as a whole": (lambda: row(say, say, model=Judged), {}),
    "a message where none is held": (lambda: row(up, correct, model=State), {}),
    "items with ids": (lambda: row(note, note, note, model=Notes), {}),
    "an id that cannot be one": (lambda: row(note, note_without_hash, model=Notes), {}),
    "a question": (lambda: row(up, ask, up), {}),
    "a recorded task": (lambda: row(up, record, up), {}),
    "a partial": (lambda: row(up, show, up), {}),
    "judged as a whole": (lambda: row(up, up, up, model=Whole), {}),
    "the recursion limit": (lambda: row(up, up, up, up, up, up).add_edge("f", "a"), {}),
    "a diamond": (diamond, {}),
    "a router": (branching, {}),
    "a pause before": (lambda: row(up, up, up), {"interrupt_before": ["b"]}),
    "a pause after": (lambda: row(up, up, up), {"interrupt_after": ["b"]}),
}


def comparable(record: Record) -> tuple[Any, ...]:
    """A record without what is made up anew each time."""
    body = re.sub(rb"[0-9a-f]{26}|\d{4}-\d\d-\d\dT[^\"]*", b"*", decompressed(record.body))
    return record.sequence, record.kind, record.step, body, record.items


async def taken(graph: StateGraph, points: dict[str, Any], *, streamed: bool) -> tuple[list[Any], list[Any]]:
    """Run a graph twice on a thread; return its records and the events that were told."""
    store, told = InMemoryCheckpointer(), list[Any]()
    app = graph.compile(checkpointer=store, **points)
    for _ in range(2):  # the second call goes on, where there is something to go on with
        with suppress(Exception):
            if streamed:
                told += [comparable_event(event) async for event in app.astream({}, CONFIG)]
            else:
                await app.ainvoke({}, CONFIG)
    return [comparable(record) for record in await store.read(ThreadKey("", "t"))], told


def comparable_event(event: Event) -> Any:
    data = {name: value for name, value in event.data.items() if name not in ("interrupts", "interrupt_id")}
    return replace(event, timestamp=datetime.min, data=data)


async def only_the_general_way(self: Any, ledger: Any, limit: int) -> None:
    return None


@pytest.mark.parametrize("case", CASES)
async def test_both_ways_write_the_same_records_and_tell_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, points = CASES[case]

    quick, _ = await taken(make(), points, streamed=False)
    heard, told = await taken(make(), points, streamed=True)
    monkeypatch.setattr(StraightAhead, "_went_straight", only_the_general_way)
    general, told_generally = await taken(make(), points, streamed=True)

    assert quick == heard == general
    assert told == told_generally
    assert len(quick) > 2


@pytest.mark.parametrize("nodes", [(up, up, up), (say, say_and_count, say)])
async def test_a_row_takes_the_hot_path_told_or_not(
    nodes: Sequence[Callable[..., Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[int] = []
    straight = StraightAhead._went_straight

    async def watched(self: Any, ledger: Any, limit: int) -> Any:
        begin = ledger.run.step
        left = await straight(self, ledger, limit)
        went.append(ledger.catch_up().step - begin)
        return left

    monkeypatch.setattr(StraightAhead, "_went_straight", watched)
    app = row(*nodes, model=Agent).compile()
    await app.ainvoke({}, CONFIG)
    assert went == [3]
    [event async for event in app.astream({"count": 0}, {"thread_id": "u"})]
    assert went == [3, 3]


async def test_each_node_of_a_row_knows_its_own_step_and_goes_on_knowing_it() -> None:
    known: list[tuple[Context, int]] = []

    async def keep(state: State, ctx: Context) -> dict[str, Any]:
        known.append((ctx, ctx.step))
        return {"count": state.count + 1}

    await row(keep, keep, keep).compile().ainvoke({}, CONFIG)

    assert [step for _, step in known] == [ctx.step for ctx, _ in known] == [0, 1, 2]
    assert [ctx.run.values.get("count") for ctx, _ in known[1:]] == [1, 2]


async def test_a_run_that_is_looked_at_on_its_way_goes_on_as_if_it_were_not() -> None:
    seen: list[tuple[int, int, Any]] = []

    async def look(state: State) -> dict[str, Any]:
        run = app._flights._having["t"].engine.run
        seen.append((run.sequence, run.step, run.values.get("count")))
        return {"count": state.count + 1}

    app = row(up, look, up, look).compile()
    result = await app.ainvoke({}, CONFIG)

    assert seen == [(2, 1, 1), (4, 3, 3)]
    assert (result.step, result.state.count) == (4, 4)
    assert [one.state.count for one in await app.aget_history(CONFIG)] == [4, 4, 3, 2, 1, 0]
