"""What running nodes ask of their run: records of questions, results of tasks kept, partials shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from taf.checkpointer.interrupts import encode_partials
from taf.errors import StaleOwnerError
from taf.events import Event
from taf.graph.context import Context, Question, running_loop
from taf.graph.partials import NONE_SHOWN, Partials, event_of
from taf.graph.straight import StraightAhead
from taf.ids import new_id
from taf.serialization import pack
from taf.state.copying import copy_value
from taf.state.execution import ExecutionStatus
from taf.state.facts import Entry, TaskRecorded
from taf.state.interrupts import InterruptRecord
from taf.state.run import Run
from taf.state.superseded import Partial

Reader: TypeAlias = Callable[[Sequence[Event], Run], None]


class Serving(StraightAhead):
    """The part of an engine that nodes speak to."""

    _reader: Reader | None = None
    _is_silent: bool
    """True when what is committed is told to nobody."""

    def record_of(self, context: Context, question: Question, position: int) -> InterruptRecord:
        """Make the record of a question that a node asks."""
        node = "/".join(question.path) if question.path else context.node
        return self._record(question, node, task=context.task.key, position=position, allowed=question.allowed)

    async def record_task(self, context: Context, position: int, entry: Entry) -> None:
        """Commit the result of a ``task()`` before its node gets it.

        In a task of its own: a node that is called out by a pause or a stop must not tear its commit in two.
        """
        fact = TaskRecorded(context.task.key, context.node, position, entry)
        recording = self.loop.create_task(self._record_task(context, fact))
        self._recording |= {recording}
        recording.add_done_callback(self._recorded)
        await asyncio.shield(recording)

    async def _record_task(self, context: Context, fact: TaskRecorded) -> None:
        assert self._ledger is not None
        async with self._writing:
            if context.stopping:
                raise StaleOwnerError(context.thread_id, 0)
            self._ledger.stage(fact)
            await self._save(self._ledger)

    def _recorded(self, recording: asyncio.Task[None]) -> None:
        self._recording -= {recording}
        if not recording.cancelled():
            recording.exception()  # the node is told, if it is still there

    def emit(self, context: Context, value: Any, key: str | None) -> None:
        """Show a partial, in order with everything else, from whichever OS thread the node runs in."""
        encode_partials([Partial(context.node, context.attempt, key, value)])  # refuse what could not be kept
        value = copy_value(value)  # the node may go on changing its own
        if running_loop() is self.loop:
            self._emit(context, value, key)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the run with it
                self.loop.call_soon_threadsafe(self._emit, context, value, key)

    def _emit(self, context: Context, value: Any, key: str | None) -> None:
        run, ledger = self.run, self._ledger
        if ledger is None or run.status is not ExecutionStatus.RUNNING or context.run.visit != run.visit:
            return  # its step is over
        if self.partials is NONE_SHOWN:
            self.partials = Partials()
        partial = self.partials.show(context, key, value)
        if self.parent is not None:
            self.parent.host.emit(self.parent, value, key)
        elif not self._is_silent:
            at = datetime.fromtimestamp(self.runtime.options.clock(), UTC)
            events = [event_of(partial, run, ledger.committed, at)]
            if self._reader is not None:
                self._reader(events, run)
            self.runtime.bus.publish(events)

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
