"""One run: the loop that plans, runs nodes, and commits. The only mutable state of a run lives here.

There is one way of a step, whoever asked for it: plan → run nodes → fact → evolve → append → publish. Streams,
publishers and subgraphs are readers or callers of this way, never a second one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from taf.checkpointer.base import Change, Signal
from taf.checkpointer.journal import Ledger, Told
from taf.errors import InvalidAnswerError, RecursionLimitError, TafError
from taf.events import Event, EventType
from taf.graph.config import RunConfig
from taf.graph.context import Context, Question
from taf.graph.intake import Call, Intake
from taf.graph.plan import Finish, Pause, ReachLimit, RunNodes, plan, step
from taf.graph.routing import Routes
from taf.graph.runner import Runner, StepResult
from taf.graph.runtime import Runtime
from taf.graph.telling import events_of
from taf.ids import new_id
from taf.serialization import pack
from taf.state.facts import Completed, Entry, Fact, Failed, Output, Partial, Paused, Reopened, Stopped, Task, TaskRecorded
from taf.state.interrupts import InterruptKind, InterruptRecord, InterruptStatus
from taf.state.messages import Message
from taf.state.run import Run

Reader = Callable[[Sequence[Event], Run], None]


class Engine:
    """Drives one run on one event loop.

    ``reader`` gets the run's events as they are committed, with the run as it is then. ``parent`` is set in a subgraph: its partials go there,
    and it is told to nobody else.
    """

    def __init__(
        self,
        runtime: Runtime,
        config: RunConfig,
        *,
        reader: Reader | None = None,
        parent: Context | None = None,
        on_detached: Callable[[Run], None] | None = None,
    ) -> None:
        self.runtime, self.config, self.parent = runtime, config, parent
        self.loop = asyncio.get_running_loop()
        options = runtime.options
        self.runner = Runner(runtime.spec, self, runtime.limiter, options.max_concurrency)
        self._routes = Routes(runtime.spec, self)
        self.partials: list[Partial] = []
        self.stop_reason: str | None = None
        self.is_in_nodes = self.is_detached = False
        self.task: asyncio.Task[Any] | None = None
        self._reader = reader
        self._is_silent = parent is not None or (reader is None and runtime.bus.is_silent)
        self._limit = config.recursion_limit
        self._ledger: Ledger | None = None
        self._writing = asyncio.Lock()
        self._on_detached = on_detached
        self._detaching: asyncio.Task[None] | None = None

    # -- from the door to the rest -----------------------------------------------------------------

    async def execute(self, call: Call, thread_id: str, *, create: bool = True) -> Run | None:
        """Take the thread, do what the call means, and return the run as it rests; None if there is no such thread.

        Raise what a node raised, or the reason why the call means nothing.
        """
        journal, options = self.runtime.journal, self.runtime.options
        self.task = asyncio.current_task()
        ledger = self._ledger = await journal.acquire(thread_id, lease_seconds=options.lease_seconds, create=create)
        if ledger is None:
            return None
        unwatch = journal.store.watch(ledger.key, self._on_change) if self.parent is None else _nothing
        try:
            facts = await self._taken_in(call, ledger)
            for fact in facts:
                ledger.stage(fact)
            return await self._drive(ledger)
        except asyncio.CancelledError:
            if not self.is_detached:
                await self._stop_after_cancel(ledger)
            raise
        finally:
            unwatch()
            if not self.is_detached:
                ledger.abandon()

    async def _taken_in(self, call: Call, ledger: Ledger) -> Sequence[Fact]:
        options, journal = self.runtime.options, self.runtime.journal
        intake = Intake(
            self.runtime.spec,
            lambda values: self._routes.enter(ledger.run, values),
            decide=options.decide,
            while_paused=options.while_paused,
            now=options.clock(),
        )
        thread_id = ledger.key.thread
        try:
            self.runtime.spec.require_nodes(ledger.run)
            return await intake.facts(ledger.run, call, self.config.run_id, lambda: journal.interrupts(thread_id))
        except BaseException:
            await ledger.save(release=True)  # nothing was written: the thread stays as it was
            raise

    # -- the one way of a step ---------------------------------------------------------------------

    async def _drive(self, ledger: Ledger) -> Run:
        spec, limit = self.runtime.spec, self._limit
        decision = plan(spec, ledger.run, limit)
        while type(decision) is RunNodes:
            await self._save(ledger)
            reason = self.stop_reason
            if reason is not None:
                return await self._stop(ledger, StepResult())
            self.is_in_nodes = True
            try:
                result = await self.runner.step(decision.tasks)
            except asyncio.CancelledError:
                reason = self.stop_reason
                if reason is None or self.is_detached:
                    raise
                result = self.runner.left_behind
            finally:
                self.is_in_nodes = False
            reason = self.stop_reason
            if reason is not None:
                return await self._stop(ledger, result)
            await self._take(ledger, result)
            decision = plan(spec, ledger.run, limit)
        if type(decision) is Pause:
            ledger.stage(self._paused(ledger.run, decision))
        elif type(decision) is Finish:
            ledger.stage(Completed())
        elif type(decision) is ReachLimit:
            await self._fail(ledger, RecursionLimitError(limit, decision.next), None)
        await self._save(ledger, release=True)
        return ledger.run

    async def _take(self, ledger: Ledger, result: StepResult) -> None:
        """Stage what came of a step. Raise what a node raised, once that is on record."""
        outputs = result.outputs
        if result.error is not None:
            await self._fail(ledger, result.error, result.node, outputs)
        elif result.refused is not None:
            await self._reopen(ledger, result)
        elif result.asked or ledger.run.details.interrupts:
            ledger.stage(self._asked(ledger.run, result))
        else:
            try:
                await self._step_done(ledger, outputs)
            except Exception as error:
                await self._fail(ledger, error, outputs[0].node if len(outputs) == 1 else None, outputs)
        self.partials.clear()

    async def _step_done(self, ledger: Ledger, outputs: Sequence[Output]) -> None:
        spec, run = self.runtime.spec, ledger.run
        if run.details.finished:
            known = {**run.details.finished, **{output.key: output for output in outputs}}
            outputs = [known[task.key] for task in run.frontier]
        changes, values = spec.schema.merge(run.values, [(output.node, output.writes) for output in outputs])
        if spec.branches:
            routes = [await self._routes.behind(output, run, values) for output in outputs]
        else:
            routes = [spec.straight.get(o.node, ()) if o.goto is None else o.goto for o in outputs]
        ledger.stage(step(spec, run, outputs, changes, routes))

    # -- how a run rests ---------------------------------------------------------------------------

    def _paused(self, run: Run, pause: Pause) -> Paused:
        records = tuple(
            self._record(Question(gate.reason, gate.data, kind=pause.kind), gate.node, allowed=("approve", "reject", "edit"))
            for gate in pause.gates
        )
        first = pause.gates[0]
        return Paused(pause.kind, first.node, first.reason, records)

    def _asked(self, run: Run, result: StepResult) -> Paused:
        records = tuple(result.asked)
        first = (records or run.details.interrupts)[0]
        node = next((task.node for task in run.frontier if task.key == first.task), first.node)
        return Paused(InterruptKind.NODE if first.is_question else InterruptKind.BEFORE, node, first.reason, records, tuple(result.outputs))

    async def _reopen(self, ledger: Ledger, result: StepResult) -> None:
        """Take an answer back that the question's own type refused, and say so to the one who gave it."""
        assert result.refused is not None
        key, refused = result.refused
        rows = await self.runtime.journal.interrupts(ledger.key.thread)
        record = next(r for r in rows if r.task == key and r.position == refused.position and r.answered_at)
        again = replace(record, status=InterruptStatus.OPEN, version=record.version + 1, answer=None)
        again = replace(again, answered_by=None, answered_at=None)
        ledger.stage(Reopened(again, refused.why))
        ledger.stage(Paused(InterruptKind.NODE, result.node or again.node, again.reason, (again,), tuple(result.outputs)))
        await self._save(ledger, release=True)
        raise InvalidAnswerError(ledger.key.thread, record.id, refused.why)

    async def _fail(
        self, ledger: Ledger, error: BaseException, node: str | None, outputs: Sequence[Output] = ()
    ) -> None:
        """Put an error on record, then raise it as it is."""
        mark(error, self.config, node)
        message = str(error)[:10_000]
        try:
            ledger.stage(Failed(type(error).__name__, message, node, tuple(outputs)))
        except TafError:  # what the other nodes returned cannot be stored: they will run again
            ledger.stage(Failed(type(error).__name__, message, node))
        await self._save(ledger, release=True)
        raise error

    async def _stop(self, ledger: Ledger, result: StepResult) -> Run:
        """End a run that was told to stop: what is finished and what was shown is kept."""
        await self._shake_off_cancel()
        reason = self.stop_reason or "stopped"
        tasks = ledger.run.frontier
        node = tasks[0].node if tasks else ledger.run.node
        shown = tuple(self.partials)
        ledger.stage(Stopped(self.config.run_id, reason, node, tuple(result.outputs), shown, self.unwinding()))
        await self._save(ledger, release=True)
        return ledger.run

    def unwinding(self) -> tuple[str, ...]:
        """Return the nodes whose code is still running though the run has been ended."""
        left = [context.node for context in self.runner.threads]
        if self.is_detached and self.is_in_nodes:
            left += [task.node for task in self.run.frontier]
        return tuple(dict.fromkeys(left))

    async def _shake_off_cancel(self) -> None:
        """Let a cancellation of our own that has not been delivered yet hit here, where nothing is under way."""
        task = asyncio.current_task()
        if task is not None and task is self.task and task.cancelling():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            while task.uncancel():
                pass

    async def _stop_after_cancel(self, ledger: Ledger) -> None:
        """Record a stop that came as a plain cancellation, from the loop or from the parent of a subgraph."""
        if ledger.is_open and ledger.run.status == "running":
            self.stop_reason = self.stop_reason or "cancelled"
            with contextlib.suppress(TafError, asyncio.CancelledError):
                ledger.unstage()
                await self._stop(ledger, self.runner.left_behind)

    # -- writing and telling -----------------------------------------------------------------------

    async def _save(self, ledger: Ledger, *, release: bool = False) -> None:
        """Durable before visible: append, then tell."""
        told, signals = await ledger.save(release=release)
        if signals:
            self._heed(signals)
        if told and not self._is_silent:
            await self._tell(events_of(self.config.thread_id, told))

    async def _tell(self, events: Sequence[Event]) -> None:
        bus = self.runtime.bus
        if self._reader is not None:
            self._reader(events, self.run)
        if not bus.publish(events):
            await bus.room()

    def _record(
        self, question: Question, node: str, *, task: str | None = None, position: int = 0, allowed: tuple[str, ...]
    ) -> InterruptRecord:
        pack(question.data, (f'data of the question "{question.reason}"',))
        return InterruptRecord(
            id=new_id(),
            thread_id=self.config.thread_id,
            run_id=self.config.run_id,
            node=node,
            kind=question.kind,
            reason=question.reason,
            created_at=datetime.fromtimestamp(self.runtime.options.clock(), UTC),
            data=question.data,
            answer_schema=question.answer_schema,
            allowed=allowed,
            due_at=question.due_at,
            path=question.path or (node,),
            task=task,
            position=position,
            inner_id=question.inner_id,
        )

    # -- what running nodes ask for ----------------------------------------------------------------

    @property
    def run(self) -> Run:
        """The run as it is committed, or about to be."""
        assert self._ledger is not None
        return self._ledger.run

    @property
    def is_at_rest(self) -> bool:
        """True once the thread is given back: what is left to do is to say so."""
        return self._ledger is not None and not self._ledger.is_open

    @property
    def is_stopping(self) -> bool:
        """True once the run was told to stop."""
        return self.stop_reason is not None or (self.parent is not None and self.parent.stopping)

    def record_of(self, context: Context, question: Question, position: int) -> InterruptRecord:
        """Make the record of a question that a node asks."""
        node = "/".join(question.path) if question.path else context.node
        return self._record(question, node, task=context.task.key, position=position, allowed=question.allowed)

    async def record_task(self, context: Context, position: int, entry: Entry) -> None:
        """Commit the result of a ``task()`` before its node gets it."""
        async with self._writing:
            assert self._ledger is not None
            self._ledger.stage(TaskRecorded(context.task.key, context.node, position, entry))
            await self._save(self._ledger)

    def emit(self, context: Context, value: Any, key: str | None) -> None:
        """Show a partial, in order with everything else, from whichever OS thread the node runs in."""
        pack(value, ("emit",))
        if context.runner is None:
            self.loop.call_soon_threadsafe(self._emit, context.node, context.attempt, key, value)
        else:
            self._emit(context.node, context.attempt, key, value)

    def _emit(self, node: str, attempt: int, key: str | None, value: Any) -> None:
        if self.is_stopping or self.is_detached:
            return
        if key is not None:
            self.partials = [p for p in self.partials if (p.node, p.key) != (node, key)]
        self.partials.append(Partial(node, attempt, key, value))
        if self.parent is not None:
            self.parent.emit(value, key)
        elif not self._is_silent:
            self._show(node, attempt, key, value)

    def _show(self, node: str, attempt: int, key: str | None, value: Any) -> None:
        content = value.text() if isinstance(value, Message) else value if isinstance(value, str) else repr(value)
        data = {"value": value, "key": key, "attempt": attempt, "committed": False}
        run, at = self.run, datetime.fromtimestamp(self.runtime.options.clock(), UTC)
        event = Event(
            EventType.PARTIAL, run.thread_id, run.run_id, run.sequence, run.step, at, node, content, data, {"status": content}
        )
        if self._reader is not None:
            self._reader([event], run)
        self.runtime.bus.publish([event])

    # -- being told to stop ------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        if change.signals:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs there any more
                self.loop.call_soon_threadsafe(self._heed, change.signals)

    def _heed(self, signals: Sequence[Signal]) -> None:
        for signal in signals:
            if signal.kind == "stop" and signal.run_id == self.config.run_id:
                self.request_stop(signal.body.decode(errors="replace") or "stopped")

    def request_stop(self, reason: str) -> None:
        """Stop the run, from its own loop. Nodes are cancelled; a commit under way is not."""
        if self.stop_reason is not None:
            return
        self.stop_reason = reason
        if self.is_in_nodes and self.task is not None:
            self.task.cancel()
        self.loop.call_later(self.runtime.options.stop_grace, self._lose_patience)

    def _lose_patience(self) -> None:
        if self._ledger is not None and self._ledger.is_open and self.is_in_nodes:
            self.is_detached = True
            self._detaching = self.loop.create_task(self._detach(self._ledger))

    async def _detach(self, ledger: Ledger) -> None:
        """End the run though a node will not leave. Whatever that node still returns is refused."""
        try:
            await self._stop(ledger, StepResult())
        finally:
            ledger.abandon()
            if self._on_detached is not None:
                self._on_detached(ledger.run)


def mark(error: BaseException, config: RunConfig, node: str | None) -> None:
    """Say on an exception where it happened. It stays the exception that the node raised."""
    with contextlib.suppress(AttributeError):
        error.thread_id, error.run_id = config.thread_id, config.run_id  # type: ignore[attr-defined]
        if node is not None or not hasattr(error, "node"):
            error.node = node  # type: ignore[attr-defined]
    where = f'node "{node}" of ' if node else ""
    error.add_note(f'raised in {where}run {config.run_id}, thread "{config.thread_id}"')


def _nothing() -> None:
    return None
