"""A compiled graph as a node: it has a thread of its own beside its parent's, and pauses inside its parent.

The child's thread is named after the parent's thread, the node and the visit, so a visit that was cut short goes on
where it was, and one that was done is not done again. It goes when its parent's thread is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from math import inf
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

from taf.checkpointer.base import ThreadKey
from taf.checkpointer.journal import Journal
from taf.errors import InvalidAnswerError, ThreadBusyError
from taf.graph.context import AnswerRefused, Context, Pause, Question
from taf.graph.engine import Engine
from taf.graph.inner import INNER, former_keys, given_to, inner_journal, inner_names, inner_tenant, inner_thread
from taf.graph.intake import Answer, Call, Invoke, Whole, decision_of
from taf.graph.runner import Returned
from taf.graph.runtime import Runtime
from taf.graph.waiting import moves
from taf.publisher.bus import Bus
from taf.state.execution import ExecutionStatus
from taf.state.interrupts import HumanDecision, InterruptRecord, Reject
from taf.state.run import Run
from taf.state.schema import StateSchema, Values


async def delete_inner(journal: Journal, thread_id: str, *, before: int | None = None) -> None:
    """Remove the threads of all subgraphs below a thread, or those of its visits ``before`` one."""
    prefix, tenant = thread_id + INNER, inner_tenant(journal.tenant)
    after = prefix
    while True:
        rows = await journal.store.threads(tenant, after=after)
        names = [row.thread_id for row in rows if row.thread_id.startswith(prefix)]
        if not names:
            return
        for name in names:
            if before is None or _visit(name.removeprefix(prefix)) < before:
                await journal.store.delete(ThreadKey(tenant, name))
        after = names[-1]


def _visit(name: str) -> float:
    """Return the parent's visit that an inner thread's name tells of."""
    visit = name.partition(INNER)[0].rpartition("@")[2].partition(".")[0]
    return int(visit) if visit.isdecimal() else inf


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
        thread_id = await self._thread_of(context, parent)
        run = await self._brought_on(runtime, thread_id, state, context)
        if run is None:
            run = await self._brought_on_once_free(runtime, thread_id, state, context)
        if run.status.is_interrupted:
            self._ask(run.details.interrupts, context)
            raise Pause
        return await self._returned(runtime, run, context)

    async def _brought_on(self, runtime: Runtime, thread_id: str, state: Any, context: Context) -> Run | None:
        """Take the child as far as it goes. Return None while somebody else has its thread."""
        parent = cast("Engine", context.host)
        found = await runtime.journal.read(thread_id)
        run = None if found is None else found[0]
        for call in self._calls(run, state, context):
            engine = Engine(runtime, parent.config, parent=context)
            try:
                with parent.adopted(engine):
                    ledger = await engine.acquired(call, thread_id)
                    run = None if ledger is None else await engine.conduct(call, ledger)
            except InvalidAnswerError as refused:
                raise AnswerRefused(_position(context, refused.interrupt_id), refused.why) from refused
            except ThreadBusyError:
                if engine.has_thread:  # a node's own
                    raise
                return None
        return run

    async def _brought_on_once_free(self, runtime: Runtime, thread_id: str, state: Any, context: Context) -> Run:
        """Wait for an owner that has lost the parent, but not yet the child: its lease lasts, or it is not through."""
        journal = runtime.journal
        async with aclosing(moves(journal.store, journal.key(thread_id))) as looks:
            async for _ in looks:
                run = await self._brought_on(runtime, thread_id, state, context)
                if run is not None:
                    return run
        raise AssertionError("looking at a thread has no end")

    @staticmethod
    async def _thread_of(context: Context, parent: Engine) -> str:
        """Return the visit's thread: that which it began with, though the node had another name then."""
        spec, run, key = parent.runtime.spec, context.running, context.task.key
        keys = former_keys(spec, context.node, key)
        name = next(inner_names(run.thread_id, (key,), run.visit, parent.born))
        if len(keys) == 1:
            return name
        names = inner_names(run.thread_id, keys, run.visit, parent.born)
        return await inner_thread(parent.runtime.journal, names) or name

    def _runtime_under(self, parent: Runtime) -> Runtime:
        journal = parent.journal
        known = self._runtimes.get(journal)
        if known is None:
            own = self._graph.runtime
            child = inner_journal(journal, own)
            options = own.options._replace(clock=parent.options.clock)
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
        return [Answer(self._decision(e.value), e.value[-1], e.name, is_accepted=True) for e in decided]

    def _decision(self, stored: Sequence[Any]) -> HumanDecision:
        """Read what a human decided, maybe while the subgraph's nodes had other names."""
        decision = decision_of(stored)
        if not isinstance(decision, Reject) or decision.goto is None:
            return decision
        return replace(decision, goto=self._graph.runtime.spec.renames.get(decision.goto, decision.goto))

    def _input(self, state: Any) -> dict[str, Any]:
        fields = self._graph.runtime.spec.schema.channels
        return {name: getattr(state, name) for name in fields if name in state.__dict__}

    async def _returned(self, runtime: Runtime, run: Run, context: Context) -> Returned:
        own, theirs = runtime.spec.schema, cast("Engine", context.host).runtime.spec.schema
        values = {n: own.channel(n).detached(v) for n, v in run.values.items() if n in theirs.channels}
        is_as_given = context.running.sequence == context.running.visit
        return Returned(values, None if is_as_given else await self._begun_with(runtime, run.thread_id, theirs))

    @staticmethod
    async def _begun_with(runtime: Runtime, thread_id: str, theirs: StateSchema) -> Values | None:
        """Return what the child was given: only what it changed since then is its own, and others may write too."""
        own = runtime.spec.schema
        ops = await given_to(runtime.journal, thread_id)
        if not ops:
            return None
        given = own.apply({}, ops)
        shared = [("set", n, own.channel(n).detached(v)) for n, v in given.items() if n in theirs.channels]
        return theirs.apply({}, shared)

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
