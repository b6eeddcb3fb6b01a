"""Random changes of random graphs under a paused thread: it ends as it should, or is refused and left as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from taf import END, START, ExecutionStatus, InMemoryCheckpointer, StateGraph
from taf.errors import GraphChangedError
from taf.graph import CompiledGraph
from tests.pausing.trails import Trail, step
from tests.rounds import rounds

CONFIG = {"thread_id": "t"}
LETTERS = "abcdef"


@dataclass(frozen=True)
class Plan:
    """A graph without loops: nodes are letters, whatever they are called, and lead to later letters."""

    letters: tuple[str, ...]
    edges: frozenset[tuple[str, str]]
    joins: frozenset[tuple[str, str, str]] = frozenset()
    called: Mapping[str, str] = field(default_factory=dict[str, str])

    def name(self, letter: str) -> str:
        return self.called.get(letter, letter)

    def letter(self, name: str) -> str:
        return next((letter for letter in self.letters if self.name(letter) == name), "")

    def build(self) -> StateGraph:
        graph = StateGraph(Trail)
        for letter in self.letters:
            graph.add_node(self.name(letter), step(letter)).add_edge(self.name(letter), END)
        for source, target in sorted(self.edges):
            graph.add_edge(START if source == "^" else self.name(source), self.name(target))
        for one, other, target in sorted(self.joins):
            graph.add_edge([self.name(one), self.name(other)], self.name(target))
        return graph


def valid(letters: Iterable[str], edges: Iterable[Any], joins: Iterable[Any], called: Mapping[str, str]) -> Plan:
    """Return a plan of what is left when letters are gone; it begins somewhere."""
    kept = tuple(sorted(letters))
    found = {(a, b) for a, b in edges if (a == "^" or a in kept) and b in kept}
    if not any(a == "^" for a, _ in found):
        found.add(("^", kept[0]))
    return Plan(kept, frozenset(found), frozenset(j for j in joins if set(j) <= set(kept)), called)


pairs = st.tuples(st.sampled_from("^" + LETTERS), st.sampled_from(LETTERS)).filter(lambda p: p[0] < p[1] or p[0] == "^")
edges = st.sets(pairs, max_size=9)
triples = st.sets(st.sampled_from(LETTERS), min_size=3, max_size=3).map(lambda s: tuple(sorted(s)))
joins = st.sets(triples, max_size=2)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    return valid(draw(st.sets(st.sampled_from(LETTERS), min_size=2)), draw(edges), draw(joins), {})


@st.composite
def changed(draw: st.DrawFn, old: Plan) -> tuple[Plan, dict[str, str]]:
    """Return a plan that differs, and those of its new names that are declared."""
    some = st.sets(st.sampled_from(LETTERS), max_size=2)
    letters = ({*old.letters} - draw(some)) | draw(some) or {*old.letters}
    flip = st.sets(pairs, max_size=3)
    new = valid(letters, old.edges ^ draw(flip), old.joins ^ draw(joins.filter(lambda j: len(j) < 2)), {})
    renamed = {letter: letter.upper() for letter in draw(some) if letter in new.letters}
    declared = {old: new for old, new in renamed.items() if draw(st.integers(0, 3))}
    return replace(new, called=renamed), declared


def walk(plan: Plan, frontier: list[str], arrived: Mapping[Any, set[str]]) -> tuple[list[str], dict[Any, set[str]]]:
    """Return which letters run, and which joins starve: half arrived at the end, and never complete before.

    A source that runs again behind a join that was complete leaves it half arrived in any graph.
    """
    complete: set[Any] = set()
    waiting = {join: set(there) for join, there in arrived.items()}
    trail: list[str] = []
    while frontier:
        trail += frontier
        ways = [b for a in frontier for x, b in sorted(plan.edges) if x == a]
        for join in sorted(plan.joins):
            here = waiting.get(join, set()) | ({*join[:2]} & {*frontier})
            if here == {*join[:2]}:
                waiting.pop(join, None)
                complete.add(join)
                ways.append(join[2])
            elif here:
                waiting[join] = here
        frontier = list(dict.fromkeys(ways))
    return trail, {join: there for join, there in waiting.items() if join not in complete}


def joins_of(plan: Plan, run: Any) -> dict[Any, set[str]]:
    named = {f"{plan.name(a)}+{plan.name(b)}->{plan.name(c)}": (a, b, c) for a, b, c in plan.joins}
    return {named[name]: set(map(plan.letter, there)) for name, there in run.details.joins.items()}


async def upgrade(old: Plan, new: Plan, declared: Mapping[str, str], guard: str) -> None:
    with InMemoryCheckpointer() as store:
        before = old.build().compile(store, interrupt_before=[guard])
        paused = await before.ainvoke({}, CONFIG)
        if not paused.interrupted:
            return
        found = await before.runtime.journal.read("t")
        assert found is not None
        ahead = [task.node for task in found[0].frontier]
        arrived = joins_of(old, found[0])
        app = new.build().compile(store, rename_nodes=declared)
        kept = {letter for letter in new.letters if letter not in new.called or letter in declared}
        try:
            done = await app.ainvoke(None, CONFIG)
        except GraphChangedError:
            await refused(before, old, paused.state.trail, ahead, arrived)
            # A join under names that nobody declared is a new one.
            are_joins_kept = arrived.keys() <= new.joins <= old.joins and all(map(kept.issuperset, new.joins))
            assert not (kept.issuperset(ahead) and are_joins_kept)
            return
        assert kept.issuperset(ahead)
        assert arrived.keys() <= new.joins
        trail, waiting = walk(new, ahead, arrived)
        event("went on")
        assert done.status is ExecutionStatus.COMPLETED
        assert done.state.trail == [*paused.state.trail, *trail]
        assert not waiting.keys() - old.joins, "a new join was left half arrived"


async def refused(app: CompiledGraph, plan: Plan, before: list[str], ahead: list[str], arrived: Any) -> None:
    """The thread is where it was, and the old graph goes on with it."""
    event("refused")
    snapshot = await app.aget_state(CONFIG)
    assert (snapshot.status, snapshot.state.trail) == (ExecutionStatus.INTERRUPTED_BEFORE, before)
    result = snapshot
    while result.status is not ExecutionStatus.COMPLETED:
        result = await app.ainvoke(None, CONFIG)
    assert result.state.trail == [*before, *walk(plan, ahead, arrived)[0]]


@settings(max_examples=rounds(150), deadline=None)
@given(old=plans(), data=st.data())
def test_a_thread_goes_on_as_the_graph_says_or_is_refused_and_left_alone(old: Plan, data: st.DataObject) -> None:
    new, declared = data.draw(changed(old))
    asyncio.run(upgrade(old, new, declared, data.draw(st.sampled_from(old.letters))))


@settings(max_examples=rounds(60), deadline=None)
@given(old=plans(), data=st.data())
def test_declared_new_names_alone_change_nothing_of_the_answer(old: Plan, data: st.DataObject) -> None:
    names = {letter: letter.upper() for letter in data.draw(st.sets(st.sampled_from(old.letters)))}
    new = replace(old, called=names)

    async def both() -> None:
        guard = data.draw(st.sampled_from(old.letters))
        with InMemoryCheckpointer() as store:
            for thread in "to":
                await old.build().compile(store, interrupt_before=[guard]).ainvoke({}, {"thread_id": thread})
            app, unchanged = new.build().compile(store, rename_nodes=names), old.build().compile(store)
            await app.ainvoke({}, {"thread_id": "t"})
            await unchanged.ainvoke({}, {"thread_id": "o"})
            ended = [await app.aget_state({"thread_id": "t"}), await unchanged.aget_state({"thread_id": "o"})]
            assert ended[0].state.trail == ended[1].state.trail
            assert ended[0].status is ended[1].status is ExecutionStatus.COMPLETED

    asyncio.run(both())
