"""A thread that another graph left behind: what it takes to go on with it here, and whether that can be done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from taf.checkpointer.journal import Journal
from taf.checkpointer.ledger import Ledger
from taf.errors import GraphChangedError
from taf.graph.compatibility import Fit, Reason, Verdict, assess, names_of
from taf.graph.inner import former_keys, inner_journal, inner_names, inner_thread
from taf.graph.runtime import Runtime
from taf.graph.spec import GraphSpec
from taf.state.channel import Op
from taf.state.draft import Draft
from taf.state.facts import Edition, Started, Updated, Upgraded
from taf.state.renaming import tasks_ahead
from taf.state.run import Run, evolve


def upgrade(spec: GraphSpec, run: Run, ops: Sequence[Op] = ()) -> Upgraded | None:
    """Return the fact that a thread goes on under this graph, or None when it was under this one.

    ``ops``: what migrations and new fields change. Where the old graph is unknown, nothing is said of a mere change.
    """
    since = run.edition
    if since == spec.edition:
        return None
    names, joins = _names_in_use(spec, run), _joins_in_use(spec, run)
    if not since.graph and since.version == spec.version and not (names or joins):
        return None
    return Upgraded(spec.fingerprint, spec.version, names, joins, tuple(ops))


def _names_in_use(spec: GraphSpec, run: Run) -> dict[str, str]:
    if not spec.renames:
        return {}
    details = run.details
    used = {*run.ran, run.node, details.node, *(task.node for task in tasks_ahead(run))}
    used |= {record.path[0] if record.path else record.node for record in details.interrupts}
    used |= {record.node for record in details.interrupts}
    used |= {name for names in details.joins.values() for name in names} | {*details.reached}
    used |= {node for _, node, _, _ in details.settled}
    used |= {
        entry.value[-1]
        for entries in details.memo.values()
        for entry in entries.values()
        if entry.kind == "reject" and entry.value
    }
    return {old: new for old, new in spec.renames.items() if old in used}


def _joins_in_use(spec: GraphSpec, run: Run) -> dict[str, str]:
    waiting = run.details.joins
    if not waiting or waiting.keys() <= {join.name for join in spec.joins}:
        return {}
    found = {name: join.name for join in spec.joins for name in names_of(spec, join) if name != join.name}
    return {name: found[name] for name in waiting if name in found}


def upgraded(spec: GraphSpec, ledger: Ledger) -> Draft:
    """Return an owned thread as it would go on here, with the fact that says so, if one is due. Nothing is staged."""
    draft, run = Draft(spec.schema, ledger.run), ledger.run
    fact = upgrade(spec, run, ledger.unrecorded) if run.sequence else None
    if fact is not None:
        draft.add(fact)
    return draft


async def beginning(journal: Journal, spec: GraphSpec, ledger: Ledger, draft: Draft) -> Draft:
    """Return what a call begins with, which is mostly what it means, as it was put behind what was ``upgraded``.

    Raise ``GraphChangedError`` when the thread cannot go on.
    """
    since, facts = ledger.run.edition, draft.facts
    kinds = [type(fact) for fact in facts]
    if kinds[-1:] == [Started] and (not ledger.run.sequence or since == spec.edition):
        return draft  # it begins at this graph's own places, with nothing left from before
    if kinds[:2] == [Upgraded, Started] and since.version == spec.version and not cast("Upgraded", facts[0]).ops:
        draft = Draft(spec.schema, ledger.run, facts[1:])  # a new pass says itself under which graph it is
    run = draft.run
    if run.frontier or run.details.joins or run.details.carried:
        inner = None if since == spec.edition else await inner_verdicts(journal, spec, run, ledger.born)
        assess(spec, run, since, inner).require(run.thread_id)
    return Draft(spec.schema, ledger.run) if kinds == [Upgraded] else draft  # the call means nothing


async def updated(journal: Journal, spec: GraphSpec, ledger: Ledger, update: Updated) -> Draft:
    """Return what a change from outside comes to: an older state is migrated first. Raise ``GraphChangedError``."""
    version = ledger.run.edition.version
    if version == spec.version:
        return Draft(spec.schema, ledger.run, [update._replace(ops=(*ledger.unrecorded, *update.ops))])
    if not ledger.run.sequence:
        return Draft(spec.schema, ledger.run, [Upgraded("", spec.version), update])
    draft = upgraded(spec, ledger)
    draft.add(update)
    return await beginning(journal, spec, ledger, draft)


async def verdict_of(journal: Journal, spec: GraphSpec, run: Run, born: str) -> Verdict:
    """Return how a thread as it is stored fits a graph. Only reads."""
    since: Edition = run.edition
    fact = upgrade(spec, run) if run.sequence else None
    moved = run if fact is None else evolve(spec.schema, run, fact)
    return assess(spec, moved, since, await inner_verdicts(journal, spec, moved, born))


async def inner_verdicts(journal: Journal, spec: GraphSpec, run: Run, born: str) -> dict[str, Verdict | None]:
    """Return how the threads of a run's subgraphs fit, by their task's key. See ``compatibility.Inner``."""
    found: dict[str, Verdict | None] = {}
    for task in run.frontier:
        if task.node not in spec.nodes or task.key in run.details.finished:
            continue
        names = inner_names(run.thread_id, former_keys(spec, task.node, task.key), run.visit, born)
        name = await inner_thread(journal, names)
        if name is not None:
            subgraph = spec.nodes[task.node].subgraph
            found[task.key] = None if subgraph is None else await _inner_verdict(journal, subgraph.runtime, name)
    return found


async def _inner_verdict(journal: Journal, own: Runtime, name: str) -> Verdict | None:
    journal = inner_journal(journal, own)
    try:
        read = await journal.read(name)
    except GraphChangedError as error:
        return Verdict(Fit.IMPOSSIBLE, (Reason(error.what, error.cure),))
    return None if read is None else await verdict_of(journal, own.spec, read[0], read[1].born)
