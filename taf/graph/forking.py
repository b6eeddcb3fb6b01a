"""New threads that begin as copies: of a checkpoint, and of the subgraphs that wait for somebody in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from taf.checkpointer.journal import Journal
from taf.checkpointer.ledger import Ledger
from taf.checkpointer.past import past
from taf.errors import ConfigError, UnknownThreadError
from taf.graph.config import RunConfig
from taf.graph.history import at_checkpoint
from taf.graph.inner import former_keys, given_to, inner_journal, inner_names, inner_thread
from taf.graph.runtime import Runtime
from taf.graph.spec import GraphSpec
from taf.graph.telling import events_of
from taf.ids import new_id
from taf.state.channel import Op
from taf.state.execution import ExecutionStatus
from taf.state.facts import Entry, Forked, Stopped, Task
from taf.state.interrupts import InterruptRecord
from taf.state.run import Details, Run, evolve

NewIds = dict[str, str]
"""The interrupts of a subgraph that was copied: those of the copy, by the ones that they were made of."""


async def fork(runtime: Runtime, config: RunConfig, thread_id: str | None) -> RunConfig:
    """Begin a new thread as a copy of a checkpoint. Raise ``ConfigError`` when the new thread exists."""
    found = await at_checkpoint(runtime, config)
    if found is None:
        raise UnknownThreadError(config.thread_id)
    target, seconds = RunConfig(thread_id or new_id(), config.run_id), runtime.options.lease_seconds
    ledger = await runtime.journal.acquire(target.thread_id, lease_seconds=seconds)
    assert ledger is not None
    try:
        if ledger.run.sequence:
            raise ConfigError(f'Thread "{target.thread_id}" exists: fork into a new one.')
        await _Copying(runtime.spec, runtime.journal, seconds).copy(found[0], ledger)
    finally:
        if ledger.is_open:
            await ledger.save(release=True)
            runtime.bus.publish(events_of(target.thread_id, ledger.told))
            await runtime.bus.settle()
    return target


class _Copying:
    """Copies threads of one graph. A thread comes after those of its subgraphs, so a copy is whole or not there."""

    def __init__(self, spec: GraphSpec, journal: Journal, lease_seconds: float) -> None:
        self._spec, self._journal, self._lease_seconds = spec, journal, lease_seconds

    async def copy(self, run: Run, ledger: Ledger, given: tuple[Op, ...] = ()) -> NewIds:
        """Stage what a new thread begins with: a run of another one. Return its open interrupts."""
        waiting = {record.task for record in run.details.interrupts if record.inner_id is not None}
        inner: NewIds = {}
        begun = self._begun(run)
        read = await self._journal.read(run.thread_id) if begun else None
        for task, own in begun:
            found = None if read is None else await self._copy_inner(run, read[1].born, task, own, ledger)
            if found is not None:
                inner |= found
            elif task.key in waiting:  # it is not there any more: the copy begins it anew, and that asks for itself
                run = evolve(self._journal.schema, run, Stopped(run.run_id, "forked", task.node))
                break
        new_ids = {record.id: new_id() for record in run.details.interrupts}
        ledger.stage(self._forked(run, ledger.key.thread, new_ids | inner, given))
        return new_ids

    def _begun(self, run: Run) -> Sequence[tuple[Task, Runtime]]:
        """Return the tasks of subgraphs that may stand somewhere within: a step that is under way begins anew."""
        if not (run.details.interrupts or run.status in (ExecutionStatus.STOPPED, ExecutionStatus.ERROR)):
            return []
        nodes, renames = self._spec.nodes, self._spec.renames
        unfinished = [task for task in run.frontier if task.key not in run.details.finished]
        found = [(task, nodes.get(renames.get(task.node, task.node))) for task in unfinished]
        return [(task, node.subgraph.runtime) for task, node in found if node is not None and node.subgraph is not None]

    async def _copy_inner(self, run: Run, born: str, task: Task, own: Runtime, ledger: Ledger) -> NewIds | None:
        """Copy the thread of a subgraph as it was in a run. None when that cannot be found."""
        journal, keys = inner_journal(self._journal, own), former_keys(self._spec, task.node, task.key)
        name = await inner_thread(self._journal, inner_names(run.thread_id, keys, run.visit, born))
        left = None if name is None else await _as_it_was_left(journal, name, run, task)
        if name is None or left is None:
            return None
        target = next(inner_names(ledger.key.thread, (task.key,), 1, ledger.born))
        await journal.store.delete(journal.key(target))  # of a copy that was not finished
        copied = await journal.acquire(target, lease_seconds=self._lease_seconds)
        assert copied is not None
        try:
            given = await given_to(journal, name)
            return await _Copying(own.spec, journal, self._lease_seconds).copy(left, copied, given)
        finally:
            if copied.is_open:
                await copied.save(release=True)

    def _forked(self, run: Run, thread_id: str, new_ids: NewIds, given: tuple[Op, ...]) -> Forked:
        channel = self._journal.schema.channel
        ops = tuple(("set", name, channel(name).detached(value)) for name, value in run.values.items())
        was_running = run.status is ExecutionStatus.RUNNING
        # Its values are written as they are now: in the form of this version.
        edition = run.edition._replace(version=self._journal.lineage.version)
        copied = run._replace(
            edition=edition,
            status=ExecutionStatus.STOPPED if was_running else run.status,
            values={},
            visit=1,  # that of the fork: the threads of its subgraphs are named after its own visits
            details=_renumbered(run.details, thread_id, new_ids),
        )
        return Forked(run.thread_id, run.sequence, copied, ops, given)


async def _as_it_was_left(journal: Journal, thread_id: str, run: Run, task: Task) -> Run | None:
    """Return a subgraph's thread as it was when its parent's run paused or ended."""
    waiting = {record.inner_id for record in run.details.interrupts if record.task == task.key}
    answered = {entry.name for entry in run.details.memo.get(task.key, {}).values()}
    found = None
    async for moment in past(journal, thread_id):
        inner = moment.fold.run
        if waiting:
            is_it = waiting <= {record.id for record in inner.details.interrupts} <= waiting | answered
        else:
            is_it = inner.run_id == run.run_id
        if is_it:
            found = moment
    return None if found is None else found.run


def _renumbered(details: Details, thread_id: str, new_ids: NewIds) -> Details:
    """Return what a run waits for and got, for a copy of it: the interrupts there are others."""

    def record(old: InterruptRecord) -> InterruptRecord:
        inner = None if old.inner_id is None else new_ids.get(old.inner_id, old.inner_id)
        return replace(old, id=new_ids[old.id], thread_id=thread_id, inner_id=inner)

    def entry(old: Entry) -> Entry:
        return old._replace(name=new_ids.get(old.name, old.name))

    if not new_ids:
        return details
    memo = {key: {place: entry(old) for place, old in memo.items()} for key, memo in details.memo.items()}
    return details._replace(interrupts=tuple(map(record, details.interrupts)), memo=memo)
