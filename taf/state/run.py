"""A thread as the fold over its facts: ``evolve`` takes one more, ``replay`` takes many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache, reduce
from typing import Any, TypeAlias

from taf.errors import InvalidTransitionError
from taf.state.agent_state import Ask
from taf.state.execution import ExecutionMeta, ExecutionStatus, Move, advance
from taf.state.facts import (
    Answered,
    Completed,
    Edition,
    Entry,
    Fact,
    Failed,
    Forked,
    HandedOver,
    Output,
    Paused,
    Reopened,
    Resumed,
    RolledBack,
    Started,
    Steered,
    Stepped,
    Stopped,
    Task,
    TaskRecorded,
    Updated,
    Upgraded,
)
from taf.state.interrupts import InterruptKind, InterruptRecord, InterruptStatus
from taf.state.renaming import renamed
from taf.state.schema import StateSchema, Values
from taf.state.superseded import Partial, Superseded
from taf.tuples import NamedTuple, quick_tuple


class Stage(StrEnum):
    """Where a run stands within a step."""

    ENTER = "enter"  # the frontier is next, with the breakpoints before it
    LEAVE = "leave"  # a step was just done: breakpoints behind it come first


_LEAVE = Stage.LEAVE


class Details(NamedTuple):
    """What is empty while a run just goes on."""

    interrupts: tuple[InterruptRecord, ...] = ()
    finished: Mapping[str, Output] = {}
    memo: Mapping[str, Mapping[int, Entry]] = {}
    carried: tuple[Task, ...] = ()
    asks: tuple[tuple[str, str, Ask], ...] = ()
    settled: tuple[tuple[InterruptKind, str, str, Any], ...] = ()
    passed: frozenset[str] = frozenset()
    joins: Mapping[str, tuple[str, ...]] = {}
    reached: Mapping[str, tuple[str, ...]] = {}
    partials: tuple[Partial, ...] = ()
    node: str | None = None
    reason: str | None = None
    error: str | None = None
    superseded_by: str | None = None


NOTHING = Details()
_NO_VALUES: Values = {}
UNKNOWN_EDITION = Edition()


class Run(NamedTuple):
    """A thread after some of its facts. Never changed: ``evolve`` makes the next one.

    ``begun`` is the sequence with which its pass began (0: unknown), ``past`` what runs left that were cut short.
    """

    thread_id: str
    values: Mapping[str, Any] = {}
    status: ExecutionStatus = ExecutionStatus.IDLE
    run_id: str = ""
    sequence: int = 0
    step: int = 0
    node: str | None = None
    frontier: tuple[Task, ...] = ()
    visit: int = 0
    stage: Stage = Stage.ENTER
    ran: tuple[str, ...] = ()
    details: Details = NOTHING
    edition: Edition = UNKNOWN_EDITION
    begun: int = 0
    past: tuple[Superseded, ...] = ()

    def meta(self) -> ExecutionMeta:
        """Return how the thread stands, as nodes and callers see it."""
        details = self.details
        is_paused = self.status.is_interrupted
        return ExecutionMeta(
            status=self.status,
            thread_id=self.thread_id,
            run_id=self.run_id,
            step=self.step,
            current_node=self.node,
            interrupted_node=details.node if is_paused else None,
            interrupt_reason=details.reason if is_paused else None,
            error=details.error,
            superseded=self.past,
        )


def width(fact: Fact) -> int:
    """Return how many events a fact is told as: a step is told once for each of its nodes."""
    return max(1, len(fact.ran)) if type(fact) is Stepped else 1


def evolve(schema: StateSchema, run: Run, fact: Fact, values: Values | None = None) -> Run:
    """Return the run after one more fact. Raise ``InvalidTransitionError``, changing nothing, for an impossible one.

    ``values``: what the changes of a beginning or a step lead to, from a caller who knows it already.
    """
    if type(fact) is Stepped:
        return _stepped(schema, run, fact, values)
    if type(fact) is Started:
        return _started(schema, run, fact, values)
    return _EVOLVE[type(fact)](schema, run, fact)


def replay(schema: StateSchema, run: Run, facts: Iterable[Fact]) -> Run:
    """Return the run after many more facts."""
    return reduce(lambda current, fact: evolve(schema, current, fact), facts, run)


_edition = lru_cache(Edition)  # the runs of one app share theirs


def _started(schema: StateSchema, run: Run, fact: Started, values: Values | None = None) -> Run:
    run_id, ops, frontier, graph, version = fact
    thread, now, past, edition = run.thread_id, run.sequence + 1, run.past, _edition(graph, version)
    status = advance(run.status, Move.START)
    if values is None:
        values = schema.apply(run.values, ops, now)
    row = (thread, values, status, run_id, now, 0, None, frontier, now, Stage.ENTER, (), NOTHING, edition, now, past)
    after: Run = quick_tuple(Run, row)
    return after


def _stepped(schema: StateSchema, run: Run, fact: Stepped, values: Values | None = None) -> Run:
    ran, frontier, asks, carried, joins, reached = fact
    status = run.status
    if status is not ExecutionStatus.RUNNING:  # a running one goes on running: looked at, since every step comes here
        status = advance(status, Move.PROGRESS)
    sequence = run.sequence + (len(ran) or 1)
    if values is None:
        values = schema.apply(run.values, [op for _, _, ops in ran for op in ops], sequence)
    details = run.details
    if details is not NOTHING or asks or carried or joins or reached:
        kept = details.joins if joins is None else joins
        is_plain = not (asks or carried or kept or reached)
        details = NOTHING if is_plain else Details(asks=asks, carried=carried, joins=kept, reached=reached)
    nodes = (ran[0][0],) if len(ran) == 1 else tuple(dict.fromkeys(node for node, _, _ in ran))
    last, step = nodes[-1] if nodes else run.node, run.step + 1
    return Run(
        run.thread_id,
        values,
        status,
        run.run_id,
        sequence,
        step,
        last,
        frontier,
        sequence,
        Stage.LEAVE,
        nodes,
        details,
        run.edition,
        run.begun,
        run.past,
    )


Ahead: TypeAlias = tuple[Run, int, int, str, tuple[Task, ...], Values]
"""A run with no details, and where steps of one node each have led from it, along edges: the sequence, the step, the
last node, what is next, and the values. A plain tuple: each step of the hot path makes one, and few are looked at."""


def without_values(run: Run) -> Run:
    """Return the run as what steps lead on from: it keeps no values alive that are past."""
    bare: Run = quick_tuple(Run, (run[0], _NO_VALUES, *run[2:]))
    return bare


def arrived(ahead: Ahead) -> Run:
    """Return what ``evolve`` returns for all of those steps."""
    run, now, step, node, frontier, values = ahead
    thread, _, status, run_id, _, _, _, _, _, _, _, details, edition, begun, past = run
    ran = (node,)  # a tuple that is made with a * is a list first
    row = (thread, values, status, run_id, now, step, node, frontier, now, _LEAVE, ran, details, edition, begun, past)
    after: Run = quick_tuple(Run, row)
    return after


def _task_recorded(schema: StateSchema, run: Run, fact: TaskRecorded) -> Run:
    return run._replace(
        status=advance(run.status, Move.PROGRESS),
        sequence=run.sequence + 1,
        details=run.details._replace(memo=_with_entry(run.details.memo, fact.key, fact.position, fact.entry)),
    )


def _with_entry(
    memo: Mapping[str, Mapping[int, Entry]], key: str, position: int, entry: Entry
) -> Mapping[str, Mapping[int, Entry]]:
    return {**memo, key: {**memo.get(key, {}), position: entry}}


def _paused(schema: StateSchema, run: Run, fact: Paused) -> Run:
    is_after = fact.kind is InterruptKind.AFTER
    known = {record.id for record in fact.records}
    still_open = tuple(record for record in run.details.interrupts if record.id not in known)
    return run._replace(
        status=advance(run.status, Move.PAUSE_AFTER if is_after else Move.PAUSE_BEFORE),
        sequence=run.sequence + 1,
        node=fact.node,
        details=run.details._replace(
            interrupts=still_open + fact.records,
            finished={**run.details.finished, **{output.key: output for output in fact.finished}},
            node=fact.node,
            reason=fact.reason,
        ),
    )


def _answered(schema: StateSchema, run: Run, fact: Answered) -> Run:
    record, entry, frontier, ops = fact
    details = run.details
    memo = details.memo
    if entry is not None and record.task is not None:
        memo = _with_entry(memo, record.task, record.position, entry)
    settled, passed, carried, reached = details.settled, details.passed, details.carried, details.reached
    is_rejected = record.status is InterruptStatus.REJECTED
    if record.task is None:
        settled = (*settled, (record.kind, record.node, record.reason, record.data))
    if record.task is None and record.kind is InterruptKind.BEFORE and not is_rejected:
        passed |= {task.key for task in run.frontier if task.node == record.node}
    if record.kind is InterruptKind.AFTER and is_rejected:
        carried = without_ways_of(record.node, carried, reached)
        reached = {node: keys for node, keys in reached.items() if node != record.node}
    if frontier is None:
        frontier = run.frontier
    elif not frontier:  # what was refused was all that was left: what waited behind it is next
        frontier, carried = carried, ()
    sequence = run.sequence + 1
    return run._replace(
        status=advance(run.status, Move.ANSWER),
        values=schema.apply(run.values, ops, sequence) if ops else run.values,
        sequence=sequence,
        frontier=frontier,
        details=details._replace(
            interrupts=tuple(other for other in details.interrupts if other.id != record.id),
            memo=memo,
            carried=carried,
            settled=settled,
            passed=passed,
            reached=reached,
        ),
    )


def without_ways_of(node: str, tasks: Sequence[Task], reached: Mapping[str, tuple[str, ...]]) -> tuple[Task, ...]:
    """Return the tasks that do not hang on ``node`` alone. ``reached`` is empty for a step of one node."""
    if node not in reached:
        return tuple(tasks) if reached else ()
    others = {key for other, keys in reached.items() if other != node for key in keys}
    return tuple(task for task in tasks if task.key in others or task.key not in reached[node])


def _reopened(schema: StateSchema, run: Run, fact: Reopened) -> Run:
    record, details = fact.record, run.details
    assert record.task is not None
    entries = {p: e for p, e in details.memo.get(record.task, {}).items() if p != record.position}
    return run._replace(
        status=advance(run.status, Move.PROGRESS),
        sequence=run.sequence + 1,
        details=details._replace(interrupts=(*details.interrupts, record), memo={**details.memo, record.task: entries}),
    )


def _resumed(schema: StateSchema, run: Run, fact: Resumed) -> Run:
    sequence = run.sequence + 1
    was_paused = run.status.is_interrupted
    # A step may hold several pauses, when its nodes asked for them: the next one comes before what follows the step.
    stage = Stage.ENTER if was_paused and not run.details.asks else run.stage
    return run._replace(
        status=advance(run.status, Move.RESUME),
        values=schema.apply(run.values, fact.ops, sequence) if fact.ops else run.values,
        run_id=fact.run_id,
        sequence=sequence,
        stage=stage,
        details=run.details._replace(node=None, reason=None, error=None, partials=()),
    )


def _stopped(schema: StateSchema, run: Run, fact: Stopped) -> Run:
    _, finished, memo, carried, asks, settled, passed, joins, reached, _, _, _, error, _ = run.details
    finished = {**finished, **{output.key: output for output in fact.finished}}
    kept = (finished, memo, carried, asks, settled, passed, joins, reached)
    details = Details((), *kept, fact.partials, None, fact.reason, error, fact.superseded_by)
    return run._replace(status=advance(run.status, Move.STOP), sequence=run.sequence + 1, details=details)


def _completed(schema: StateSchema, run: Run, fact: Completed) -> Run:
    thread, values, status, run_id, before, step, node, _, visit, stage, ran, _, edition, begun, past = run
    status, now = advance(status, Move.COMPLETE), before + 1
    row = (thread, values, status, run_id, now, step, node, (), visit, stage, ran, NOTHING, edition, begun, past)
    after: Run = quick_tuple(Run, row)
    return after


def _failed(schema: StateSchema, run: Run, fact: Failed) -> Run:
    finished = {**run.details.finished, **{output.key: output for output in fact.finished}}
    return run._replace(
        status=advance(run.status, Move.FAIL),
        sequence=run.sequence + 1,
        node=fact.node or run.node,
        details=run.details._replace(finished=finished, error=f"{fact.error}: {fact.message}"),
    )


def _updated(schema: StateSchema, run: Run, fact: Updated) -> Run:
    sequence = run.sequence + 1
    status = advance(run.status, Move.UPDATE if fact.frontier is None else Move.REPOSITION)
    after = run._replace(status=status, values=schema.apply(run.values, fact.ops, sequence), sequence=sequence)
    if fact.frontier is None:
        return after
    return after._replace(
        node=fact.node,
        frontier=fact.frontier,
        visit=sequence,
        stage=Stage.ENTER,
        ran=(),
        details=NOTHING,
    )


def _steered(schema: StateSchema, run: Run, fact: Steered) -> Run:
    sequence = run.sequence + 1
    status = advance(run.status, Move.UPDATE)
    return run._replace(status=status, values=schema.apply(run.values, fact.ops, sequence), sequence=sequence)


def _handed_over(schema: StateSchema, run: Run, fact: HandedOver) -> Run:
    past = (*run.past, fact.left)
    return run._replace(sequence=run.sequence + 1, past=past[len(past) - min(fact.keep, len(past)) :])


def _rolled_back(schema: StateSchema, run: Run, fact: RolledBack) -> Run:
    sequence = run.sequence + 1
    status = advance(run.status, Move.REPOSITION)
    values = schema.apply(run.values, fact.ops, sequence)
    return run._replace(status=status, values=values, sequence=sequence, frontier=(), ran=(), details=NOTHING)


def _upgraded(schema: StateSchema, run: Run, fact: Upgraded) -> Run:
    sequence = run.sequence + 1
    after: Run = renamed(run, fact.renamed, fact.joins) if fact.renamed or fact.joins else run
    values = schema.apply(run.values, fact.ops, sequence)
    return after._replace(values=values, sequence=sequence, edition=Edition(fact.graph, fact.version))


def _forked(schema: StateSchema, run: Run, fact: Forked) -> Run:
    source: Run = fact.run
    if run.sequence:
        raise InvalidTransitionError(run.status.value, "forked")
    values = schema.apply({}, fact.ops, 1)
    return source._replace(thread_id=run.thread_id, values=values, sequence=1, begun=0)


_EVOLVE: dict[type, Callable[[StateSchema, Run, Any], Run]] = {
    TaskRecorded: _task_recorded,
    Paused: _paused,
    Answered: _answered,
    Reopened: _reopened,
    Resumed: _resumed,
    Stopped: _stopped,
    Completed: _completed,
    Failed: _failed,
    Updated: _updated,
    Steered: _steered,
    HandedOver: _handed_over,
    RolledBack: _rolled_back,
    Upgraded: _upgraded,
    Forked: _forked,
}
