"""A thread's past: its checkpoints and its events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import UTC, datetime

from taf.checkpointer.ledger import Told
from taf.checkpointer.past import Moment, past
from taf.errors import StoreCorruptError, TafError, UnknownCheckpointError
from taf.events import Event
from taf.graph.config import RunConfig
from taf.graph.result import StateSnapshot, snapshot_of
from taf.graph.runtime import Runtime
from taf.graph.telling import events_of
from taf.graph.waiting import moves
from taf.state.run import Run


async def _told(runtime: Runtime, thread_id: str, after: int = 0) -> AsyncGenerator[Told, None]:
    while True:
        page = await runtime.journal.facts(thread_id, after)
        for told in page:
            yield told
        if not page:
            return
        after = page[-1].record.sequence


@contextlib.contextmanager
def _readable(thread_id: str, told: Told) -> Generator[None, None, None]:
    """Say that a record is broken, whatever comes of reading it: a store may hold anything."""
    try:
        yield
    except TafError:
        raise
    except Exception as error:
        raise StoreCorruptError(thread_id, told.record.sequence, error) from error


async def checkpoints(runtime: Runtime, thread_id: str) -> AsyncGenerator[Moment, None]:
    """Yield the moments after each fact that left the thread somewhere, oldest first."""
    async for moment in past(runtime.journal, thread_id):
        if moment.is_checkpoint:
            yield moment


async def at_checkpoint(runtime: Runtime, config: RunConfig) -> tuple[Run, datetime | None] | None:
    """Return the thread as it is, or as it was at the config's checkpoint; None for an unknown thread."""
    thread_id = config.thread_id
    if config.checkpoint_id is not None:
        async for moment in checkpoints(runtime, thread_id):
            if str(moment.record.sequence) == config.checkpoint_id:
                return moment.run, _at(moment)
        raise UnknownCheckpointError(thread_id, config.checkpoint_id)
    found = await runtime.journal.read(thread_id)
    if found is None:
        return None
    last = await runtime.journal.facts(thread_id, found[0].sequence - 1)
    return found[0], datetime.fromtimestamp(last[0].record.at, UTC) if last else None


async def history(runtime: Runtime, config: RunConfig, limit: int | None) -> list[StateSnapshot]:
    """Return the thread's checkpoints, newest first."""
    found = [moment async for moment in checkpoints(runtime, config.thread_id)]
    newest = found[::-1] if limit is None else found[::-1][:limit]
    return [snapshot_of(runtime.journal.schema, moment.run, _at(moment)) for moment in newest]


def _at(moment: Moment) -> datetime:
    return datetime.fromtimestamp(moment.record.at, UTC)


GoesOn = Callable[[], bool]
"""Asked, each time before it looks again, by a reader that follows."""


async def events(
    runtime: Runtime, thread_id: str, after: int, run_id: str | None, goes_on: GoesOn | None
) -> AsyncGenerator[Event, None]:
    """Yield the events above a sequence, of one run or of all, and what follows for as long as ``goes_on`` says."""
    journal = runtime.journal
    async with contextlib.aclosing(moves(journal.store, journal.key(thread_id))) as looks:
        async for _ in looks:
            async for told in _told(runtime, thread_id, after):
                after = told.record.sequence
                with _readable(thread_id, told):
                    found = events_of(thread_id, [told])
                for event in found:
                    if run_id in (None, event.run_id):
                        yield event
            if goes_on is None or not goes_on():
                return


async def events_after(
    runtime: Runtime, thread_id: str, after: int, run_id: str | None, goes_on: GoesOn | None
) -> AsyncGenerator[Event, None]:
    """Yield events as ``events`` does, also when ``after`` lies within a step that several nodes made."""
    async with contextlib.aclosing(events(runtime, thread_id, after, run_id, goes_on)) as found:
        async for event in found:
            if event.sequence > after:
                yield event
