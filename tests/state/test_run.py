"""A thread is the fold over its facts: wherever one begins to fold, it comes out the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taf.errors import InvalidTransitionError
from taf.state.execution import TRANSITIONS, ExecutionMeta, ExecutionStatus, Move
from taf.state.facts import (
    Completed,
    Entry,
    Fact,
    Failed,
    Forked,
    Paused,
    Resumed,
    Started,
    Stepped,
    Stopped,
    Task,
    TaskRecorded,
    Updated,
)
from taf.state.interrupts import InterruptKind
from taf.state.run import Run, Stage, evolve, replay, width
from tests.rounds import rounds
from tests.state.journals import SCHEMA, journals, outline

slow = settings(max_examples=rounds(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
TASK = Task("a", "a")


@slow
@given(journals(), st.data())
def test_a_replay_from_any_cut_equals_the_whole_replay(facts: list[Fact], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(facts)))
    whole = replay(SCHEMA, Run("t"), facts)
    half = replay(SCHEMA, Run("t"), facts[:cut])

    assert outline(replay(SCHEMA, half, facts[cut:])) == outline(whole)
    assert outline(replay(SCHEMA, half, facts[cut:])) == outline(whole), "a run was changed by what came after it"


@slow
@given(journals())
def test_a_run_stays_what_it_was_after_more_facts(facts: list[Fact]) -> None:
    run, known = Run("t"), []
    for fact in facts:
        run = evolve(SCHEMA, run, fact)
        known.append((run, outline(run)))

    assert [outline(run) for run, _ in known] == [before for _, before in known]


@slow
@given(journals())
def test_sequences_have_no_holes(facts: list[Fact]) -> None:
    run = Run("t")
    for fact in facts:
        after = evolve(SCHEMA, run, fact)
        assert after.sequence == run.sequence + width(fact)
        assert after.thread_id == "t"
        run = after


FACTS: dict[Move, Fact] = {
    Move.START: Started("r", (("append", "grown", [1]),), (TASK,)),
    Move.PROGRESS: Stepped((("a", "a", (("append", "grown", [2]),)),), ()),
    Move.PAUSE_BEFORE: Paused(InterruptKind.BEFORE, "a", "why", ()),
    Move.PAUSE_AFTER: Paused(InterruptKind.AFTER, "a", "why", ()),
    Move.RESUME: Resumed("r", (("append", "grown", [3]),)),
    Move.STOP: Stopped("r", "why", "a"),
    Move.COMPLETE: Completed(),
    Move.FAIL: Failed("E", "broken", "a"),
    Move.UPDATE: Updated((("append", "grown", [4]),)),
    Move.REPOSITION: Updated((("append", "grown", [5]),), "a", (TASK,)),
}


@given(st.lists(st.sampled_from(sorted(FACTS)), max_size=20))
def test_any_facts_follow_the_table_or_are_refused_and_change_nothing(moves: list[Move]) -> None:
    run = evolve(SCHEMA, Run("t"), Updated(tuple(SCHEMA.default_ops())))
    for move in moves:
        before = outline(run)
        if move in TRANSITIONS[run.status]:
            after = evolve(SCHEMA, run, FACTS[move])
            assert after.status is TRANSITIONS[run.status][move]
            run = after
            continue
        with pytest.raises(InvalidTransitionError):
            evolve(SCHEMA, run, FACTS[move])
        assert outline(run) == before


def test_a_refused_fact_leaves_the_lists_as_they_were_so_that_the_next_one_copies_nothing() -> None:
    run = replay(SCHEMA, Run("t"), [Started("r", tuple(SCHEMA.default_ops()), ()), Completed()])
    shared = run.values["grown"]._items
    with pytest.raises(InvalidTransitionError):
        evolve(SCHEMA, run, FACTS[Move.PROGRESS])

    assert shared == []


def test_a_thread_that_has_begun_cannot_become_a_fork() -> None:
    fork = Forked("other", 5, Run("", status=ExecutionStatus.STOPPED, step=3), (("set", "count", 1),))
    run = evolve(SCHEMA, Run("t"), fork)

    assert (run.thread_id, run.sequence, run.step, run.values["count"]) == ("t", 1, 3, 1)
    with pytest.raises(InvalidTransitionError, match='cannot be "forked"'):
        evolve(SCHEMA, run, fork)


def begun(*facts: Fact) -> Run:
    return replay(SCHEMA, Run("t"), [Started("r", tuple(SCHEMA.default_ops()), (TASK,)), *facts])


def test_a_step_of_several_nodes_counts_once_as_a_step_and_once_each_as_events() -> None:
    step = Stepped(tuple((name, name, ()) for name in "aab"), (TASK,))
    run = begun(step)

    assert (run.step, run.sequence, run.ran, run.node, run.stage) == (1, 4, ("a", "b"), "b", Stage.LEAVE)
    assert (width(step), width(Stepped((), ())), width(Completed())) == (3, 1, 1)


def test_what_tasks_recorded_is_kept_until_the_step_is_done() -> None:
    recorded = TaskRecorded("a", "a", 0, Entry("task", "fetch", [1]))
    run = begun(recorded, TaskRecorded("a", "a", 1, Entry("task", "send", None)))

    assert run.details.memo == {"a": {0: Entry("task", "fetch", [1]), 1: Entry("task", "send", None)}}
    assert evolve(SCHEMA, run, Stepped((("a", "a", ()),), ())).details.memo == {}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((), ExecutionMeta(ExecutionStatus.RUNNING, "t", "r", 0)),
        (
            (Paused(InterruptKind.BEFORE, "a", "why", ()),),
            ExecutionMeta(ExecutionStatus.INTERRUPTED_BEFORE, "t", "r", 0, "a", "a", "why"),
        ),
        (
            (Paused(InterruptKind.BEFORE, "a", "why", ()), Resumed("r2")),
            ExecutionMeta(ExecutionStatus.RUNNING, "t", "r2", 0, "a"),
        ),
        (
            (Failed("ValueError", "no", "a"),),
            ExecutionMeta(ExecutionStatus.ERROR, "t", "r", 0, "a", error="ValueError: no"),
        ),
        ((Failed("E", "no", "a"), Resumed("r")), ExecutionMeta(ExecutionStatus.RUNNING, "t", "r", 0, "a")),
        ((Completed(),), ExecutionMeta(ExecutionStatus.COMPLETED, "t", "r", 0)),
        ((Stopped("r", "by hand", "a"),), ExecutionMeta(ExecutionStatus.STOPPED, "t", "r", 0)),
    ],
    ids=["running", "paused", "resumed", "failed", "failed and resumed", "completed", "stopped"],
)
def test_the_meta_of_a_run_is_how_its_thread_stands(facts: Any, expected: ExecutionMeta) -> None:
    assert begun(*facts).meta() == expected
