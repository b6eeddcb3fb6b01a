"""The explorers come to every cut, find nothing where nothing is wrong, and find what was planted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taf import AgentState, Command, ConfigError, InMemoryCheckpointer, SqliteCheckpointer, StateGraph, interrupt, task
from taf.checkpointer import BaseCheckpointer
from taf.checkpointer.base import Record, ThreadKey
from taf.testing import (
    LEAVE_OPEN,
    BrokenInvariantError,
    Report,
    acrash_at,
    ainterrupt_at,
    crash_at,
    interrupt_at,
)
from tests.testing.journey import ANSWERS, World, compiled

Explorer = Callable[..., Any]


@pytest.fixture(params=["memory", "sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], BaseCheckpointer]:
    """What makes an empty store."""
    numbers = itertools.count()
    if request.param == "memory":
        return InMemoryCheckpointer
    return lambda: SqliteCheckpointer(tmp_path / f"{next(numbers)}.db")


# --- a sound graph ---


@pytest.mark.parametrize("explore", [acrash_at, ainterrupt_at])
async def test_a_sound_graph_ends_the_same_wherever_it_is_cut(
    explore: Explorer, stores: Callable[[], BaseCheckpointer]
) -> None:
    world = World()

    report = await explore(
        lambda store: compiled(world, store),
        {"trail": ["input"]},
        answers=ANSWERS,
        store=stores,
        fresh=world.done.clear,
        world=world.done.copy,
    )

    assert report.failures == ()
    assert len(set(report.cuts)) == len(report.cuts) > 30


async def test_a_crash_is_tried_on_both_sides_of_every_append() -> None:
    async def first(state: AgentState) -> dict[str, Any]:
        return {"first": await task("one", lambda: 1)}

    report = await acrash_at(StateGraph().add_node("first", first).add_node("last", lambda state: None))

    kinds = ["started", "task_recorded", "stepped", "stepped, completed"]
    assert list(report.cuts) == [
        f"crash {side} append {number} ({kind})"
        for number, kind in enumerate(kinds, 1)
        for side in ("before", "behind")
    ]


async def test_each_node_is_interrupted_at_each_visit() -> None:
    def count(state: AgentState) -> Command:
        rounds = getattr(state, "rounds", 0) + 1
        return Command(update={"rounds": rounds}, goto="count" if rounds < 2 else "ask")

    async def ask(state: AgentState) -> None:
        await interrupt("sure?")

    graph = StateGraph().add_node("count", count).add_node("ask", ask).add_edge("__start__", "count")
    report = await ainterrupt_at(graph.add_edge("count", "ask"), answers={"sure?": True})

    assert list(report.cuts) == [
        'breakpoint before "count"',
        'breakpoint after "count"',
        'stop as "count" begins, visit 1',
        'stop as "count" ends, visit 1',
        'stop as "count" begins, visit 2',
        'stop as "count" ends, visit 2',
        'breakpoint before "ask"',
        'breakpoint after "ask"',
        'stop as "ask" begins, visit 1',
        'stop as "ask" begins, visit 2',
        'stop as "ask" ends, visit 2',
        "stop at question 1",
    ]


@pytest.mark.parametrize("explore", [acrash_at, ainterrupt_at])
async def test_what_is_left_open_is_open_wherever_it_is_cut(explore: Explorer) -> None:
    async def ask(state: AgentState) -> None:
        await interrupt("sure?")

    report = await explore(StateGraph().add_node("ask", ask), answers={"sure?": LEAVE_OPEN})

    assert report.cuts


def test_a_sync_program_explores_too() -> None:
    graph = StateGraph().add_node("first", lambda state: {"first": 1})

    assert [type(explore(graph, {"a": 1})) for explore in (crash_at, interrupt_at)] == [Report, Report]


# --- planted bugs ---


class Till:
    """Takes money, each time it is asked."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def charge(self) -> int:
        self.taken.append(1)
        return len(self.taken)

    def options(self) -> dict[str, Any]:
        return {"fresh": self.taken.clear, "world": lambda: len(self.taken), "check": False}


async def test_an_effect_before_its_record_is_found() -> None:
    till = Till()

    async def pay(state: AgentState) -> dict[str, Any]:
        return {"paid": bool(await task("charge", till.charge))}

    report = await acrash_at(StateGraph().add_node("pay", pay), **till.options())

    (failure,) = report.failures
    assert (failure.cut, failure.invariant) == ("crash before append 2 (task_recorded)", "world")
    assert failure.what == "the world is 2, and undisturbed 1"


