"""The hot path: the plainest steps, taken as fast as this can be said.

Everything here is also done by the general way of a step, which is the measure of it; only it is unfolded, since each
call that is made costs more than what most steps do. Whatever is not plain is handed over to the general way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from taf.checkpointer.base import Signal
from taf.checkpointer.ledger import Ledger
from taf.graph.context import AnswerRefused, Context, Host, enter, leave
from taf.graph.context import Pause as LeftToAsk
from taf.graph.halting import Halting
from taf.graph.partials import NONE_SHOWN
from taf.graph.routing import out_of
from taf.graph.runner import NOTHING_LEFT, StepResult
from taf.graph.spec import GraphSpec, Way
from taf.state.channel import Op
from taf.state.execution import ExecutionStatus
from taf.state.facts import Output, Task
from taf.state.run import NOTHING, Ahead, Run, Stage, without_values
from taf.state.schema import Values
from taf.state.view import asked_of


class StraightAhead(Halting, Host):
    """The part of an engine that takes steps of one async node that leads along its edges and routers."""

    async def _went_straight(self, ledger: Ledger, limit: int) -> StepResult | Output | None:
        """Take plain steps while they follow each other, up to ``limit`` of the pass, and commit each of them.

        Return what came of a step that turned out to be more than plain, or None when the next one is.
        """
        runner, spec, parent, run = self.runner, self.runtime.spec, self.parent, ledger.run
        way: Way | None = None if self.has_mail or run.step >= limit else _way_of(run, spec)
        schema, plain, own = spec.schema, spec.plain, asyncio.current_task()
        view, plainly, can_ask = schema.view, schema.joined_plainly, schema.can_ask
        values, step = run.values, run.step
        frontier: tuple[Task, ...] = run.frontier
        run = without_values(run)
        ahead: Ahead | None = None
        signals: Sequence[Signal] | None = None
        while way is not None:
            task: Task = frontier[0]
            node, onward = way
            if signals is None:
                signals = await ledger.save()
            has_mail = (signals or ledger.told) and await self._follow_up(ledger, signals)
            if has_mail or self.stop_reason is not None:
                return None  # the general way heeds them
            before = ledger.committed
            context = Context(self, run, task, 1, ahead, own)
            state = view(values, context)
            try:
                token = enter(context)
                self.is_in_nodes = True
                try:
                    result = await node.call(state, context)
                except BaseException as left:
                    return runner.output(node, context, values, state, runner.left_by(left, context))
                finally:
                    leave(token)
                    context.has_left = True
                    self.is_in_nodes = False
                joined = plainly.get(result.__class__)
                if joined is None or context.asked or context.refused or (can_ask and asked_of(state)):
                    return runner.output(node, context, values, state, result)
                ops, after = joined(values, result, node.returned, before + 1)
            except (LeftToAsk, AnswerRefused, Exception) as left:
                return runner.came_out(task, left)
            is_stopping = self.stop_reason is not None or (parent is not None and parent.stopping)
            if after is None or is_stopping or ledger.committed != before or self._recording:
                return Output(task.key, task.node, tuple(ops))
            try:
                frontier = await self._led_to(context, ops, after) if onward is None else onward
                step += 1
                way = plain.get(frontier[0].key) if step < limit and len(frontier) == 1 else None
                ahead = (run, before + 1, step, task.node, frontier, after)
                signals = ledger.stage_straight(task, ops, ahead, saves=way is not None)
            except Exception as error:  # a router's, or what the node returned cannot be stored
                if not ledger.is_open:
                    raise  # it was not written
                return StepResult((Output(task.key, task.node, tuple(ops)),), error=error, node=task.node)
            values = after
            self.partials = NONE_SHOWN
            del context, token, state, result, ops, after  # not kept alive until the next node gets its own
        return None

    async def _led_to(self, context: Context, ops: Sequence[Op], values: Values) -> tuple[Task, ...]:
        """Ask the routers behind a node what is next. A stop cancels them, and keeps what led to them."""
        task = context.task

        def wait() -> None:
            self.runner.left_behind = StepResult((Output(task.key, task.node, tuple(ops)),))
            self.is_in_nodes = True

        try:
            found = await out_of(self.runtime.spec, self, task.node, context.running, values, context.ahead, wait)
        finally:
            self.is_in_nodes = False
        self.runner.left_behind = NOTHING_LEFT
        return found


def _way_of(run: Run, spec: GraphSpec) -> Way | None:
    """Return the plain node that is next, of a run that waits for nobody and may leave the node where it is."""
    is_running = run.status is ExecutionStatus.RUNNING and run.details is NOTHING
    has_left = not (spec.after and run.stage is Stage.LEAVE)
    if not (is_running and has_left and len(run.frontier) == 1):
        return None
    task = run.frontier[0]
    return spec.plain.get(task.key) if task.overlay is None else None
