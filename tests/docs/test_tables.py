"""The tables in the documentation say what the code does."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

import taf
from taf import (
    AgentState,
    AppClosedError,
    CompiledGraph,
    EventType,
    InvalidAnswerError,
    NothingToResumeError,
    Reject,
    RunResult,
    StateGraph,
    StopStatus,
    emit,
    errors,
    interrupt,
    task,
)
from taf.checkpointer import BaseCheckpointer
from taf.publisher import CollectingPublisher
from taf.state import InterruptRecord
from taf.state.execution import TRANSITIONS
from tests.docs.pages import table, text

CONFIG = {"thread_id": "t"}


def test_the_status_table_is_that_of_the_code() -> None:
    moves = [[s.value, move.value, to.value] for s, row in TRANSITIONS.items() for move, to in row.items()]

    assert table("docs/graph.md", "| from |") == moves


def test_the_stop_table_has_the_keys_of_the_answer() -> None:
    assert [row[0] for row in table("docs/stopping.md", "| key |")] == list(StopStatus.__annotations__)


def test_the_result_has_the_keys_that_the_page_lists() -> None:
    listed = re.search(r"are the same\. It has (.*?)\.\n", text("docs/graph.md"), re.DOTALL)
    with StateGraph().add_node("a", lambda state: None).compile() as app:
        result: RunResult = app.invoke()

    assert listed
    assert re.findall(r"`(\w+)`", listed[1]) == list(result)


def test_the_record_has_the_fields_that_the_page_lists() -> None:
    listed = re.search(r"A record has (.*?)\.\n", text("docs/interrupts.md"), re.DOTALL)

    assert listed
    assert set(re.findall(r"`(\w+)`", listed[1])) == set(InterruptRecord.__slots__) - {"task", "position", "inner_id"}


def test_the_error_tree_is_that_of_the_code() -> None:
    assert errors.__doc__
    tree = errors.__doc__[errors.__doc__.index("TafError\n") : errors.__doc__.rindex("\n\nConstructors")]

    assert f"```text\n{tree}\n```" in text("docs/errors.md")


def test_the_drawn_tree_names_every_error_below_its_parent() -> None:
    assert errors.__doc__
    parents: list[str] = []
    drawn: dict[str, str] = {}
    for line in errors.__doc__.splitlines():
        found = re.match(r"([│ ├└─]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            parents[depth:] = [found[2]]
            drawn.setdefault(found[2], parents[depth - 1] if depth else "")

    real = {name: getattr(taf, name) for name in taf.__all__ if name.endswith("Error")}
    assert set(drawn) == set(real)
    assert [name for name, parent in drawn.items() if parent and not issubclass(real[name], real[parent])] == []


# -- events ----------------------------------------------------------------------------------------


async def all_kinds(state: AgentState) -> None:
    emit("half", key="k")
    await task("t", len, "abc")
    await interrupt("A small number?", answer=int)


def fail(state: AgentState) -> None:
    raise ValueError("no")


async def say_more(collected: CollectingPublisher) -> None:
    """Send a message into a run, and one that undoes it."""
    has_begun, may_go_on = asyncio.Event(), asyncio.Event()

    async def wait(state: AgentState) -> None:
        has_begun.set()
        await may_go_on.wait()

    app = StateGraph().add_node(wait).add_node("go", lambda state: None).compile(publisher=collected)
    first = asyncio.create_task(app.ainvoke({"a": 1}, CONFIG))
    await has_begun.wait()
    await app.asubmit({"b": 1}, CONFIG, multitask_strategy="steer")
    may_go_on.set()
    await first
    may_go_on.clear()
    has_begun.clear()
    second = asyncio.create_task(app.ainvoke({"c": 1}, CONFIG))
    await has_begun.wait()
    third = asyncio.create_task(app.ainvoke({"d": 1}, CONFIG, multitask_strategy="rollback"))
    await second
    may_go_on.set()
    await third
    await app.aclose()


@pytest.fixture
def told() -> dict[str, set[str]]:
    """The keys of the data of each type of event, from runs that produce them all."""
    collected = CollectingPublisher()
    with StateGraph().add_node(all_kinds).compile(publisher=collected) as app:
        app.invoke({}, CONFIG)
        app.fork(CONFIG)
        app.resume(CONFIG, 3)
        app.update_state(CONFIG, {"color": "blue"})
        app.invoke({"more": 1}, CONFIG)
        app.stop(CONFIG)
        changed = StateGraph().add_node(all_kinds).add_node(fail)
        with changed.compile(app.checkpointer, publisher=collected) as other:
            other.invoke(None, CONFIG)
    with StateGraph().add_node(fail).compile(publisher=collected) as app, pytest.raises(ValueError, match="no"):
        app.invoke()
    asyncio.run(say_more(collected))
    return {event.event_type.value: set(event.data) for event in collected.events}


def test_the_event_table_has_every_type() -> None:
    assert [row[0] for row in table("docs/streaming.md", "| `event_type` |")] == [kind.value for kind in EventType]


def test_the_event_table_has_the_keys_of_the_data(told: dict[str, set[str]]) -> None:
    listed = {
        kind: set(re.findall(r"\w+", re.sub(r"\(.*?\)", "", data)))
        for kind, _, data in table("docs/streaming.md", "| `event_type` |")
    }
    refused = listed.pop("answer_refused")  # an answer that passes the schema and fails the node's own validator

    assert refused == {"interrupt_id"}
    assert told == listed


# -- what a call does ------------------------------------------------------------------------------

NONE, EMPTY, NEW = None, {}, {"said": "more"}


def rest(app: CompiledGraph, thread: str) -> None:
    """Bring the thread to where the table's row begins."""
    if thread == "new":
        return
    app.invoke({"fails": thread == "error", "asks": thread != "completed"}, CONFIG) if thread != "error" else None
    if thread == "stopped":
        app.stop(CONFIG)
    if thread == "error":
        with pytest.raises(ValueError, match="no"):
            app.invoke({"fails": True}, CONFIG)