@pytest.mark.parametrize("explore", [acrash_at, ainterrupt_at])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_node_that_is_not_idempotent_is_found(explore: Explorer, is_async: bool) -> None:
    till = Till()

    def pay(state: AgentState) -> None:
        till.charge()

    async def pay_later(state: AgentState) -> None:
        till.charge()

    graph = StateGraph().add_node("pay", pay_later if is_async else pay).add_node("last", lambda state: None)
    report = await explore(graph, **till.options())

    where = "crash before append 2 (stepped)" if explore is acrash_at else 'stop as "pay" ends, visit 1'
    assert [(failure.cut, failure.invariant) for failure in report.failures] == [(where, "world")]


async def test_a_node_that_looks_at_what_it_did_before_is_found() -> None:
    till = Till()

    async def number(state: AgentState) -> dict[str, Any]:
        return {"number": till.charge()}

    report = await acrash_at(StateGraph().add_node("number", number), fresh=till.taken.clear, check=False)

    assert report.invariants == {"state"}
    assert "'number': 2" in report.failures[0].what


async def test_a_question_that_is_another_one_after_a_crash_is_found() -> None:
    calls: list[int] = []

    async def ask(state: AgentState) -> None:
        calls.append(1)
        await interrupt("how many?" if len(calls) == 1 else "how much?")

    graph = StateGraph().add_node("ask", ask)
    report = await acrash_at(graph, answers={"ask": LEAVE_OPEN}, fresh=calls.clear, check=False)

    assert [(failure.cut, failure.what) for failure in report.failures] == [
        ("crash before append 2 (paused)", '"how many?" of node "ask" was never asked')
    ]


class Forgetful(InMemoryCheckpointer):
    """Loses what it acknowledged last when its writer dies."""

    def abandon(self, key: ThreadKey, epoch: int) -> None:
        thread = self._threads.get(key)
        if thread is not None and thread.epoch == epoch and thread.records:
            thread.records.pop()
            thread.head = Record._make(thread.records[-1]).sequence if thread.records else 0
        super().abandon(key, epoch)


async def test_a_store_that_forgets_is_found() -> None:
    async def pay(state: AgentState) -> dict[str, Any]:
        return {"paid": await task("charge", lambda: 1)}

    graph = StateGraph().add_node("pay", pay).add_node("last", lambda state: None)
    report = await acrash_at(graph, store=Forgetful, check=False)

    assert report.invariants == {"history"}
    assert "record 1 was acknowledged, and the store holds none at most" in report.failures[0].what


async def test_a_task_that_runs_again_though_it_was_recorded_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taf.graph.context.Context._recorded", lambda *_: None)
    monkeypatch.setattr("taf.graph.context.Context.memo", property(lambda self: {}))

    async def pay(state: AgentState) -> dict[str, Any]:
        return {"paid": await task("charge", lambda: 1)}

    report = await acrash_at(StateGraph().add_node("pay", pay), check=False)

    assert report.invariants == {"tasks"}


async def test_a_thread_that_cannot_go_on_is_found() -> None:
    is_first = True

    def fragile(state: AgentState) -> None:
        nonlocal is_first
        if not is_first:
            raise ValueError("only once")
        is_first = False

    def fresh() -> None:
        nonlocal is_first
        is_first = True

    report = await acrash_at(StateGraph().add_node("fragile", fragile), fresh=fresh, check=False)

    assert [(failure.cut, failure.what) for failure in report.failures] == [
        ("crash before append 2 (stepped, completed)", "the thread cannot go on: ValueError: only once")
    ]


# --- how it is told ---


def test_what_was_found_is_raised_in_clear_words() -> None:
    till = Till()
    graph = StateGraph().add_node("pay", lambda state: till.taken.append(1))

    with pytest.raises(AssertionError) as caught:
        crash_at(graph, **till.options() | {"check": True})

    assert isinstance(caught.value, BrokenInvariantError)
    assert str(caught.value) == (
        "1 of 4 cuts broke an invariant:\n"
        "  crash before append 2 (stepped, completed): the world is 2, and undisturbed 1"
    )
    assert len(caught.value.report.cuts) == 4


async def test_what_the_undisturbed_run_raises_is_raised() -> None:
    def broken(state: AgentState) -> None:
        raise ValueError("always")

    with pytest.raises(ValueError, match="always"):
        await acrash_at(StateGraph().add_node("broken", broken))


async def test_an_app_with_a_store_of_its_own_is_refused() -> None:
    graph = StateGraph().add_node("first", lambda state: None)

    with pytest.raises(ConfigError, match="the store that it is given"):
        await acrash_at(lambda store: graph.compile())


async def test_a_sync_explorer_says_which_one_a_loop_needs() -> None:
    with pytest.raises(ConfigError, match="Use acrash_at"):
        crash_at(StateGraph().add_node("first", lambda state: None))
