"""How a run is ended from outside: what is asked of its nodes, how long they have, and what is kept of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator, Sequence
from functools import cached_property
from typing import Any, Self

from taf.checkpointer.base import Signal
from taf.checkpointer.ledger import Ledger
from taf.errors import TafError
from taf.graph.config import RunConfig
from taf.graph.context import Context
from taf.graph.multitask import URGENT
from taf.graph.partials import NONE_SHOWN
from taf.graph.runner import Runner
from taf.graph.runtime import Runtime
from taf.state.execution import ExecutionStatus
from taf.state.facts import Stopped
from taf.state.run import Run

NONE_RECORDED: frozenset[asyncio.Task[None]] = frozenset()
"""The same one for all: Python makes each empty one anew."""


class Halting:
    """The half of an engine that stops. ``is_in_nodes`` is True while users' code runs: that alone is cancelled.

    A node that will not leave is given up after the grace: the run ends without it, and what it returns is refused.
    """

    runtime: Runtime
    config: RunConfig
    loop: asyncio.AbstractEventLoop
    parent: Context | None
    runner: Runner
    task: asyncio.Task[Any] | None
    stop_reason: str | None
    superseded_by: str | None = None
    """The run for which this one was told to make room."""
    children: frozenset[Self] = frozenset()
    """The runs of subgraphs that are under way."""
    has_mail = False
    """True while messages wait that may come in at the next step."""
    is_in_nodes: bool
    _heard = 0
    _has_cancelled = False
    _detaching: asyncio.Task[None] | None = None
    _ledger: Ledger | None
    _patience: asyncio.TimerHandle | None = None
    """What ends the wait for nodes that are told to leave."""

    def __init__(self) -> None:
        # Of the instance, where they are found at once: every step looks at them. And from the beginning: Python has
        # a common layout for what the first instances have, and a dict of its own for each that gets more later.
        self.task, self._ledger = None, None
        self.stop_reason = None
        self.is_in_nodes = False
        self._recording: frozenset[asyncio.Task[None]] = NONE_RECORDED
        """Results of ``task()`` that are on their way to the record."""
        self.partials = NONE_SHOWN

    @cached_property
    def _writing(self) -> asyncio.Lock:
        """Held by whoever writes beside the loop of steps; made when the first one does."""
        return asyncio.Lock()

    @property
    def born(self) -> str:
        """What tells this thread from one of the same name that was deleted before."""
        assert self._ledger is not None
        return self._ledger.born

    @property
    def run(self) -> Run:
        """The run as it is committed, or about to be."""
        assert self._ledger is not None
        return self._ledger.catch_up()

    @property
    def is_at_rest(self) -> bool:
        """True once the thread is given back: what is left to do is to say so."""
        return self._ledger is not None and not self._ledger.is_open

    @property
    def has_thread(self) -> bool:
        """True once the run got its thread; False also for one that was refused."""
        return self._ledger is not None

    @property
    def is_stopping(self) -> bool:
        """True once the run was told to stop."""
        return self.stop_reason is not None or (self.parent is not None and self.parent.stopping)

    def unwinding(self) -> tuple[str, ...]:
        """Return the nodes whose code is still running though the run has been ended."""
        left = [context.node for context in self.runner.threads]
        if self._detaching is not None and self.is_in_nodes:
            done = {output.key for output in self.runner.left_behind.outputs}
            left += [task.node for task in self.run.frontier if task.key not in done]
        return tuple(dict.fromkeys(left))

    @contextlib.contextmanager
    def adopted(self, child: Self) -> Generator[None, None, None]:
        """Have a subgraph's run end with this one."""
        child.runner.threads = self.runner.threads
        self.children |= {child}
        try:
            yield
        finally:
            self.children -= {child}

    # -- being told --------------------------------------------------------------------------------

    def _heed(self, signals: Sequence[Signal]) -> bool:
        """Take note of signals, and say whether there is mail. They are shown again until the thread is given back."""
        for kind, run_id, body, number in signals:
            if number <= self._heard:
                continue
            self._heard = number
            if kind == "stop" and run_id == self.config.run_id:
                self.request_stop(body.decode(errors="replace") or "stopped")
            elif not run_id and kind in URGENT:
                self.make_room(body.decode("utf-8", "surrogatepass"))
            elif not run_id:
                self.has_mail = True
        return self.has_mail

    def make_room(self, run_id: str) -> None:
        """Stop, from its own loop, for another run."""
        if self.stop_reason is None:
            self.superseded_by = run_id
            self.request_stop(f"superseded by run {run_id}")

    def request_stop(self, reason: str) -> None:
        """Stop the run, from its own loop. Nodes are cancelled; a commit under way is not."""
        if self.stop_reason is not None:
            return
        self.stop_reason = reason
        if self.is_in_nodes and self.task is not None:
            self._has_cancelled = True
            self.task.cancel()
        self.loop.call_soon(self._be_patient)  # most have left by then

    def _be_patient(self) -> None:
        if not self.is_at_rest:
            self._patience = self.loop.call_later(self.runtime.options.stop_grace, self._lose_patience)

    def _lose_patience(self) -> None:
        if self.is_at_rest or self.task is None or self.task.done():
            return
        if self.is_in_nodes and self._ledger is not None:
            self.detach(self.stop_reason or "stopped")
        else:
            self._be_patient()

    def detach(self, reason: str) -> asyncio.Task[None]:
        """Give up waiting for the nodes; return the task that ends the run without them."""
        if self._detaching is None:
            assert self._ledger is not None
            self.stop_reason = self.stop_reason or reason
            self._detaching = self.loop.create_task(self._detach(self._ledger))
        return self._detaching

    async def _detach(self, ledger: Ledger) -> None:
        error: Exception | None = None
        try:
            for child in [child for child in self.children if child.is_in_nodes]:
                await child.detach(self.stop_reason or "stopped")
            await self._write_stop(ledger)
            error = self._untaken(ledger)
        except Exception as failed:
            error = failed
        finally:
            ledger.abandon()
            self._detached(error)

    def _untaken(self, ledger: Ledger) -> Exception | None:
        """Return what to tell the one whose answer was stopped before it was taken, when nothing shows it."""
        raise NotImplementedError

    def _detached(self, error: Exception | None) -> None:
        """The run is over though its task is not. ``error`` says why that could not be written."""

    def give_up(self) -> None:
        """Let go of the thread of a run whose loop was closed under it."""
        if self._ledger is not None:
            self._ledger.abandon()

    # -- ending ------------------------------------------------------------------------------------

    async def _stop(self, ledger: Ledger) -> Run:
        """End a run that was told to stop: what is finished and what was shown is kept."""
        await self._shake_off_cancel()
        if self._detaching is not None:
            await asyncio.wait([self._detaching])
        else:
            await self._write_stop(ledger)
        return self.run

    async def _stop_after(self, left: BaseException, ledger: Ledger) -> None:
        """Record a stop that came as a cancellation: our own, the loop's end, or from the parent of a subgraph."""
        why = "cancelled" if isinstance(left, asyncio.CancelledError) else type(left).__name__
        self.stop_reason = self.stop_reason or why
        if self._detaching is None and ledger.is_open:
            ledger.unstage()
        if self._detaching is None and not (ledger.is_open and self.run.status is ExecutionStatus.RUNNING):
            return
        if self._has_cancelled and isinstance(left, asyncio.CancelledError):
            self._take_back_cancels()  # this is it: there is nothing to shake off
        try:
            await self._stop(ledger)
        except (TafError, asyncio.CancelledError):
            if self._has_cancelled:  # otherwise what ends the run from outside is the news
                raise

    async def _write_stop(self, ledger: Ledger) -> None:
        if self._recording:  # results of task(): none comes after a stop
            await asyncio.wait(self._recording)
        run = self.run
        if run.status is ExecutionStatus.RUNNING:
            node = run.frontier[0].node if run.frontier else run.node
            left, shown = tuple(self.runner.left_behind.outputs), self.partials.kept()
            reason, unwinding = self.stop_reason or "stopped", self.unwinding()
            stopped = Stopped(self.config.run_id, reason, node, left, shown, unwinding, self.superseded_by)
            try:
                ledger.stage(stopped)
            except TafError:  # what a node returned cannot be stored: it will run again
                ledger.stage(stopped._replace(finished=()))
        await self._save(ledger, release=True)

    async def _shake_off_cancel(self) -> None:
        """Let a cancellation of our own that has not been delivered yet hit here, where nothing is under way."""
        task = self.task
        if self._has_cancelled and task is not None and task is asyncio.current_task() and task.cancelling():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            self._take_back_cancels()

    def _take_back_cancels(self) -> None:
        task = self.task
        if task is not None and task is asyncio.current_task() and task.cancelling():
            while task.uncancel():
                pass

    async def _save(self, ledger: Ledger, *, release: bool = False) -> None:
        raise NotImplementedError

    async def _follow_up(self, ledger: Ledger, signals: Sequence[Signal]) -> bool:
        """Heed and tell what came of a commit, and say whether the signals told of mail."""
        raise NotImplementedError
