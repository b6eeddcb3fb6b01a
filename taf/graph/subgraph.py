"""A compiled graph as a node: it has a thread of its own beside its parent's, and pauses inside its parent.

The child's thread is named after the parent's thread, the node and the visit, so a visit that was cut short goes on
where it was, and one that was done is not done again. It goes when its parent's thread is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

from taf.checkpointer.base import ThreadKey
from taf.checkpointer.journal import Journal
from taf.errors import InvalidAnswerError
from taf.graph.context import AnswerRefused, Context, Pause, Question
from taf.graph.engine import Engine
from taf.graph.intake import Answer, Call, Invoke, Whole, decision_of
from taf.graph.runner import Returned
from taf.graph.runtime import Runtime
from taf.publisher.bus import Bus
from taf.state.execution import ExecutionStatus
from taf.state.interrupts import InterruptRecord
from taf.state.run import Run

_INNER = "\x1f"
"""Stands between the parts of an inner thread's name, and behind a tenant for the threads that are not its own."""


def inner_tenant(tenant: str) -> str:
    """Return where the threads of subgraphs are kept: apart, so that nobody lists or runs them by themselves."""
    return tenant if tenant.endswith(_INNER) else tenant + _INNER


async def delete_inner(journal: Journal, thread_id: str) -> None:
    """Remove the threads of all subgraphs below a thread."""
    prefix, tenant = thread_id + _INNER, inner_tenant(journal.tenant)
    while True:
        rows = await journal.store.threads(tenant, after=prefix)
        names = [row.thread_id for row in rows if row.thread_id.startswith(prefix)]
        if not names:
            return
        for name in names:
            await journal.store.delete(ThreadKey(tenant, name))


class Subgraph(Protocol):
    """What a compiled graph has to offer to be a node."""

    runtime: Runtime


class SubgraphCall:
    """The callable of a subgraph node. It uses the parent's checkpointer, not the one it was compiled with."""

    def __init__(self, graph: Subgraph) -> None:
        self._graph = graph
        self._runtimes: WeakKeyDictionary[Journal, Runtime] = WeakKeyDictionary()

    async def __call__(self, state: Any, context: Context) -> Returned:
        """Run the child from where it is to its end, or leave by ``Pause`` when it waits for a human."""
        parent = cast("Engine", context.host)
        runtime = self._runtime_under(parent.runtime)
        visit = f"{context.task.key}@{context.running.visit}.{parent.born}"
        thread_id = f"{context.running.thread_id}{_INNER}{visit}"
        found = await runtime.journal.read(thread_id)
        run = None if found is None else found[0]
        for call in self._calls(run, state, context):
            engine = Engine(runtime, parent.config, parent=context)
            try:
                with parent.adopted(engine):
                    run = await engine.execute(call, thread_id)
            except InvalidAnswerError as refused:
                raise AnswerRefused(_position(context, refused.interrupt_id), refused.why) from refused
        assert run is not None
        if run.status.is_interrupted:
            self._ask(run.details.interrupts, context)
            raise Pause
        return self._returned(run, context)

    def _runtime_under(self, parent: Runtime) -> Runtime:
        journal = parent.journal
        known = self._runtimes.get(journal)
        if known is None:
            own, tenant = self._graph.runtime, inner_tenant(journal.tenant)
            child = Journal(journal.store, own.spec.schema, tenant=tenant, clock=journal.clock)
            options = replace(own.options, clock=parent.options.clock)
            known = self._runtimes[journal] = Runtime(own.spec, child, Bus(()), options)
        return known

    def _calls(self, run: Run | None, state: Any, context: Context) -> Sequence[Call]:
        """Return what the child has to be told, given where it is."""
        if run is None or run.status is ExecutionStatus.IDLE:
            return [Invoke(Whole(self._input(state)))]
        if run.status is ExecutionStatus.COMPLETED:
            return []
        if not run.status.is_interrupted:
            return [Invoke(None)]
        waiting = {record.id for record in run.details.interrupts}
        decided = [entry for _, entry in sorted(context.memo.items()) if entry.name in waiting]
        return [Answer(decision_of(e.value), e.value[-1], e.name, is_accepted=True) for e in decided]

    def _input(self, state: Any) -> dict[str, Any]:
        fields = self._graph.runtime.spec.schema.channels
        return {name: getattr(state, name) for name in fields if name in state.__dict__}

    def _returned(self, run: Run, context: Context) -> Returned:
        own = self._graph.runtime.spec.schema
        theirs = cast("Engine", context.host).runtime.spec.schema.channels
        shared = {name: value for name, value in run.values.items() if name in theirs}
        return Returned({name: own.channel(name).detached(value) for name, value in shared.items()})

    @staticmethod
    def _ask(records: Sequence[InterruptRecord], context: Context) -> None:
        position = max(context.memo, default=-1) + 1
        for offset, record in enumerate(records):
            question = Question(
                record.reason,
                record.data,
                record.answer_schema,
                record.allowed,
                record.due_at,
                record.kind,
                (context.node, *record.path),
                record.id,
            )
            context.ask(question, position + offset)


def _position(context: Context, inner_id: str) -> int:
    return next(position for position, entry in context.memo.items() if entry.name == inner_id)
