"""New input that is read before its thread is known, on how that presumably is: its run begins with the claim."""

from __future__ import annotations

from typing import Any

from taf.checkpointer.ledger import Ledger
from taf.graph.command import START
from taf.graph.config import RunConfig
from taf.graph.handover import Handover
from taf.graph.intake import Intake, is_empty
from taf.graph.runtime import Runtime
from taf.state.facts import Task
from taf.state.schema import Values


async def begun(runtime: Runtime, config: RunConfig, given: Any, *, is_told: bool) -> Ledger | None:
    """Become the owner of a thread, and begin a run with new input in the same go; see ``Journal.begin``.

    None, with nothing done, where the store cannot, or where there is more to it than to lead straight to the first
    nodes: none of the user's routers is asked on a presumption. Raise ``ThreadBusyError``.
    """
    spec, journal, options = runtime.spec, runtime.journal, runtime.options
    first = spec.straight.get(START)
    if first is None or is_empty(given):
        return None

    async def enter(values: Values) -> tuple[Task, ...]:
        return first

    async def stage(ledger: Ledger) -> bool:
        run = ledger.run
        if run.sequence and run.edition != spec.edition:
            return False
        ledger.is_told = is_told
        intake = Intake(spec, enter, clock=options.clock, handover=Handover(journal, options.keep_superseded))
        try:
            ledger.stage(await intake.start(run, given, config.run_id))
        except Exception:  # it is said again, once it is known how the thread really is
            return False
        return True

    return await journal.begin(config.thread_id, stage, lease_seconds=options.lease_seconds)
