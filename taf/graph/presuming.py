"""A call that is read before its thread is known, on how that presumably is: its run begins with the claim."""

from __future__ import annotations

from collections.abc import Sequence

from taf.checkpointer.ledger import Ledger
from taf.graph.command import START
from taf.graph.config import RunConfig
from taf.graph.deciding import approve_breakpoints
from taf.graph.handover import Handover
from taf.graph.intake import Answer, Intake, Invoke, is_empty
from taf.graph.runtime import Runtime
from taf.graph.upgrade import beginning
from taf.state.execution import ExecutionStatus
from taf.state.facts import Fact, Resumed, Task
from taf.state.interrupts import InterruptRecord
from taf.state.schema import Values

_AT_AN_END = (ExecutionStatus.IDLE, ExecutionStatus.COMPLETED)


async def begun(
    runtime: Runtime, config: RunConfig, call: Invoke | Answer, *, is_told: bool, create: bool = True
) -> Ledger | None:
    """Become the owner of a thread, and begin or go on with a run in the same go; see ``Journal.begin``.

    None, with nothing done, where the store cannot, or where there is more to it than to lead straight to the first
    nodes, or on behind a pause: none of the user's routers and decisions is asked on a presumption. Raise
    ``ThreadBusyError``.
    """
    spec, journal, options = runtime.spec, runtime.journal, runtime.options
    first, given = spec.straight.get(START), call.input if type(call) is Invoke else None

    async def enter(values: Values) -> tuple[Task, ...]:
        return first or ()

    async def facts(ledger: Ledger) -> Sequence[Fact]:
        run, handover = ledger.run, Handover(journal, options.keep_superseded)
        intake = Intake(spec, enter, while_paused=options.while_paused, clock=options.clock, handover=handover)
        if not run.status.is_interrupted:
            return (await intake.start(run, given, config.run_id),)
        found = await intake.facts(run, call, config.run_id, _unknown)
        goes_on = bool(found) and type(found[-1]) is Resumed
        return await beginning(journal, spec, ledger, None, found) if goes_on else ()

    async def stage(ledger: Ledger) -> bool:
        run = ledger.run
        may_go_on = run.status.is_interrupted and (type(call) is Answer or options.decide is approve_breakpoints)
        may_begin = run.status in _AT_AN_END and first is not None and not is_empty(given)
        if not (may_go_on or may_begin) or (run.sequence and run.edition != spec.edition):
            return False
        ledger.is_told = is_told
        try:
            for fact in await facts(ledger):
                ledger.stage(fact)
        except Exception:  # it is said again, once it is known how the thread really is
            return False
        return True

    return await journal.begin(config.thread_id, stage, lease_seconds=options.lease_seconds, create=create)


async def _unknown() -> Sequence[InterruptRecord]:
    raise LookupError("The interrupts that were answered before are in the store.")
