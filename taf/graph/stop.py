"""Stopping a thread, wherever its run is: here, in another loop or thread, in another process, or nowhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TypedDict

from taf.checkpointer.base import Signal
from taf.checkpointer.ledger import Ledger
from taf.errors import ThreadBusyError
from taf.graph.active import PATIENCE_SECONDS, ActiveRun
from taf.graph.runtime import Runtime
from taf.graph.telling import events_of
from taf.graph.waiting import moves
from taf.state.execution import ExecutionStatus
from taf.state.facts import Stopped
from taf.state.run import Run

TAKING_SECONDS = 0.002
"""How often to look whether a message that asks for a thread has got it. Most stops find none."""


class StopStatus(TypedDict):
    """The answer to a stop.

    ``ok``: no run is active on the thread any more. ``status``: what the thread is now. ``was_running``: a run was
    active when the stop came. ``unwinding``: nodes whose code is still running, though all that it returns is refused.
    ``queued``: so many messages wait for their turn; they wait on until somebody calls the thread again.
    """

    ok: bool
    thread_id: str
    run_id: str | None
    status: str
    was_running: bool
    node: str | None
    reason: str
    unwinding: list[str]
    queued: int


async def stop(runtime: Runtime, told: ActiveRun | None, thread_id: str, reason: str) -> StopStatus:
    """Stop what runs on a thread, or cancel its pause. ``told`` is the run here that was told to stop, if one is."""
    status = await _stop(runtime, told, thread_id, reason)
    journal = runtime.journal
    status["queued"] = len((await journal.store.mail(journal.key(thread_id))).messages)
    return status


async def _stop(runtime: Runtime, told: ActiveRun | None, thread_id: str, reason: str) -> StopStatus:
    if told is not None and not (told.is_taking and await _waits(told)):
        if not await told.has_landed_within(PATIENCE_SECONDS):
            return _late(thread_id, told.config.run_id)
        if told.engine.has_thread:  # otherwise another run has it, and this one was refused
            run, unwinding = told.ended, told.engine.unwinding()
            if run is not None and run.status in _OVER:
                return _answer(run, was_running=True, unwinding=unwinding)
            last = told.engine.run.run_id  # that of the thread, should it have been stopped before it wrote
            return await _landed(runtime, thread_id, last, reason, unwinding)
    return await _Elsewhere(runtime, thread_id, reason).answer()


_OVER = (ExecutionStatus.STOPPED, ExecutionStatus.COMPLETED)
"""How a run is on record that needs no more to be stopped."""


async def _waits(told: ActiveRun) -> bool:
    """Wait until it is known whether a message has the thread; say whether it has to wait for others."""
    for _ in range(int(PATIENCE_SECONDS / TAKING_SECONDS)):
        if not told.is_taking:
            break
        await asyncio.sleep(TAKING_SECONDS)
    return told.is_waiting


async def _landed(
    runtime: Runtime, thread_id: str, run_id: str, reason: str, unwinding: Sequence[str] = ()
) -> StopStatus:
    """Say how the run that was told to stop ended.

    If it paused before it heard of the stop, cancel its pause. If it failed to write that it was stopped, do so for it.
    """
    found = await runtime.journal.read(thread_id)
    if found is None:
        return _status(thread_id, run_id, ExecutionStatus.IDLE, "stopped before it began", ok=True, was_running=True)
    run = found[0]
    if (run.status.is_interrupted or run.status is ExecutionStatus.RUNNING) and run.run_id == run_id:
        seconds = runtime.options.lease_seconds
        try:
            ledger = await runtime.journal.acquire(thread_id, lease_seconds=seconds, create=False)
        except ThreadBusyError:  # it was answered meanwhile: what runs now is another run, and is not meant
            run = (await runtime.journal.read(thread_id) or found)[0]
        else:
            if ledger is not None:
                return await _stop_at_rest(runtime, ledger, reason, told=run_id)
    return _answer(run, was_running=True, unwinding=unwinding)


async def _stop_at_rest(runtime: Runtime, ledger: Ledger, reason: str, *, told: str | None = None) -> StopStatus:
    """Cancel a pause, or close the run of an owner that died. Anything else is left as it is.

    ``told`` is the run that was told to stop, if one was: the thread of another run is left as it is too.
    """
    run = ledger.run
    if told in (None, run.run_id) and (run.status is ExecutionStatus.RUNNING or run.status.is_interrupted):
        ledger.stage(Stopped(run.run_id, reason, run.node))
    await ledger.save(release=True)
    if ledger.told and not runtime.bus.is_silent:
        runtime.bus.publish(events_of(run.thread_id, ledger.told))
        await runtime.bus.settle()
    return _answer(ledger.run, was_running=told is not None)


class _Elsewhere:
    """A stop of a thread of which this app knows what the store knows.

    A run under way is signalled, and waited for. An owner that has not written yet is waited for too: only by its
    first record can it be told from the last one.
    """

    def __init__(self, runtime: Runtime, thread_id: str, reason: str) -> None:
        self._runtime, self._thread_id, self._reason = runtime, thread_id, reason
        self._told: str | None = None

    async def answer(self) -> StopStatus:
        journal = self._runtime.journal
        looks = moves(journal.store, journal.key(self._thread_id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS), contextlib.aclosing(looks):
                async for _ in looks:
                    found = await self._look()
                    if found is not None:
                        return found
        return _late(self._thread_id, self._told)

    async def _look(self) -> StopStatus | None:
        found = await self._runtime.journal.read(self._thread_id)
        if found is None:
            return await self._end()
        run, stored = found
        if self._told not in (None, run.run_id):  # the run that was told is over, and another one has begun
            return _answer(run, was_running=True)
        if stored.is_owned:
            await self._tell(run)
            return None
        if run.status is ExecutionStatus.RUNNING or run.status.is_interrupted:
            return await self._end()
        return await self._at_rest(run)

    async def _tell(self, run: Run) -> None:
        if self._told is None and run.status is ExecutionStatus.RUNNING:
            journal, self._told = self._runtime.journal, run.run_id
            signal = Signal("stop", run.run_id, self._reason.encode(errors="replace"))
            await journal.store.signal(journal.key(self._thread_id), signal)

    async def _end(self) -> StopStatus | None:
        seconds = self._runtime.options.lease_seconds
        try:
            ledger = await self._runtime.journal.acquire(self._thread_id, lease_seconds=seconds, create=False)
        except ThreadBusyError:
            return None
        if ledger is None:
            return _unknown(self._thread_id)
        return await _stop_at_rest(self._runtime, ledger, self._reason, told=self._told)

    async def _at_rest(self, run: Run) -> StopStatus:
        """Answer for a thread on which nothing runs or waits; it is left to others, who may want it just now."""
        if self._told is None or run.status is not ExecutionStatus.STOPPED:
            return _answer(run, was_running=self._told is not None)
        last = await self._runtime.journal.facts(run.thread_id, run.sequence - 1)
        left = [name for told in last if isinstance(told.fact, Stopped) for name in told.fact.unwinding]
        return _answer(run, was_running=True, unwinding=left)


def _answer(run: Run, *, was_running: bool, unwinding: Sequence[str] = ()) -> StopStatus:
    sentences = {
        ExecutionStatus.STOPPED: run.details.reason or "stopped",
        ExecutionStatus.COMPLETED: "the run was complete",
        ExecutionStatus.ERROR: "the run had ended in an error",
        ExecutionStatus.IDLE: "nothing has run yet",
        ExecutionStatus.RUNNING: "another run has begun since",
    }
    reason = sentences.get(run.status, run.status.value)
    if unwinding:
        reason += f"; {', '.join(unwinding)} is still running, what it returns is refused"
    ok = run.status is not ExecutionStatus.RUNNING
    answer = _status(run.thread_id, run.run_id, run.status, reason, ok=ok, was_running=was_running)
    return {**answer, "node": run.node if not run.frontier else run.frontier[0].node, "unwinding": list(unwinding)}


def _unknown(thread_id: str) -> StopStatus:
    return _status(thread_id, None, ExecutionStatus.IDLE, "unknown-thread", ok=False, was_running=False)


def _late(thread_id: str, run_id: str | None) -> StopStatus:
    why = f"the run did not answer within {PATIENCE_SECONDS:g} s; it is told to stop, and will when it goes on"
    return _status(thread_id, run_id, ExecutionStatus.RUNNING, why, ok=False, was_running=True)


def _status(
    thread_id: str, run_id: str | None, status: ExecutionStatus, reason: str, *, ok: bool, was_running: bool
) -> StopStatus:
    return {
        "ok": ok,
        "thread_id": thread_id,
        "run_id": run_id,
        "status": status,
        "was_running": was_running,
        "node": None,
        "reason": reason,
        "unwinding": [],
        "queued": 0,
    }
