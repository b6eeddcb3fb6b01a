"""Runs the nodes of one step: tasks, threads, retries, timeouts and cancellation. It commits nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from functools import cached_property
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Protocol, cast

from anyio import to_thread

from taf.errors import (
    InterruptRejectedError,
    NodeTimeoutError,
    NonDeterministicReplayError,
    PauseSwallowedError,
    RunError,
)
from taf.graph.command import END, Command, destinations
from taf.graph.context import AnswerRefused, Context, Host, Pause, enter, leave
from taf.graph.node import Node
from taf.graph.spec import GraphSpec
from taf.state.agent_state import AgentState, Ask
from taf.state.channel import Op
from taf.state.facts import Output, Task
from taf.state.interrupts import InterruptRecord
from taf.state.run import NOTHING, Run
from taf.state.view import asked_of
from taf.tuples import NamedTuple

if TYPE_CHECKING:
    from anyio import CapacityLimiter


class StepResult(NamedTuple):
    """How the nodes of a step came out. ``error`` belongs to ``node``; ``refused`` is an answer that did not fit."""

    outputs: Sequence[Output] = ()
    asked: Sequence[InterruptRecord] = ()
    refused: tuple[str, AnswerRefused] | None = None
    error: BaseException | None = None
    node: str | None = None


NOTHING_LEFT = StepResult()

CALLED_OUT = (asyncio.CancelledError, Pause, AnswerRefused)
"""What a node is left by that is no error of its own."""


class Returned(NamedTuple):
    """What a subgraph returns: values of fields, as they are at its end.

    ``before``: as they were when it began, if the state may have changed since then. What differs is its update.
    """

    values: Mapping[str, Any]
    before: Mapping[str, Any] | None = None


class RunnerHost(Host, Protocol):
    """What the runner needs of its run, besides what its nodes need."""

    @property
    def run(self) -> Run: ...

    def limiter(self) -> CapacityLimiter:
        """Return what bounds the worker threads of sync nodes."""
        ...


class Runner:
    """Runs nodes for one run."""

    def __init__(self, spec: GraphSpec, host: RunnerHost, max_concurrency: int | None) -> None:
        self.spec, self._host, self._width = spec, host, max_concurrency
        self._schema, self._view = spec.schema, spec.schema.view
        self.left_behind = NOTHING_LEFT
        """What was finished of the step under way: kept when the run is stopped."""

    @cached_property
    def threads(self) -> set[Context]:
        """The contexts of sync nodes that are still in their thread; made on the run's loop, when the first one is."""
        return set()

    def end(self) -> None:
        """Let go of the run: no node will be run any more."""
        del self._host

    @property
    def is_stopping(self) -> bool:
        """True once the run was told to stop."""
        return self._host.is_stopping

    def step(self, tasks: Sequence[Task]) -> Awaitable[StepResult | Output]:
        """Run the tasks side by side; await what came of each, in their order. One task gives its output, or raises.

        A cancellation from outside is let through once every node has left.
        """
        if len(tasks) == 1:
            return self.one(self.spec.nodes[tasks[0].node], tasks[0])  # awaited in the run's own task
        return _Branches(self, tasks, self._width).run()

    @staticmethod
    def came_out(task: Task, left: BaseException) -> StepResult:
        """Turn what a node was left by into a result."""
        if isinstance(left, Pause):
            return StepResult(asked=tuple(left.args[0]), node=task.node)
        if isinstance(left, AnswerRefused):
            return StepResult(refused=(task.key, left), node=task.node)
        return StepResult(error=left, node=task.node)

    # -- one node ----------------------------------------------------------------------------------

    def one(self, node: Node, task: Task) -> Coroutine[Any, Any, Output]:
        """Run one node: await what it returned."""
        if node.is_plain:
            return self._call(node, Context(self._host, self._host.run, task))
        return self._attempts(node, task)

    async def _attempts(self, node: Node, task: Task) -> Output:
        """Run a node as often as its retry policy says."""
        attempt = 1
        while True:
            context = Context(self._host, self._host.run, task, attempt)
            try:
                return await self._within_timeout(node, context)
            except (PauseSwallowedError, NonDeterministicReplayError):
                raise  # the node's code is wrong, and would be so again
            except Exception as error:
                if node.retry is None or self._host.is_stopping or not node.retry.wants(error, attempt):
                    raise
                await asyncio.sleep(node.retry.pause(attempt))
                attempt += 1
            finally:
                context.is_abandoned = True

    async def _within_timeout(self, node: Node, context: Context) -> Output:
        if node.timeout is None:
            return await self._call(node, context)
        limit = asyncio.timeout(node.timeout)
        try:
            async with limit:
                return await self._call(node, context)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise NodeTimeoutError(node.name, node.timeout) from error

    async def _call(self, node: Node, context: Context) -> Output:
        run, task = context.running, context.task
        values = run.values if task.overlay is None else {**run.values, **task.overlay}
        state = self._view(values, context)
        context.runner = asyncio.current_task()
        token = enter(context)
        try:
            if node.is_async:
                result = await node.call(state, context)
            else:
                result = await self._in_thread(node, state, context)
        except BaseException as left:
            result = self.left_by(left, context)
        finally:
            leave(token)
            context.has_left = True
        return self.output(node, context, values, state, result)

    def left_by(self, left: BaseException, context: Context) -> Command:
        """Return where a rejection leads. Raise everything else that a node is left by as what it means for the run."""
        context.close()
        left = unwrapped(left)
        if isinstance(left, InterruptRejectedError):
            context.asked, context.refused = (), None  # whatever else it asked, the node is done
            return Command(goto=left.goto or END)
        if not isinstance(left, CALLED_OUT):
            raise left
        runner = context.runner
        if isinstance(left, asyncio.CancelledError) and (runner is None or runner.cancelling()):
            raise left  # from outside
        if context.refused is not None:
            raise context.refused from None
        if context.asked:
            raise Pause(context.asked) from None
        if isinstance(left, asyncio.CancelledError) and not self._host.is_stopping:
            raise RunError(f'Node "{context.node}" was cancelled from within.') from None
        raise left

    async def _in_thread(self, node: Node, state: Any, context: Context) -> Any:
        context.runner, threads = None, self.threads

        def call() -> Any:
            threads.add(context)
            try:
                # Looked at once it is known to be here: a stop either sees it at work, or it does not begin.
                return None if context.stopping else node.call(state, context)
            finally:
                threads.discard(context)

        result = await to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._host.limiter())
        if not isawaitable(result):
            return result
        context.runner = asyncio.current_task()  # an async function in disguise, such as a lambda that calls one
        return await result

    # -- what it returned --------------------------------------------------------------------------

    def output(self, node: Node, context: Context, values: Any, state: Any, result: Any) -> Output:
        """Read what a node returned. Raise for what it may not, or when it passed over a question of its own."""
        if context.asked or context.refused:
            context.close()
            raise PauseSwallowedError(node.name, context.question)
        if context.running.details is not NOTHING:
            context.check_replay()
        task, schema, update, goto = context.task, self._schema, result, None
        if type(result) is Command:
            update = result.update
            if result.goto is not None:
                goto = self._goto(task.node, result.goto)
        if type(update) is dict:
            ops = schema.wanted_by_dict(cast("dict[str, Any]", update), node.returned)
        else:
            ops = self._wanted(node, values, update)
        return Output(task.key, task.node, tuple(ops), goto, _ask(state, update) if schema.can_ask else None)

    def _wanted(self, node: Node, values: Any, update: Any) -> list[Op]:
        schema, who = self._schema, node.returned
        if update is None:
            return []
        if isinstance(update, Returned):
            return schema.wanted_values(values if update.before is None else update.before, update.values, who)
        if isinstance(update, schema.model):
            return schema.wanted_by_state(values, update, who)
        return schema.wanted(update, who)

    def _goto(self, node: str, goto: Any) -> tuple[Task, ...]:
        targets = destinations(goto)
        if targets is None:
            what = f'Node "{node}" returned Command(goto={goto!r})'
            raise RunError(f"{what}. Name a node, END, a Send, or a list of these.")
        return self.spec.tasks(targets, f'Node "{node}"')


