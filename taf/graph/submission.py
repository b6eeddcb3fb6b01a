"""A message that is handed in: what became of it, as soon as that is on record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from taf.events import Event
from taf.graph.active import ActiveRun
from taf.graph.result import Receipt
from taf.state.run import Run


class Submission:
    """Waits for the receipt of one message: that of the run that began with it, or of its place in the queue."""

    def __init__(self) -> None:
        self._receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

    def begun(self, events: Sequence[Event], run: Run) -> None:
        """Take note that the run is on record."""
        self.received(Receipt(run.thread_id, run.run_id))

    def received(self, receipt: Receipt) -> None:
        """Take note of what became of the message."""
        if not self._receipt.done():
            self._receipt.set_result(receipt)

    async def of(self, active: ActiveRun) -> Receipt:
        """Return the receipt. Raise what kept the run from beginning."""
        either: list[asyncio.Future[Any]] = [self._receipt, active.outcome]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            active.request_stop("the caller was cancelled", withdraws=True)
            raise
        if not self._receipt.done():
            active.outcome.result()
            return Receipt(active.config.thread_id, active.config.run_id)
        return self._receipt.result()
