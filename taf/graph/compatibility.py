"""Whether a graph can go on with a thread that another one left behind: pure, and before anything is written.

What lies behind a thread may change as it likes, and so may what it has yet to choose. What it stands on has to be
there: the nodes that it is at, what they did so far, the joins where others wait. Nothing of it is dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import permutations, product

from taf.errors import GraphChangedError, nearest
from taf.graph.command import END
from taf.graph.edge import Join
from taf.graph.spec import GraphSpec, digest
from taf.state.facts import Edition
from taf.state.renaming import tasks_ahead
from taf.state.run import Run
from taf.tuples import NamedTuple


class Fit(StrEnum):
    """How a thread fits a graph."""

    SAME = "same"
    COMPATIBLE = "compatible"
    NEEDS_MIGRATION = "needs migration"
    IMPOSSIBLE = "impossible"


class Reason(NamedTuple):
    """Why a thread cannot go on, and what to do."""

    what: str
    cure: str


class Verdict(NamedTuple):
    """How a thread fits, and why it does not."""

    fit: Fit
    reasons: tuple[Reason, ...] = ()

    def require(self, thread_id: str) -> None:
        """Raise ``GraphChangedError`` for a thread that cannot go on."""
        if self.fit is Fit.IMPOSSIBLE:
            cures = dict.fromkeys(reason.cure for reason in self.reasons)
            raise GraphChangedError(thread_id, "; ".join(r.what for r in self.reasons), f"{' '.join(cures)} {_ANEW}")


_ANEW = "Or begin a new pass: stop() the thread, then pass new input. Nothing was changed."
_FINISH = "Let the old graph finish the step."

Inner = Mapping[str, Verdict | None]
"""Of each task that has a thread of its own: how that fits its subgraph, None where the node is none any more."""


def assess(spec: GraphSpec, run: Run, since: Edition, inner: Inner | None = None) -> Verdict:
    """Return how a run fits, as it would go on here: renamed, migrated, and after what the call means for it.

    ``since`` is what the thread was last written under. ``inner`` may be left out where that is this very graph.
    """
    inner = inner or {}
    if not (run.frontier or run.details.joins or run.details.carried):
        reasons: tuple[Reason, ...] = ()
    else:
        reasons = tuple(_reasons(spec, run, since, inner))
    if reasons:
        return Verdict(Fit.IMPOSSIBLE, tuple(dict.fromkeys(reasons)))
    fits = {verdict.fit for verdict in inner.values() if verdict is not None}
    if since.version < spec.version or Fit.NEEDS_MIGRATION in fits:
        return Verdict(Fit.NEEDS_MIGRATION)
    is_same = since == spec.edition and fits <= {Fit.SAME}
    return Verdict(Fit.SAME if is_same else Fit.COMPATIBLE)


def _reasons(spec: GraphSpec, run: Run, since: Edition, inner: Inner) -> Iterator[Reason]:
    yield from _lost_places(spec, run)
    yield from _doubled_keys(run)
    yield from _lost_joins(spec, run)
    yield from _changed_reducers(spec, run)
    if since != spec.edition:
        yield from _joins_that_never_come(spec, run, since)
        yield from _changed_kinds(spec, run, inner)


def _lost_places(spec: GraphSpec, run: Run) -> Iterator[Reason]:
    for name in dict.fromkeys(task.node for task in tasks_ahead(run)):
        if name not in spec.nodes:
            near = nearest(name, spec.nodes)
            cure = f'Give the node its old name back, or compile(rename_nodes={{"{name}": ...}}).{near}'
            guard = " Or reject its breakpoint with a goto."
            yield Reason(f'it is at node "{name}", which the graph does not have', cure + guard)


def _doubled_keys(run: Run) -> Iterator[Reason]:
    for tasks in (run.frontier, run.details.carried):
        keys = [task.key for task in tasks]
        for key in {key for key in keys if keys.count(key) > 1}:
            yield Reason(f'two nodes of its step are called "{key}" now', f"Rename only one of them. {_FINISH}")


def _lost_joins(spec: GraphSpec, run: Run) -> Iterator[Reason]:
    known = {join.name for join in spec.joins}
    for name, arrived in run.details.joins.items():
        if name not in known:
            there = ", ".join(f'"{source}"' for source in arrived)
            what = f'it waits at the join "{name}", where {there} arrived, and which the graph does not have'
            yield Reason(what, "Add the join again, from the same nodes to the same one.")


def _changed_reducers(spec: GraphSpec, run: Run) -> Iterator[Reason]:
    """What a finished node returned is joined to the state when its step is done, by the reducer of that time."""
    for output in run.details.finished.values():
        for kind, name, _ in output.ops:
            channel = spec.schema.channels.get(name)
            is_whole = kind not in ("append", "merge", "join")
            is_joined = channel is not None and channel.reducer is not None and kind in ("append", "merge")
            if channel is None or is_whole or is_joined or kind == channel.wants:
                continue
            what = f'node "{output.node}" has returned field "{name}" for a reducer that the field does not have now'
            yield Reason(what, f"Give it its reducer back. {_FINISH}")


# -- joins that are new ----------------------------------------------------------------------------


def names_of(spec: GraphSpec, join: Join) -> Iterator[str]:
    """Yield the names that a join may have been remembered under: its own, and those from before nodes were renamed."""
    yield join.name
    sources = list(permutations(join.sources)) if len(join.sources) < 5 else [join.sources]
    for order in sources:
        for names in product(*map(spec.former, order), spec.former(join.target)):
            yield Join(names[:-1], names[-1]).name


def _joins_that_never_come(spec: GraphSpec, run: Run, since: Edition) -> Iterator[Reason]:
    """A join that is new waits for nodes that the thread may have behind it: what they led to would be lost."""
    if not since.graph:
        return
    known = set(since.graph.split(".")[1:])
    ahead = _ahead(spec, run)
    for join in spec.joins:
        is_known = join.name in run.details.joins or any(digest(name) in known for name in names_of(spec, join))
        behind = [name for name in join.sources if name not in ahead]
        if not is_known and behind and len(behind) < len(join.sources):
            what = f'the join "{join.name}" is new, and the thread does not come to "{behind[0]}" any more'
            yield Reason(what, "Lead to its target by a plain edge as well, or let the old graph finish the pass.")


def _ahead(spec: GraphSpec, run: Run) -> set[str]:
    """Return the nodes that can be come to by edges, by what is known of routers, and by joins that can be complete."""
    ways: dict[str, list[str]] = {source: list(targets) for source, targets in spec.edges.items()}
    for source, branches in spec.branches.items():
        found = ways.setdefault(source, [])
        found.extend(target for branch in branches for target in (branch.path_map or {}).values())
    seen: set[str] = set()
    left = [task.node for task in tasks_ahead(run)]
    while left:
        name = left.pop()
        if name not in seen and name != END:
            seen.add(name)
            left += ways.get(name, ())
        if not left:
            arrived = {join.name: {*run.details.joins.get(join.name, ()), *seen} for join in spec.joins}
            complete = [join.target for join in spec.joins if arrived[join.name].issuperset(join.sources)]
            left = [target for target in complete if target not in seen and target != END]
    return seen


# -- subgraphs -------------------------------------------------------------------------------------


def _changed_kinds(spec: GraphSpec, run: Run, inner: Inner) -> Iterator[Reason]:
    """A subgraph that waits inside cannot become a function, nor a function a subgraph."""
    nodes = {task.key: spec.nodes[task.node] for task in run.frontier if task.node in spec.nodes}
    asked = {record.task: record.inner_id is not None for record in run.details.interrupts if record.task is not None}
    got = {key: any(e.kind == "decision" for e in entries.values()) for key, entries in run.details.memo.items()}
    for key, node in nodes.items():
        is_subgraph = node.subgraph is not None
        was_subgraph = asked.get(key, got.get(key))
        if key in inner and not is_subgraph:
            was_subgraph = True
        if was_subgraph is not None and was_subgraph != is_subgraph:
            was, now = ("a subgraph", "a function") if was_subgraph else ("a function", "a subgraph")
            yield Reason(f'it is inside node "{node.name}", which was {was} and is {now}', _FINISH)
        yield from _inside(node.name, inner.get(key) if is_subgraph else None)


def _inside(node: str, verdict: Verdict | None) -> Iterable[Reason]:
    reasons = () if verdict is None else verdict.reasons
    return (Reason(f'inside node "{node}", {reason.what}', reason.cure) for reason in reasons)