class Counted(AgentState):
    said: str = ""
    asks: bool = False
    fails: bool = False
    begun: int = 0


async def begin(state: Counted) -> dict[str, Any]:
    return {"begun": state.begun + 1}


async def middle(state: Counted) -> dict[str, Any]:
    if state.fails and not state.said:
        raise ValueError("no")
    if state.asks:
        state.set_interrupt("middle", "look", "interrupted_after")
        return {}
    return {}


@pytest.mark.parametrize(
    ("thread", "given", "passes"),
    [
        ("new", NONE, 1),
        ("new", EMPTY, 1),
        ("new", NEW, 1),
        ("completed", EMPTY, 2),
        ("completed", NEW, 2),
        ("interrupted", NONE, 1),
        ("interrupted", EMPTY, 1),
        ("interrupted", NEW, 1),
        ("stopped", NONE, 1),
        ("stopped", EMPTY, 1),
        ("stopped", NEW, 2),
        ("error", NEW, 2),
    ],
)
def test_a_call_begins_a_pass_or_goes_on_as_the_table_says(
    store: BaseCheckpointer, thread: str, given: Any, passes: int
) -> None:
    with StateGraph(Counted).add_node(begin).add_node(middle).compile(checkpointer=store) as app:
        rest(app, thread)
        before = app.get_state(CONFIG).step if thread != "new" else 0
        result = app.invoke(given, CONFIG)

        assert result.state.begun == passes
        assert result.state.said == (given or {}).get("said", "")
        assert result.step >= (before if passes == 1 else 0)


def test_none_on_a_completed_thread_is_an_error(store: BaseCheckpointer) -> None:
    with StateGraph(Counted).add_node(begin).compile(checkpointer=store) as app:
        app.invoke({}, CONFIG)
        with pytest.raises(NothingToResumeError):
            app.invoke(None, CONFIG)


def test_a_stop_of_each_kind_of_thread_answers_as_the_table_says(store: BaseCheckpointer) -> None:
    rows = {row[0]: (row[1], row[2]) for row in table("docs/stopping.md", "| the thread is |")}
    with StateGraph(Counted).add_node(begin).add_node(middle).compile(checkpointer=store) as app:
        unknown = app.stop(CONFIG)
        assert (str(unknown["ok"]), unknown["status"].value) == rows["unknown"]
        app.invoke({"asks": True}, CONFIG)
        assert app.stop(CONFIG)["status"] == rows["interrupted"][1]
        again = app.stop(CONFIG)
        assert (again["ok"], again["status"], again["was_running"]) == (True, "stopped", False)
    with pytest.raises(AppClosedError):
        app.invoke()


def test_the_answer_table_holds_at_a_breakpoint_and_at_a_question() -> None:
    graph = StateGraph().add_node(all_kinds)
    with graph.compile(interrupt_before=["all_kinds"]) as app:
        app.invoke({}, CONFIG)
        with pytest.raises(InvalidAnswerError):
            app.resume(CONFIG, 3)
        asked = app.resume(CONFIG, True)
        assert asked.interrupt_reason == "A small number?"
        with pytest.raises(InvalidAnswerError):
            app.resume(CONFIG)
        assert app.resume(CONFIG, Reject("no")).status == "completed"
