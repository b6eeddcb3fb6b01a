"""The runs of one app: all that are under way, and which of them has which thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from taf.graph.active import PATIENCE_SECONDS, ActiveRun


class Flights:
    """What an app knows of its runs, from any loop or thread."""

    def __init__(self) -> None:
        self._having: dict[str, ActiveRun] = {}
        self._all: set[ActiveRun] = set()

    def add(self, active: ActiveRun) -> None:
        """Take note of a run whose message waits for its turn."""
        self._all.add(active)

    def begin(self, active: ActiveRun) -> None:
        """Make a run the one that is stopped and waited for on its thread."""
        self._all.add(active)
        known = self._having.setdefault(active.config.thread_id, active)
        if known is not active:  # the thread is busy and this run is about to say so, unless that one is through
            if known.is_lost:
                known.give_up()
            if active.turn is not None or known.engine.is_at_rest:
                self._having[active.config.thread_id] = active

    def land(self, active: ActiveRun) -> None:
        """Forget a run that is over."""
        self._all.discard(active)
        if self._having.get(active.config.thread_id) is active:
            del self._having[active.config.thread_id]

    def on(self, thread_id: str) -> Sequence[ActiveRun]:
        """Return the runs of a thread, those whose messages wait among them."""
        return [one for one in tuple(self._all) if one.config.thread_id == thread_id]

    def stop(self, thread_id: str, reason: str) -> ActiveRun | None:
        """Tell the run of a thread to stop, at once and from any OS thread. Return it if it was under way here.

        If none has the thread, those that are taking it just now will be stopped before they run anything; a message
        that has to wait all the same waits on.
        """
        run = self._having.get(thread_id)
        if run is not None and run.is_lost:
            run.give_up()
        elif run is not None and not run.engine.is_at_rest:
            run.request_stop(reason)
            return run
        taking = [one for one in self.on(thread_id) if one.is_taking]
        for one in taking:
            one.forestall(reason)
        return taking[0] if taking else None

    def give_up_lost(self) -> None:
        """Free the threads of runs whose event loops were closed: they will never go on."""
        for lost in [active for active in tuple(self._all) if active.is_lost]:
            lost.give_up()

    async def end(self, reason: str) -> None:
        """Stop all runs, wherever they are, and wait until they are over."""
        runs = tuple(self._all)
        for active in runs:
            active.request_stop(reason)
        for active in runs:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    if not active.is_lost:
                        await active.landing()
            except TimeoutError:  # its loop is stuck, or nobody runs it any more
                active.give_up()
            if active.is_lost:
                active.give_up()
