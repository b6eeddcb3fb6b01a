"""A call that is read before its thread is known, on how that presumably is: its run begins with the claim."""

from __future__ import annotations

from collections.abc import Sequence

from taf.checkpointer.ledger import Ledger
from taf.graph.command import START
from taf.graph.config import RunConfig
from taf.graph.deciding import approve_breakpoints
from taf.graph.intake import Answer, Invoke, is_empty
from taf.graph.runtime import Runtime
from taf.graph.upgrade import beginning
from taf.state.draft import Draft
from taf.state.execution import ExecutionStatus
from taf.state.facts import Resumed, Task
from taf.state.interrupts import InterruptRecord
from taf.state.run import Run
from taf.state.schema import Values

_AT_AN_END = (ExecutionStatus.IDLE, ExecutionStatus.COMPLETED)


class _Presumed:
    """Whoever calls, as long as the thread is only presumed: nobody is asked for what only the store or users know."""

    def __init__(self, run_id: str, first: tuple[Task, ...] | None) -> None:
        self.run_id, self._first = run_id, first

    async def entered(self, run: Run, values: Values) -> tuple[Task, ...]:
        if self._first is None:
            raise LookupError("Where the thread goes is for routers to say.")
        return self._first

    async def closed(self) -> Sequence[InterruptRecord]:
        raise LookupError("The interrupts that were answered before are in the store.")


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

    async def drafted(ledger: Ledger) -> Draft | None:
        draft, caller = Draft(spec.schema, ledger.run), _Presumed(config.run_id, first)
        if not ledger.run.status.is_interrupted:
            await runtime.intake.start(given, draft, caller)
            return draft
        await runtime.intake.read(call, draft, caller)
        goes_on = bool(draft.moves) and type(draft.moves[-1][0]) is Resumed
        return await beginning(journal, spec, ledger, draft) if goes_on else None

    async def stage(ledger: Ledger) -> bool:
        run = ledger.run
        may_go_on = run.status.is_interrupted and (type(call) is Answer or options.decide is approve_breakpoints)
        may_begin = run.status in _AT_AN_END and first is not None and not is_empty(given)
        if not (may_go_on or may_begin) or (run.sequence and run.edition != spec.edition):
            return False
        ledger.is_told = is_told
        try:
            draft = await drafted(ledger)
            if draft is not None:
                ledger.stage_all(draft)
        except Exception:  # it is said again, once it is known how the thread really is
            return False
        return True

    return await journal.begin(config.thread_id, stage, lease_seconds=options.lease_seconds, create=create)
