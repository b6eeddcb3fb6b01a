"""Stopping a thread, wherever its run is: here, in another loop or thread, in another process, or nowhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TypedDict

from taf.checkpointer.base import Signal
from taf.checkpointer.journal import Ledger
from taf.errors import ThreadBusyError
from taf.graph.active import PATIENCE_SECONDS, ActiveRun
from taf.graph.runtime import Runtime
from taf.graph.telling import events_of
from taf.graph.waiting import moves
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


async def stop(runtime: Runtime, active: ActiveRun | None, thread_id: str, reason: str) -> StopStatus:
    """Stop what runs on a thread, or cancel its pause."""
    if active is not None and active.is_lost:
        active.give_up()
    elif active is not None and not active.engine.is_at_rest:
        run_id = active.config.run_id
        active.request_stop(reason)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.wrap_future(active.landed())
        except TimeoutError:
            return _late(thread_id, run_id)
        if active.engine.has_thread:  # otherwise another run has it, and this one was refused
            last = active.engine.run.run_id  # that of the thread, should it have been stopped before it wrote
            return await _landed(runtime, thread_id, last, reason, active.engine.unwinding())
    return await _stop_stored(runtime, thread_id, reason)


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
    facts, _ = await ledger.save(release=True)
    if facts and not runtime.bus.is_silent:
        runtime.bus.publish(events_of(run.thread_id, facts))
        await runtime.bus.settle()
    return _answer(ledger.run, was_running=told is not None)


async def _stop_stored(runtime: Runtime, thread_id: str, reason: str) -> StopStatus:
    """Stop a thread of which this app knows what the store knows. A run under way is signalled, and waited for.

    An owner that has not written yet is waited for too: only with its first record it can be told apart from the last.
    """
    journal, told = runtime.journal, None
    store, key = journal.store, journal.key(thread_id)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS), contextlib.aclosing(moves(store, key)) as looks:
            async for _ in looks:
                stored = await store.load(key)
                if stored is not None and stored.is_owned:
                    if told is not None and stored.run_id != told:
                        break
                    if told is None and stored.status == ExecutionStatus.RUNNING:
                        told = stored.run_id
                        await store.signal(key, Signal("stop", told, reason.encode(errors="replace")))
                    continue
                with contextlib.suppress(ThreadBusyError):
                    ledger = await journal.acquire(thread_id, lease_seconds=runtime.options.lease_seconds, create=False)
                    if ledger is None:
                        return _unknown(thread_id)
                    answer = await _stop_at_rest(runtime, ledger, reason, told=told)
                    return await _with_unwinding(runtime, answer) if told is not None else answer
    found = await journal.read(thread_id)
    if found is None or found[1].run_id == told or told is None:
        return _late(thread_id, told)
    return _answer(found[0], was_running=True)


async def _with_unwinding(runtime: Runtime, answer: StopStatus) -> StopStatus:
    """Complete the answer for a run elsewhere by what it wrote of nodes that had not left."""
    found = await runtime.journal.read(answer["thread_id"])
    if found is None or found[0].status is not ExecutionStatus.STOPPED:
        return answer
    run = found[0]
    facts = await runtime.journal.facts(run.thread_id, run.sequence - 1)
    left = [name for told in facts if isinstance(told.fact, Stopped) for name in told.fact.unwinding]
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
    }


