"""Stopping a thread, wherever its run is: here, in another loop or thread, in another process, or nowhere."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypedDict

from taf.checkpointer.base import Signal
from taf.checkpointer.journal import Ledger
from taf.errors import ThreadBusyError
from taf.graph.active import ActiveRun
from taf.graph.runtime import Runtime
from taf.graph.telling import events_of
from taf.graph.waiting import until_free
from taf.state.execution import ExecutionStatus
from taf.state.facts import Stopped
from taf.state.run import Run


class StopStatus(TypedDict):
    """The answer to a stop.

    ``ok``: no run is active on the thread any more. ``status``: what the thread is now. ``was_running``: a run was
    active when the stop came. ``unwinding``: nodes whose code is still running, though all that it returns is refused.
    """

    ok: bool
    thread_id: str
    run_id: str | None
    status: str
    was_running: bool
    node: str | None
    reason: str
    unwinding: list[str]


PATIENCE_SECONDS = 10.0
"""How long a stop waits for a run in another process."""


async def stop(runtime: Runtime, active: ActiveRun | None, thread_id: str, reason: str) -> StopStatus:
    """Stop what runs on a thread, or cancel its pause."""
    if active is not None and not active.engine.is_at_rest:
        active.request_stop(reason)
        await asyncio.wrap_future(active.landed())
        return await _landed(runtime, thread_id, active.config.run_id, reason, active.engine.unwinding())
    try:
        ledger = await runtime.journal.acquire(thread_id, lease_seconds=runtime.options.lease_seconds, create=False)
    except ThreadBusyError as busy:
        return await _stop_elsewhere(runtime, thread_id, busy.run_id or "", reason)
    if ledger is None:
        return _unknown(thread_id)
    return await _stop_at_rest(runtime, ledger, reason)


async def _landed(
    runtime: Runtime, thread_id: str, run_id: str, reason: str, unwinding: tuple[str, ...] = ()
) -> StopStatus:
    """Say how the run that was told to stop ended. If it paused before it heard of the stop, cancel its pause."""
    found = await runtime.journal.read(thread_id)
    if found is None:
        return _unknown(thread_id)
    run = found[0]
    if run.status.is_interrupted and run.run_id == run_id:
        seconds = runtime.options.lease_seconds
        with contextlib.suppress(ThreadBusyError):  # it was answered meanwhile: what runs now is another run
            ledger = await runtime.journal.acquire(thread_id, lease_seconds=seconds, create=False)
            if ledger is not None:
                return {**await _stop_at_rest(runtime, ledger, reason, run_id=run_id), "was_running": True}
    return _answer(run, was_running=True, unwinding=unwinding)


async def _stop_at_rest(
    runtime: Runtime, ledger: Ledger, reason: str, *, run_id: str | None = None
) -> StopStatus:
    """Cancel a pause, or close the run of an owner that died. Anything else, or another run, is left as it is."""
    run = ledger.run
    is_meant = run_id in (None, run.run_id)
    if is_meant and (run.status is ExecutionStatus.RUNNING or run.status.is_interrupted):
        ledger.stage(Stopped(run.run_id, reason, run.node))
    told, _ = await ledger.save(release=True)
    if told and not runtime.bus.is_silent:
        runtime.bus.publish(events_of(run.thread_id, told))
        await runtime.bus.settle()
    return _answer(ledger.run, was_running=False)


async def _stop_elsewhere(runtime: Runtime, thread_id: str, run_id: str, reason: str) -> StopStatus:
    """Signal the run's owner, and wait until the run is over."""
    store, key = runtime.journal.store, runtime.journal.key(thread_id)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await store.signal(key, Signal("stop", run_id, reason.encode()))
            await until_free(store, key, run_id)
    except TimeoutError:
        late = f"the run's owner did not answer within {PATIENCE_SECONDS:g} s; the stop stays on record for it"
        return _status(thread_id, run_id, ExecutionStatus.RUNNING, late, ok=False, was_running=True)
    return await _landed(runtime, thread_id, run_id, reason)


def _answer(run: Run, *, was_running: bool, unwinding: tuple[str, ...] = ()) -> StopStatus:
    sentences = {
        ExecutionStatus.STOPPED: run.details.reason or "stopped",
        ExecutionStatus.COMPLETED: "the run was complete",
        ExecutionStatus.ERROR: "the run had ended in an error",
        ExecutionStatus.IDLE: "nothing has run yet",
    }
    reason = sentences.get(run.status, run.status.value)
    if unwinding:
        reason += f"; {', '.join(unwinding)} is still running, what it returns is refused"
    ok = run.status is not ExecutionStatus.RUNNING
    answer = _status(run.thread_id, run.run_id, run.status, reason, ok=ok, was_running=was_running)
    return {**answer, "node": run.node if not run.frontier else run.frontier[0].node, "unwinding": list(unwinding)}


def _unknown(thread_id: str) -> StopStatus:
    return _status(thread_id, None, ExecutionStatus.IDLE, "unknown-thread", ok=False, was_running=False)


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
    }


