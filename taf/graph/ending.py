"""How a run ended, wherever it was: also when others came after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

from taf.checkpointer.base import Stored
from taf.checkpointer.journal import Journal
from taf.checkpointer.past import past
from taf.errors import UnknownThreadError
from taf.events import Event
from taf.graph.telling import events_of
from taf.graph.waiting import moves
from taf.state.execution import ExecutionStatus
from taf.state.facts import HandedOver, RolledBack, Steered
from taf.state.run import Run

Tell: TypeAlias = Callable[[Sequence[Event], Run], None]


async def followed(journal: Journal, thread_id: str, run_id: str, after: int, tell: Tell) -> Run:
    """Tell a run's events above a sequence until it is over; return the thread as it was then."""
    async with aclosing(moves(journal.store, journal.key(thread_id))) as looks:
        async for _ in looks:
            found = await _seen(journal, thread_id)
            if found is None:
                raise UnknownThreadError(thread_id)
            run, stored = found
            while page := await journal.facts(thread_id, after):
                events = [event for event in events_of(thread_id, page) if event.run_id == run_id]
                if events:
                    tell(events, run)
                after = page[-1].record.sequence
            if not (run.run_id == run_id and stored.is_owned and run.status is ExecutionStatus.RUNNING):
                break
    return await ended(journal, thread_id, run_id)


async def ended(journal: Journal, thread_id: str, run_id: str) -> Run:
    """Wait until a run is over, or what it waits for; return the thread as it was then.

    For a run whose owner died, or that never came to its first record, that is how the thread stands now. Raise
    ``UnknownThreadError``.
    """
    key, sought = journal.key(thread_id), run_id
    async with aclosing(moves(journal.store, key)) as looks:
        async for _ in looks:
            waits = any(one.run_id == sought for one in (await journal.store.mail(key)).messages)
            found = await _seen(journal, thread_id)
            if found is None and not waits:
                raise UnknownThreadError(thread_id)
            if waits or found is None:
                continue
            run, stored = found
            if run.run_id != sought:
                sought = await run_that_took(journal, thread_id, run_id, 0) or ""
                if not sought:
                    return run
                if run.run_id != sought:
                    return await _last_of(journal, thread_id, sought)
            if not (stored.is_owned and run.status is ExecutionStatus.RUNNING):
                return run
    raise AssertionError("looking at a thread has no end")


async def _seen(journal: Journal, thread_id: str) -> tuple[Run, Stored] | None:
    """Read a thread. Its owner may have come or let go while it was looked at: only a second look finds one dead."""
    before = None
    while (found := await journal.read(thread_id)) is not None:
        run, stored = found
        if stored.is_owned or run.status is not ExecutionStatus.RUNNING or stored.head == before:
            break
        before = stored.head
    return found


async def _last_of(journal: Journal, thread_id: str, run_id: str) -> Run:
    """Return the thread as it was at the end of a run after which others came."""
    last = Run(thread_id)
    async with aclosing(past(journal, thread_id)) as moments:
        async for moment in moments:
            if moment.record.run_id == run_id and not isinstance(moment.fact, HandedOver | RolledBack):
                last = moment.run
    return last


async def run_that_took(journal: Journal, thread_id: str, run_id: str, after: int) -> str | None:
    """Return the id of the run that began with a message or took it in, or None when it was withdrawn."""
    while page := await journal.facts(thread_id, after):
        for record, fact in page:
            if record.run_id == run_id:
                return run_id
            if isinstance(fact, Steered) and run_id in fact.messages:
                return record.run_id
        after = page[-1].record.sequence
        await asyncio.sleep(0)
    return None
