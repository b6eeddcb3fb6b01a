"""Property: a graph that is paused and resumed ends as the same graph that ran through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import hypothesis.strategies as st
from hypothesis import given, settings

from taf import END, START, AgentState, InMemoryCheckpointer, Reject, StateGraph, interrupt, interrupt_sync, task
from taf import ExecutionStatus as Status
from taf.graph import CompiledGraph, RunResult
from taf.state import append, merge
from tests.rounds import rounds

CONFIG = {"thread_id": "t", "recursion_limit": 200}
LONGEST = 120


class State(AgentState):
    trail: Annotated[list[str], append] = []
    visits: Annotated[dict[str, int], merge] = {}


@dataclass
class Plan:
    """A small graph: to whom each node leads, how often it may run, and what it asks of humans."""

    size: int
    edges: list[set[int]]
    rounds: list[int]
    questions: list[int]
    tasks: list[bool]
    is_async: list[bool]
    looks: list[bool]
    before: set[int] = field(default_factory=set)
    after: set[int] = field(default_factory=set)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    size = draw(st.integers(1, 4))
    nodes = st.integers(0, size - 1)

    def each(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=size, max_size=size))

    return Plan(
        size,
        each(st.sets(nodes, max_size=2)),
        each(st.integers(1, 2)),
        each(st.sampled_from([0, 0, 1, 2])),
        each(st.booleans()),
        each(st.booleans()),
        each(st.booleans()),
        draw(st.sets(nodes)),
        draw(st.sets(nodes)),
    )


def name(number: int) -> str:
    return f"n{number}"


def node(plan: Plan, number: int, *, asks: bool, calls: list[str]) -> Callable[[State], Any]:
    """Return a node. Where it does not ask, it answers its questions itself, as the humans of this test do."""
    questions = [f"{name(number)} q{i}" for i in range(plan.questions[number])]

    def finish(state: State, answers: list[str]) -> dict[str, Any]:
        if asks and plan.looks[number]:
            state.set_interrupt(name(number), "look", Status.INTERRUPTED_AFTER)
        visit = state.visits.get(name(number), 0) + 1
        return {"trail": [f"{name(number)}.{visit} {answers}"], "visits": {name(number): visit}}

    async def work(state: State) -> dict[str, Any]:
        if plan.tasks[number]:
            await task("work", lambda: calls.append(name(number)))
        return finish(state, [await interrupt(q) if asks else f"answer to {q}" for q in questions])

    def work_sync(state: State) -> dict[str, Any]:
        return finish(state, [interrupt_sync(q) if asks else f"answer to {q}" for q in questions])

    return work if plan.is_async[number] or plan.tasks[number] else work_sync


def build(plan: Plan, *, asks: bool, calls: list[str]) -> StateGraph:
    graph = StateGraph(State).add_edge(START, name(0))
    for number in range(plan.size):
        graph.add_node(name(number), node(plan, number, asks=asks, calls=calls))
        graph.add_conditional_edges(name(number), router(plan, number))
    return graph


def router(plan: Plan, number: int) -> Callable[[State], list[str]]:
    def route(state: State) -> list[str]:
        ahead = sorted(plan.edges[number])
        return [name(n) for n in ahead if state.visits.get(name(n), 0) < plan.rounds[n]] or [END]

    return route


async def answered(app: CompiledGraph, result: RunResult, pick: Callable[[int], int]) -> RunResult:
    """Answer one of the open interrupts."""
    record = result.interrupts[pick(len(result.interrupts))]
    answer = f"answer to {record.reason}" if record.is_question else True
    return await app.aresume(CONFIG, answer, interrupt_id=record.id)


def names(numbers: set[int]) -> list[str]:
    return [name(number) for number in numbers]


@given(plan=plans(), picks=st.randoms(use_true_random=False), is_new_app=st.booleans(), is_plain=st.booleans())
@settings(max_examples=rounds(150), deadline=None)
def test_a_run_with_pauses_ends_as_one_without(plan: Plan, picks: Any, is_new_app: bool, is_plain: bool) -> None:
    asyncio.run(compare(plan, picks.randrange, is_new_app, is_plain))


async def compare(plan: Plan, pick: Callable[[int], int], is_new_app: bool, is_plain: bool) -> None:
    calls: list[str] = []
    through = await build(plan, asks=False, calls=calls).compile().ainvoke({}, CONFIG)
    store, calls_with_pauses = InMemoryCheckpointer(), list[str]()
    graph = build(plan, asks=True, calls=calls_with_pauses)
    points: dict[str, Any] = {"interrupt_before": names(plan.before), "interrupt_after": names(plan.after)}
    app = graph.compile(store, **points)
    result, pauses = await app.ainvoke({}, CONFIG), 0
    while result.interrupted:
        pauses += 1
        assert pauses < LONGEST
        assert len({record.id for record in result.interrupts}) == len(result.interrupts) > 0
        if is_new_app:
            app = graph.compile(store, **points)
        if is_plain and not any(record.is_question for record in result.interrupts):
            result = await app.ainvoke(None, CONFIG)
        else:
            result = await answered(app, result, pick)
    assert (result.status, through.status) == (Status.COMPLETED, Status.COMPLETED)
    assert result.state.model_dump() == through.state.model_dump()
    assert result.step == through.step
    assert sorted(calls_with_pauses) == sorted(calls)
    statuses = {record.status for record in await app.ainterrupts(CONFIG)}
    assert statuses <= {"answered"}


@given(plan=plans(), picks=st.randoms(use_true_random=False))
@settings(max_examples=rounds(100), deadline=None)
def test_a_run_whose_pauses_are_cancelled_ends_the_same(plan: Plan, picks: Any) -> None:
    async def check() -> None:
        through = await build(plan, asks=False, calls=[]).compile().ainvoke({}, CONFIG)
        app = build(plan, asks=True, calls=[]).compile(
            interrupt_before=names(plan.before), interrupt_after=names(plan.after)
        )
        result, rounds = await app.ainvoke({}, CONFIG), 0
        while result.interrupted:
            rounds += 1
            assert rounds < LONGEST
            if picks.random() < 0.3:
                ids = {record.id for record in result.interrupts}
                await app.astop(CONFIG)
                result = await app.ainvoke(None, CONFIG)
                assert result.interrupted
                assert ids.isdisjoint(record.id for record in result.interrupts)
            result = await answered(app, result, picks.randrange)
        assert result.state.model_dump() == through.state.model_dump()

    asyncio.run(check())


@given(plan=plans(), picks=st.randoms(use_true_random=False))
@settings(max_examples=rounds(100), deadline=None)
def test_no_question_is_ever_left_open_behind_a_run(plan: Plan, picks: Any) -> None:
    """Whatever is approved, rejected or asked again: at the end each record is closed, and the run is complete."""

    async def check() -> None:
        app = build(plan, asks=True, calls=[]).compile(
            interrupt_before=names(plan.before), interrupt_after=names(plan.after)
        )
        result, rounds = await app.ainvoke({}, CONFIG), 0
        while result.interrupted:
            rounds += 1
            assert rounds < LONGEST
            record = picks.choice(result.interrupts)
            answer: Any = f"answer to {record.reason}" if record.is_question else True
            if picks.random() < 0.3:
                answer = Reject("no", goto=picks.choice([None, END]))
            result = await app.aresume(CONFIG, answer, interrupt_id=record.id)
        assert result.status is Status.COMPLETED
        assert all(record.status in ("answered", "rejected") for record in await app.ainterrupts(CONFIG))

    asyncio.run(check())
