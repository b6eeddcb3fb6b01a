"""What comes next: the whole of routing, pausing and ending, without a clock, an await or a store.

``plan`` reads a graph and a run and returns a decision. ``step`` turns what the nodes returned into a fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from taf.graph.spec import GraphSpec
from taf.serialization import difference
from taf.state.agent_state import Ask
from taf.state.channel import Op
from taf.state.execution import ExecutionStatus
from taf.state.facts import Output, Stepped, Task
from taf.state.interrupts import InterruptKind
from taf.state.renaming import gate_reason
from taf.state.run import NOTHING, Run, Stage
from taf.tuples import NamedTuple


class Gate(NamedTuple):
    """A place where a human is asked for leave: a breakpoint, or what ``set_interrupt`` asked for."""

    node: str
    reason: str
    data: object = None


class RunNodes(NamedTuple):
    """Run these, side by side."""

    tasks: tuple[Task, ...]


class Pause(NamedTuple):
    """Wait for a human at these gates."""

    kind: InterruptKind
    gates: tuple[Gate, ...]


class Finish(NamedTuple):
    """The pass is at its end."""


class ReachLimit(NamedTuple):
    """The pass may make no further step, and is not at its end."""

    next: tuple[str, ...]


class Rest(NamedTuple):
    """Nothing runs: the thread is paused or over."""


Decision: TypeAlias = RunNodes | Pause | Finish | ReachLimit | Rest

REST = Rest()
FINISH = Finish()


def plan(graph: GraphSpec, run: Run, limit: int) -> Decision:
    """Say what comes next for a run whose pass may make ``limit`` steps."""
    if run.status is not ExecutionStatus.RUNNING:
        return REST
    details = run.details
    if run.stage is Stage.LEAVE and (graph.after or details.asks):
        pause = _leave(graph, run)
        if pause is not None:
            return pause
    frontier = run.frontier
    if not frontier:
        return FINISH
    if run.step >= limit:
        return ReachLimit(tuple(dict.fromkeys(task.node for task in frontier)))
    if graph.before:
        guards = _guards(graph, run)
        if guards is not None:
            return guards
    return RunNodes(frontier) if details is NOTHING else _unfinished(run)


def _unfinished(run: Run) -> RunNodes:
    """Plan a step that may have begun before: what is finished, or still waits for an answer, does not run."""
    details = run.details
    waiting = {record.task for record in details.interrupts}
    ready = tuple(t for t in run.frontier if t.key not in details.finished and t.key not in waiting)
    return RunNodes(ready)


def _leave(graph: GraphSpec, run: Run) -> Pause | None:
    asks = run.details.asks
    asked = {node for node, _, _ in asks}
    points = [(ask.status, Gate(node, ask.reason, ask.data)) for node, _, ask in asks]
    for node in run.ran:
        if node in graph.after and node not in asked:
            points.append((ExecutionStatus.INTERRUPTED_AFTER, Gate(node, gate_reason(InterruptKind.AFTER, node))))
    for status, kind in _KINDS:
        gates = tuple(gate for when, gate in points if when is status and not _is_settled(run, kind, gate))
        if gates:
            return Pause(kind, gates)
    return None


_KINDS = (
    (ExecutionStatus.INTERRUPTED_BEFORE, InterruptKind.BEFORE),
    (ExecutionStatus.INTERRUPTED_AFTER, InterruptKind.AFTER),
)


def _guards(graph: GraphSpec, run: Run) -> Pause | None:
    free = {*run.details.passed, *run.details.finished}
    names = dict.fromkeys(t.node for t in run.frontier if t.node in graph.before and t.key not in free)
    gates = tuple(Gate(name, gate_reason(InterruptKind.BEFORE, name)) for name in names)
    return Pause(InterruptKind.BEFORE, gates) if gates else None


def step(
    graph: GraphSpec,
    run: Run,
    outputs: Sequence[Output],
    changes: Sequence[Sequence[Op]],
    routes: Sequence[tuple[Task, ...]],
) -> Stepped:
    """Return the fact of a step that is done: ``changes`` and ``routes`` belong to the outputs, one each."""
    ran = tuple((o.node, o.key, ops) for o, ops in zip(outputs, changes, strict=True))
    asks = _open_asks(run, outputs)
    again = {key for _, key, ask in asks if ask.status is ExecutionStatus.INTERRUPTED_BEFORE}
    done = [output for output in outputs if output.key not in again]
    joins, joined = _join(graph, run.details.joins, done)
    ways: list[tuple[str | None, Task]] = [(None, task) for task in run.details.carried]
    for output, route in zip(outputs, routes, strict=True):
        if output.key not in again:
            ways += [(output.node, task) for task in route]
    onward, reached = _distinct(graph, [*ways, *((None, task) for task in joined)])
    if not (asks or graph.after) or not (len(outputs) > 1 or run.details.carried):
        reached = {}  # nobody can be told not to go there
    if again:
        repeated = tuple(task for task in run.frontier if task.key in again)
        return Stepped(ran, repeated, asks, onward, joins, reached)
    return Stepped(ran, onward, asks, (), joins, reached)


def _open_asks(run: Run, outputs: Sequence[Output]) -> tuple[tuple[str, str, Ask], ...]:
    """Return what the nodes asked for, without what a human has just answered before they ran again."""
    asked = [(o.node, o.key, o.ask) for o in outputs if o.ask is not None]
    gates = [Gate(node, ask.reason, ask.data) for node, _, ask in asked]
    return tuple(
        one for one, gate in zip(asked, gates, strict=True) if not _is_settled(run, InterruptKind.BEFORE, gate)
    )


def _is_settled(run: Run, kind: InterruptKind, gate: Gate) -> bool:
    """True for a gate where a human has been asked in this step, and has answered."""
    return any(
        (when, node, reason) == (kind, gate.node, gate.reason) and difference(data, gate.data) is None
        for when, node, reason, data in run.details.settled
    )


def _join(
    graph: GraphSpec, arrived: Mapping[str, tuple[str, ...]], done: Sequence[Output]
) -> tuple[dict[str, tuple[str, ...]] | None, list[Task]]:
    """Return which sources of each join have arrived by now, None for no change, and the targets of complete joins.

    A node that went elsewhere by a ``Command`` does not arrive.
    """
    if not graph.joins:
        return None, []
    now = dict(arrived)
    complete: list[Task] = []
    ran = {output.node for output in done if output.goto is None}
    for join in graph.joins:
        there = {*now.get(join.name, ()), *(name for name in join.sources if name in ran)}
        if there == set(join.sources):
            now.pop(join.name, None)
            complete.extend(graph.tasks([join.target]))
        elif there:
            now[join.name] = tuple(sorted(there))
    return (None if now == arrived else now), complete


def _distinct(
    graph: GraphSpec, ways: Sequence[tuple[str | None, Task]]
) -> tuple[tuple[Task, ...], dict[str, tuple[str, ...]]]:
    """Return each named node once, branches of ``Send`` under keys that differ, and the keys that each node led to."""
    found: dict[str, Task] = {}
    reached: dict[str, list[str]] = {}
    for node, task in ways:
        key = task.key if task.overlay is None else graph.branch_key(task.node, len(found))
        found[key] = task if key == task.key else task._replace(key=key)
        if node is not None:
            reached.setdefault(node, []).append(key)
    return tuple(found.values()), {node: tuple(keys) for node, keys in reached.items()}
