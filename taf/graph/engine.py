"""One run: the loop that plans, runs nodes, and commits. The only mutable state of a run lives here.

There is one way of a step, whoever asked for it: plan → run nodes → fact → evolve → append → publish. Streams,
publishers and subgraphs are readers or callers of this way, never a second one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeGuard

from anyio import CapacityLimiter

from taf.checkpointer.base import Change, Posted, Signal
from taf.checkpointer.ledger import Ledger
from taf.errors import (
    InvalidAnswerError,
    NothingToResumeError,
    RecursionLimitError,
    TafError,
    ThreadBusyError,
)
from taf.events import Event
from taf.graph.config import RunConfig
from taf.graph.context import AnswerRefused, Context, Question
from taf.graph.context import Pause as LeftToAsk
from taf.graph.inner import former_keys
from taf.graph.intake import Answer, Call, Invoke, is_empty
from taf.graph.multitask import URGENT, first_of
from taf.graph.partials import NONE_SHOWN
from taf.graph.plan import Decision, Finish, Pause, ReachLimit, RunNodes, plan, step
from taf.graph.presuming import begun
from taf.graph.routing import behind, enter
from taf.graph.runner import NOTHING_LEFT, Runner, StepResult
from taf.graph.runtime import Runtime
from taf.graph.serving import Reader, Serving
from taf.graph.steering import steer
from taf.graph.telling import events_of
from taf.graph.upgrade import beginning, upgraded
from taf.state.facts import (
    Completed,
    Failed,
    Output,
    Paused,
    Reopened,
    Stepped,
    Task,
)
from taf.state.interrupts import BREAKPOINT_ANSWERS, InterruptKind, InterruptRecord, InterruptStatus
from taf.state.renaming import Renaming
from taf.state.run import Run, evolve
from taf.state.schema import Values


class Landing(Protocol):
    """Whoever waits for a run, which may leave its nodes behind when it is stopped."""

    def land(self, run: Run | None, error: BaseException | None) -> None:
        """Be told how the run rests, or what it ended with."""
        ...


class Engine(Serving):
    """Drives one run on one event loop.

    ``reader`` gets the run's events as they are committed, with the run as it is then. ``parent`` is set in a
    subgraph: its partials go there, and it is told to nobody else.
    """

    def __init__(
        self,
        runtime: Runtime,
        config: RunConfig,
        *,
        reader: Reader | None = None,
        parent: Context | None = None,
        flight: Landing | None = None,
    ) -> None:
        super().__init__()
        self.runtime, self.config, self.parent = runtime, config, parent
        self.loop = asyncio.get_running_loop()
        options = runtime.options
        self.runner = Runner(runtime.spec, self, options.max_concurrency)
        self._reader = reader
        self._is_silent = parent is not None or (reader is None and runtime.bus.is_silent)
        self._limit = config.recursion_limit
        self._flight = flight
        self._answer: Answer | None = None
        self._begun = 0

    # -- from the door to the rest -----------------------------------------------------------------

    async def acquired(self, call: Call, thread_id: str, *, create: bool = True) -> Ledger | None:
        """Return the thread, taken for ``conduct``; None if there is no such thread. Raise ``ThreadBusyError``."""
        journal, seconds, ledger = self.runtime.journal, self.runtime.options.lease_seconds, None
        if journal.begins is not None and self.parent is None and _may_begin(call):
            ledger = await begun(self.runtime, self.config, call, is_told=not self._is_silent, create=create)
        if ledger is None:
            ledger = await journal.acquire(thread_id, lease_seconds=seconds, create=create)
        if ledger is None or not ledger.mail.messages or not isinstance(call, Invoke):
            return ledger
        if is_empty(call.input) or ledger.run.status.is_interrupted:
            return ledger
        await ledger.save(release=True)
        raise ThreadBusyError(thread_id, None, len(ledger.mail.messages))

    async def conduct(self, call: Call, ledger: Ledger) -> Run:
        """Do what the call means, with a thread that was taken, and return the run as it rests.

        Raise what a node raised, or the reason why the call means nothing.
        """
        journal, self._ledger, self.task = self.runtime.journal, ledger, asyncio.current_task()
        ledger.is_told = not self._is_silent
        self._answer = call if isinstance(call, Answer) and call.names_one else None
        unwatch, self._begun = _nothing, -1 if ledger.has_begun else ledger.committed
        if self.parent is None:
            unwatch = journal.store.watch(ledger.key, self._on_change, signals_only=True)
        try:
            if not ledger.has_begun:
                await self._take_in(call, ledger)
            elif ledger.told:
                await self._tell(events_of(ledger.key.thread, ledger.told))
            return await (self._drive(ledger) if self._detaching is None else self._stop(ledger))
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit) as left:
            await self._stop_after(left, ledger)
            if not self._has_cancelled or not isinstance(left, asyncio.CancelledError):
                raise
            untaken = self._untaken(ledger)
            if untaken is not None:
                raise untaken from None
            return ledger.run
        finally:
            unwatch()
            if self._detaching is None:
                ledger.abandon()
                self._let_go()

    def limiter(self) -> CapacityLimiter:
        """Return what bounds the worker threads of sync nodes."""
        return self.runtime.limiter()

    def _let_go(self) -> None:
        """Drop what refers back to this: a run that is over must not wait for the garbage collector."""
        self._flight = None
        if self._patience is not None:
            self._patience.cancel()
        self.runner.end()

    def _look_at(self, messages: Sequence[Posted]) -> None:
        """Take note of what waited besides the message that is taken now: nobody says it again."""
        others = [one for one in messages if one.run_id != self.config.run_id]
        first = first_of(others)
        if first is not None and first.kind in URGENT:
            self.make_room(first.run_id)
        self.has_mail = any(one.kind == "steer" for one in others)

    def _untaken(self, ledger: Ledger) -> NothingToResumeError | None:
        """Return what to tell the one whose answer was stopped before it was taken, when nothing shows it."""
        status = ledger.run.status
        if self._answer is None or ledger.committed != self._begun or status.is_interrupted:
            return None
        return NothingToResumeError(ledger.key.thread, status.value)

    async def _take_in(self, call: Call, ledger: Ledger) -> None:
        """Stage what the call means, unless the run was stopped meanwhile."""
        runtime, spec = self.runtime, self.runtime.spec
        self.is_in_nodes = True  # users' code as well: what decides, and routers
        try:
            draft = upgraded(spec, ledger)
            await runtime.intake.read(call, draft, self)
            draft = await beginning(runtime.journal, spec, ledger, draft)
        except BaseException:
            if self._detaching is None:
                await ledger.save(release=True)  # nothing was written: the thread stays as it was
            raise
        finally:
            self.is_in_nodes = False
        if ledger.mail.messages:
            self._look_at(ledger.mail.messages)
        if self._detaching is None:
            ledger.stage_all(draft)

    @property
    def run_id(self) -> str:
        """The run."""
        return self.config.run_id

    async def entered(self, run: Run, values: Values) -> tuple[Task, ...]:
        """Return what a pass begins with, on the values that the input led to."""
        return await enter(self.runtime.spec, self, run, values)

    async def closed(self) -> Sequence[InterruptRecord]:
        """Return the thread's interrupts, those that were answered before among them."""
        return await self.runtime.journal.interrupts(self.run.thread_id)

    # -- the one way of a step ---------------------------------------------------------------------

    async def _drive(self, ledger: Ledger) -> Run:
        spec, limit = self.runtime.spec, self._limit
        while True:
            try:
                result = await self._went_straight(ledger, limit)
            finally:
                ledger.catch_up()
            if result is None:
                decision = plan(spec, ledger.run, limit)
                if type(decision) is not RunNodes:
                    return await self._rest(ledger, decision)
                if self.has_mail:
                    self.has_mail = await steer(self.runtime.journal, ledger)
                await self._save(ledger)
                if self.stop_reason is not None:
                    return await self._stop(ledger)
                result = await self._came_of(decision.tasks)
            if self._recording:
                await asyncio.wait(self._recording)
            if self.is_stopping:
                return await self._stop(ledger)  # what came of the nodes after the stop is refused
            await self._take(ledger, result)

    async def _came_of(self, tasks: Sequence[Task]) -> StepResult | Output:
        self.is_in_nodes = True
        try:
            return await self.runner.step(tasks)
        except (LeftToAsk, AnswerRefused, Exception) as left:
            return self.runner.came_out(tasks[0], left)
        finally:
            self.is_in_nodes = False

    async def _take(self, ledger: Ledger, result: StepResult | Output) -> None:
        """Stage what came of a step. Raise what a node raised, once that is on record."""
        result = StepResult((result,)) if isinstance(result, Output) else result
        outputs = result.outputs
        if result.error is not None:
            await self._fail(ledger, result.error, result.node, outputs)
        elif result.refused is not None:
            await self._reopen(ledger, result)
        elif result.asked or ledger.run.details.interrupts:
            ledger.stage(self._asked(ledger.run, result))
        else:
            try:
                ledger.stage(*await self._step_done(ledger.run, outputs))
            except Exception as error:
                await self._fail(ledger, error, outputs[0].node if len(outputs) == 1 else None, outputs)
        self.partials = NONE_SHOWN
        self.runner.left_behind = NOTHING_LEFT

    async def _step_done(self, run: Run, outputs: Sequence[Output]) -> tuple[Stepped, Run]:
        """Return the fact of a step that is done, and the run that it leads to."""
        spec = self.runtime.spec
        if run.details.finished:
            known = {**run.details.finished, **{output.key: output for output in outputs}}
            outputs = [known[task.key] for task in run.frontier]
        written = [(output.node, output.ops) for output in outputs]
        changes, values = spec.schema.merge(run.values, written, run.sequence + (len(outputs) or 1))
        if spec.branches:
            routes = await self._routed(outputs, run, values)
        else:
            routes = [spec.straight.get(o.node, ()) if o.goto is None else o.goto for o in outputs]
        fact = step(spec, run, outputs, changes, routes)
        return fact, evolve(spec.schema, run, fact, values)

    async def _routed(self, outputs: Sequence[Output], run: Run, values: Values) -> list[tuple[Task, ...]]:
        """Ask the routers. They are users' code: a stop cancels them, and keeps what led to them."""
        self.runner.left_behind = StepResult(outputs)
        self.is_in_nodes = True
        try:
            return [await behind(self.runtime.spec, self, output, run, values) for output in outputs]
        finally:
            self.is_in_nodes = False

    # -- how a run rests ---------------------------------------------------------------------------

    async def _rest(self, ledger: Ledger, decision: Decision) -> Run:
        """Pause or end the run, and give the thread back in the same transaction."""
        if type(decision) is Pause:
            ledger.stage(self._paused(ledger.run, decision))
        elif type(decision) is Finish:
            ledger.stage(Completed())
        elif type(decision) is ReachLimit:
            await self._fail(ledger, RecursionLimitError(self._limit, decision.next), None)
        await self._save(ledger, release=True)
        return ledger.run

    def _paused(self, run: Run, pause: Pause) -> Paused:
        records = tuple(
            self._record(Question(gate.reason, gate.data, kind=pause.kind), gate.node, allowed=BREAKPOINT_ANSWERS)
            for gate in pause.gates
        )
        first = pause.gates[0]
        return Paused(pause.kind, first.node, first.reason, records)

    def _asked(self, run: Run, result: StepResult) -> Paused:
        records = tuple(result.asked)
        first = (records or run.details.interrupts)[0]
        node = next((task.node for task in run.frontier if task.key == first.task), first.node)
        kind = InterruptKind.NODE if first.is_question else InterruptKind.BEFORE
        return Paused(kind, node, first.reason, records, tuple(result.outputs))

    async def _reopen(self, ledger: Ledger, result: StepResult) -> None:
        """Take an answer back that the question's own type refused, and say so to the one who gave it."""
        assert result.refused is not None
        key, refused = result.refused
        rows = await self.runtime.journal.interrupts(ledger.key.thread)
        spec = self.runtime.spec
        keys = former_keys(spec, result.node or key, key)  # closed records keep the names of their time
        record = next(r for r in rows if r.task in keys and r.position == refused.position and r.answered_at)
        record = Renaming(spec.renames, {}, ledger.run.frontier).record(record)
        again = replace(record, status=InterruptStatus.OPEN, version=record.version + 1, answer=None)
        again = replace(again, answered_by=None, answered_at=None)
        ledger.stage(Reopened(again, refused.why))
        node, finished = result.node or again.node, tuple(result.outputs)
        ledger.stage(Paused(InterruptKind.NODE, node, again.reason, (again,), finished))
        await self._save(ledger, release=True)
        raise InvalidAnswerError(ledger.key.thread, record.id, refused.why)

    async def _fail(
        self, ledger: Ledger, error: BaseException, node: str | None, outputs: Sequence[Output] = ()
    ) -> None:
        """Put an error on record, then raise it as it is."""
        self.config.mark(error, node)
        message = str(error)[:10_000]
        try:
            ledger.stage(Failed(type(error).__name__, message, node, tuple(outputs)))
        except TafError:  # what the other nodes returned cannot be stored: they will run again
            ledger.stage(Failed(type(error).__name__, message, node))
        await self._save(ledger, release=True)
        raise error

    # -- writing and telling -----------------------------------------------------------------------

    async def _save(self, ledger: Ledger, *, release: bool = False) -> None:
        """Durable before visible: append, then tell."""
        signals = await ledger.save(release=release)
        if signals or ledger.told:
            await self._follow_up(ledger, signals)

    async def _follow_up(self, ledger: Ledger, signals: Sequence[Signal]) -> bool:
        """Heed and tell what came of a commit, and say whether the signals told of mail."""
        has_mail = bool(signals) and self._heed(signals)
        if ledger.told:
            await self._tell(events_of(self.config.thread_id, ledger.told))
        return has_mail

    async def _tell(self, events: Sequence[Event]) -> None:
        bus = self.runtime.bus
        if self._reader is not None:
            self._reader(events, self.run)
        if not bus.publish(events):
            await bus.room()
        if self._reader is not None and not self.is_at_rest:
            await asyncio.sleep(0)  # nodes that never wait would keep the reader waiting until the end

    # -- being told to stop ------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        if change.signals:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs there any more
                self.loop.call_soon_threadsafe(self._heed, change.signals)

    def _detached(self, error: Exception | None) -> None:
        if self._flight is not None:
            self._flight.land(self.run, error)


def _may_begin(call: Call) -> TypeGuard[Invoke | Answer]:
    """Say whether a call needs no more than its thread to be read."""
    return type(call) is Answer or (type(call) is Invoke and not call.strategy)


def _nothing() -> None:
    return None
