"""A call that is read before its thread is known, on how that presumably is: its run begins with the claim."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

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


def begun(
    runtime: Runtime, config: RunConfig, call: Invoke | Answer, *, is_told: bool, create: bool = True
) -> Awaitable[Ledger | None]:
    """Become the owner of a thread, and begin or go on with a run in the same go; see ``Journal.begin``.

    None, with nothing done, where the store cannot, or where there is more to it than to lead straight to the first
    nodes, or on behind a pause: none of the user's routers and decisions is asked on a presumption. Raise
    ``ThreadBusyError``.
    """
    stage = _Presumption(runtime, config.run_id, call, is_told).stage
    seconds = runtime.options.lease_seconds
    return runtime.journal.begin(config.thread_id, stage, lease_seconds=seconds, create=create)


class _Presumption:
    """A call, as long as its thread is only presumed: nobody is asked for what only the store or users know."""

    __slots__ = ("_call", "_is_told", "_runtime", "run_id")

    def __init__(self, runtime: Runtime, run_id: str, call: Invoke | Answer, is_told: bool) -> None:
        self._runtime, self.run_id, self._call, self._is_told = runtime, run_id, call, is_told

    async def stage(self, ledger: Ledger) -> bool:
        """Put what the call means for a thread into its ledger. Return False where that cannot be said yet."""
        run, spec, call = ledger.run, self._runtime.spec, self._call
        given = call.input if type(call) is Invoke else None
        decides = self._runtime.options.decide is not approve_breakpoints
        may_go_on = run.status.is_interrupted and (type(call) is Answer or not decides)
        may_begin = run.status in _AT_AN_END and START in spec.straight and not is_empty(given)
        if not (may_go_on or may_begin) or (run.sequence and run.edition != spec.edition):
            return False
        ledger.is_told = self._is_told
        try:
            draft = await self._drafted(ledger, given)
            if draft is not None:
                ledger.stage_all(draft)
        except Exception:  # it is said again, once it is known how the thread really is
            return False
        return True

    async def _drafted(self, ledger: Ledger, given: Any) -> Draft | None:
        runtime, spec = self._runtime, self._runtime.spec
        draft = Draft(spec.schema, ledger.run)
        if not ledger.run.status.is_interrupted:
            await runtime.intake.start(given, draft, self)
            return draft
        await runtime.intake.read(self._call, draft, self)
        goes_on = bool(draft.moves) and type(draft.moves[-1][0]) is Resumed
        return await beginning(runtime.journal, spec, ledger, draft) if goes_on else None

    async def entered(self, run: Run, values: Values) -> tuple[Task, ...]:
        """See ``Caller``. Where it is for routers to say, this raises."""
        return self._runtime.spec.straight[START]

    async def closed(self) -> Sequence[InterruptRecord]:
        """See ``Caller``."""
        raise LookupError("The interrupts that were answered before are in the store.")