def _ask(state: Any, returned: Any) -> Ask | None:
    ask = asked_of(state)
    if ask is None and returned is not state and isinstance(returned, AgentState):
        ask = returned.requested_interrupt
    return ask


def unwrapped(left: BaseException) -> BaseException:
    """Return what a task group wrapped: a pause, a rejection, or what else went wrong."""
    if not isinstance(left, BaseExceptionGroup):
        return left
    group = cast("BaseExceptionGroup[BaseException]", left)
    pauses, errors = group.split(CALLED_OUT)
    if errors is None:
        return Pause()
    if errors.split(InterruptRejectedError)[1] is not None:
        return group if pauses is None else errors
    return _first_of(errors)


def _first_of(error: BaseException) -> BaseException:
    if not isinstance(error, BaseExceptionGroup):
        return error
    return _first_of(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])


class _Branches:
    """The parallel branches of one step. The first error cancels the others; a pause does not."""

    def __init__(self, runner: Runner, tasks: Sequence[Task], width: int | None) -> None:
        self._runner, self._tasks = runner, tasks
        self._turn = None if width is None else asyncio.Semaphore(width)
        self._results: list[StepResult | None] = [None] * len(tasks)
        self._exit: BaseException | None = None
        self._working: list[asyncio.Task[None]] = []
        self._left, self._is_cancelled = len(tasks), False
        self._all_left = asyncio.get_running_loop().create_future()

    async def run(self) -> StepResult:
        spec = self._runner.spec
        if not self._tasks:  # all was done before, but what comes next was never decided
            return NOTHING_LEFT
        self._working = [
            asyncio.create_task(self._branch(index, spec.nodes[task.node], task))
            for index, task in enumerate(self._tasks)
        ]
        try:
            await self._all_left  # counted: a callback for each task would cost as much as the task
            if self._is_cancelled:
                await asyncio.wait(self._working)
        except asyncio.CancelledError:
            self._runner.left_behind = self._joined()
            self._cancel()
            await _settle(self._working)
            raise
        result = self._runner.left_behind = self._joined()
        if self._exit is not None:
            raise self._exit
        return result

    async def _branch(self, index: int, node: Node, task: Task) -> None:
        try:
            if self._turn is None:
                output = await self._runner.one(node, task)
            else:
                async with self._turn:
                    output = await self._runner.one(node, task)
            if not self._runner.is_stopping:  # what comes after a stop is refused
                self._results[index] = StepResult((output,))
        except (KeyboardInterrupt, SystemExit) as left:
            self._exit = left
            self._cancel()
        except (Pause, AnswerRefused, Exception) as left:
            self._results[index] = self._runner.came_out(task, left)
            if isinstance(left, Exception):
                self._cancel()
        finally:
            self._left -= 1
            if not self._left:
                self._wake()

    def _wake(self) -> None:
        if not self._all_left.done():
            self._all_left.set_result(None)

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._wake()  # a branch that did not begin will not be counted
        own = asyncio.current_task()
        for task in self._working:
            if task is not own:
                task.cancel()

    def _joined(self) -> StepResult:
        results = [result for result in self._results if result is not None]
        wrong = next((result for result in results if result.error or result.refused), StepResult())
        return StepResult(
            [output for result in results for output in result.outputs],
            [record for result in results for record in result.asked],
            wrong.refused,
            wrong.error,
            wrong.node,
        )


async def _settle(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for cancelled tasks, though this one is cancelled again meanwhile."""
    while not all(task.done() for task in tasks):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)
