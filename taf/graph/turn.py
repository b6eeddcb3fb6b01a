"""The way of a message to its run, on a thread that others want too: it begins at once, or waits for its turn.

Whoever owns the thread decides. A message is accepted only while somebody does, so either the poster becomes the
owner, or an owner knows of it. Each waiter looks after its own message. The one whose turn it is may have nobody left
who waits for it: then whoever waits behind it runs it, after some patience.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from taf.checkpointer.base import Change, Posted, Stored, Taken
from taf.checkpointer.ledger import Ledger
from taf.errors import AppClosedError, QueueWithdrawnError, StaleOwnerError, ThreadBusyError
from taf.events import Event
from taf.graph.config import RunConfig
from taf.graph.ending import followed, run_that_took
from taf.graph.engine import Engine
from taf.graph.intake import Invoke, Recover
from taf.graph.multitask import URGENT, first_of, in_turn, notice_of, opened, rank, sealed
from taf.graph.presuming import begun
from taf.graph.result import Outcome, Receipt
from taf.graph.runtime import Runtime
from taf.state.execution import ExecutionStatus
from taf.state.run import Run

POLL_SECONDS = 0.5
"""How long to wait for word of a change before looking again."""

PATIENCE_SECONDS = 0.25
"""How long a message whose turn it is may lie before somebody else runs it."""


OnReceipt: TypeAlias = Callable[[Receipt], None]


class Flight(Protocol):
    """What a turn needs of the run that it leads to."""

    config: RunConfig

    @property
    def is_silent(self) -> bool:
        """True when nobody is told what the run does."""
        ...

    def new_engine(self) -> Engine:
        """Return an engine for one attempt."""
        ...

    def tell(self, events: Sequence[Event], run: Run) -> None:
        """Tell the reader of events of a run that somebody else drives."""
        ...


class Tower(Protocol):
    """What a turn needs of its app."""

    def launch(self, call: Recover, config: RunConfig, *, create: bool = True) -> Any:
        """Begin a run on the running loop."""
        ...

    def launch_turn(self, turn: OnBehalf, config: RunConfig) -> Any:
        """Begin the run of somebody else's message."""
        ...


def is_held(status: ExecutionStatus, first: Posted, *, may_begin: bool) -> bool:
    """Say whether what comes first has to wait all the same, for a human, or since the thread was stopped.

    ``may_begin``: a call came since the stop, so it is over.
    """
    if first.kind in URGENT:
        return False
    return (status.is_interrupted and first.kind != "steer") or (status is ExecutionStatus.STOPPED and not may_begin)


_OUTCOMES: dict[str, Outcome] = {
    "enqueue": "queued",
    "steer": "steering",
    "interrupt": "superseding",
    "rollback": "superseding",
}


async def take(
    runtime: Runtime, flight: Flight, message: Posted, leaves: Callable[[], bool], *, may_begin: bool
) -> Run | None:
    """Run a message if its turn is now. Return None when it is not, or when it was amended meanwhile.

    ``leaves`` says whether it was told to leave while the thread was taken: then the message stays where it is.
    """
    ledger = await _acquired(runtime, flight.config.thread_id)
    if ledger is None:
        return None
    first = first_of(ledger.mail.messages)
    is_next = first is not None and first.id == message.id and not leaves()
    if first is None or not is_next or is_held(ledger.run.status, first, may_begin=may_begin):
        await ledger.save(release=True)
        return None
    try:
        envelope = opened(runtime.journal.codec, flight.config.thread_id, first)
    except BaseException:
        await ledger.save(release=True)
        raise
    before, engine = ledger.committed, flight.new_engine()
    ledger.take(Taken([first.id], ledger.mail.amendments))
    try:
        return await engine.conduct(Invoke(envelope.input, first.kind), ledger)
    except StaleOwnerError:
        if ledger.committed != before:
            raise
        return None


async def _acquired(runtime: Runtime, thread_id: str) -> Ledger | None:
    with contextlib.suppress(ThreadBusyError):
        return await runtime.journal.acquire(thread_id, lease_seconds=runtime.options.lease_seconds)
    return None


class OnBehalf:
    """The turn of a message that nobody waits for any more."""

    is_waiting = True

    def __init__(self, runtime: Runtime, message: Posted, *, may_begin: bool) -> None:
        self._runtime, self._message, self._may_begin = runtime, message, may_begin
        self._is_leaving = False

    async def fly(self, flight: Flight) -> Run | None:
        """Run it, if its turn is now."""
        return await take(self._runtime, flight, self._message, lambda: self._is_leaving, may_begin=self._may_begin)

    def leave(self, reason: str, *, withdraws: bool) -> None:
        """Leave the message to others: it is somebody else's."""
        self._is_leaving = True


class Turn:
    """The turn of one's own message. ``on_receipt`` is told once what the submission came to."""

    def __init__(
        self, tower: Tower, runtime: Runtime, given: Any, config: RunConfig, on_receipt: OnReceipt | None
    ) -> None:
        self._tower, self._runtime, self._given = tower, runtime, given
        self._config, self._on_receipt = config, on_receipt
        self._strategy = runtime.options.multitask_strategy
        journal = runtime.journal
        self._store, self._key = journal.store, journal.key(config.thread_id)
        at, body = journal.clock(), sealed(journal.codec, given, config)
        self._message = Posted(self._strategy, config.run_id, at, body)
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self._active_run: str | None = None
        self._head = self._ahead = 0
        self._leaving, self._withdraws = asyncio.Event(), False
        self.is_taking = True
        """True while it asks for the thread: nobody knows yet whether the run begins or the message has to wait."""
        self._ends_for: str | None = None
        self._free_since: float | None = None
        self.is_waiting = True

    # -- deciding ----------------------------------------------------------------------------------

    async def fly(self, flight: Flight) -> Run | None:
        """Begin at once, or leave word and wait; return the run as it rests. Raise ``QueueWithdrawnError``."""
        unwatch = self._store.watch(self._key, self._on_change)
        try:
            while not self._is_leaving:
                ledger = await self._acquired(is_told=not flight.is_silent)
                self.is_taking = False
                if ledger is not None and not self._has_to_wait(ledger):
                    self.is_waiting = False
                    return await self._engine(flight).conduct(Invoke(self._given), ledger)
                try:
                    number = await self._store.post(self._key, self._message, notice_of(self._message))
                finally:
                    if ledger is not None:
                        await ledger.save(release=True)
                if number is not None:
                    self._message = self._message._replace(id=number)
                    return await self._wait(flight, may_begin=ledger is not None)
                self.is_taking, self._ends_for = True, None  # who had the thread is gone
            raise AppClosedError
        finally:
            unwatch()
            self.is_waiting = self.is_taking = False

    async def _acquired(self, *, is_told: bool) -> Ledger | None:
        runtime, thread_id = self._runtime, self._config.thread_id
        try:
            ledger = await begun(runtime, self._config, Invoke(self._given), is_told=is_told)
            return ledger or await runtime.journal.acquire(thread_id, lease_seconds=runtime.options.lease_seconds)
        except ThreadBusyError as busy:
            self._active_run = busy.run_id
            stored = await self._store.load(self._key)
            self._head = 0 if stored is None else stored.head
            return None

    def _engine(self, flight: Flight) -> Engine:
        """Return what runs the message, or stops before its first node when that was said while it took the thread."""
        engine = flight.new_engine()
        if self._ends_for is not None:
            engine.request_stop(self._ends_for)
        return engine

    def _has_to_wait(self, ledger: Ledger) -> bool:
        """Say whether others come first. What is said to a pause does not wait for those that wait behind it."""
        self._head, first = ledger.run.sequence, first_of(ledger.mail.messages)
        if first is None or ledger.run.status.is_interrupted:
            return False
        return rank(first.kind) <= rank(self._strategy)

    def _tell(self, outcome: Outcome, position: int | None) -> None:
        on_receipt, self._on_receipt = self._on_receipt, None
        if on_receipt is not None:
            supersedes = self._active_run if outcome == "superseding" else None
            on_receipt(Receipt(self._config.thread_id, self._config.run_id, outcome, supersedes, position))

    # -- waiting -----------------------------------------------------------------------------------

    async def _wait(self, flight: Flight, *, may_begin: bool) -> Run | None:
        """Wait until the turn has come, here or with somebody else.

        ``may_begin``: the thread was at rest, so those before may go on though a stop held them up.
        """
        is_quiet = may_begin
        while True:
            self._news.clear()
            mail = await self._store.mail(self._key)
            waiting = in_turn(mail.messages)
            place = next((n for n, one in enumerate(waiting) if one.id == self._message.id), None)
            if place is None:
                return await self._taken_elsewhere(flight)
            self._tell(_OUTCOMES[self._strategy], place)
            self._ahead = place
            if self._is_leaving:
                await self._left()
            elif place == 0 or is_quiet:  # otherwise it is for others to begin, as long as anything happens
                stored = await self._store.load(self._key)
                if self._is_free(stored, waiting[0], may_begin):
                    run, may_begin = await self._step_forward(flight, waiting[0], stored, may_begin), False
                    if run is not None:
                        return run
                    continue
            is_quiet = not await self._until_news(POLL_SECONDS * (1 + place / 8))

    def _is_free(self, stored: Stored | None, first: Posted, may_begin: bool) -> bool:
        """Say whether the next message may begin."""
        if stored is not None and stored.is_owned:
            self._free_since = None
            return False
        status = ExecutionStatus.IDLE if stored is None else ExecutionStatus(stored.status)
        return not is_held(status, first, may_begin=may_begin)

    async def _step_forward(self, flight: Flight, first: Posted, stored: Stored | None, may_begin: bool) -> Run | None:
        """Run what comes first, if that is this message, or if nobody else does."""
        if stored is not None and stored.status == ExecutionStatus.RUNNING.value and first.kind not in URGENT:
            lost = self._config._replace(run_id=stored.run_id)  # its owner died: it goes on before others begin
            await self._unless_leaving(self._tower.launch(Recover(), lost, create=False).outcome)
        elif first.id == self._message.id:
            run = await take(self._runtime, flight, first, lambda: self._is_leaving, may_begin=may_begin)
            if run is not None:
                return run
            await asyncio.sleep(0.001)
        elif may_begin or self._has_waited_enough():
            other = opened(self._runtime.journal.codec, self._config.thread_id, first).config
            turn = OnBehalf(self._runtime, first, may_begin=may_begin)
            await self._unless_leaving(self._tower.launch_turn(turn, other).outcome)
        else:
            await self._until_news(PATIENCE_SECONDS / 5)
        return None

    def _has_waited_enough(self) -> bool:
        now = self._loop.time()
        self._free_since = now if self._free_since is None else self._free_since
        is_enough = now - self._free_since > PATIENCE_SECONDS
        self._free_since = None if is_enough else self._free_since
        return is_enough

    async def _until_news(self, seconds: float) -> bool:
        """Wait for word that concerns this message. Return False when none came in time."""
        # Not wait_for: before Python 3.12 it forgets a cancellation that comes together with what it waits for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._news.wait()
        return False

    async def _taken_elsewhere(self, flight: Flight) -> Run:
        """Follow the message into the run that took it. Raise ``QueueWithdrawnError`` when none did."""
        thread_id, run_id = self._config.thread_id, self._config.run_id
        self._tell("started", None)
        took = await run_that_took(self._runtime.journal, thread_id, run_id, self._head)
        if took is None:
            raise QueueWithdrawnError(thread_id, run_id)
        return await followed(self._runtime.journal, thread_id, took, self._head, flight.tell)

    # -- leaving -----------------------------------------------------------------------------------

    @property
    def _is_leaving(self) -> bool:
        return self._leaving.is_set()

    async def _unless_leaving(self, outcome: asyncio.Future[Any]) -> None:
        """Wait for the end of another run, but not when told to leave: that one goes on without this."""
        leaving = asyncio.ensure_future(self._leaving.wait())
        await asyncio.wait([outcome, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()

    def leave(self, reason: str, *, withdraws: bool) -> None:
        """Wait no more, from the loop of the turn. The message stays where it is, unless it is withdrawn.

        ``reason``: for what a run is stopped that begins just then.
        """
        self._ends_for, self._withdraws = reason, withdraws
        self._leaving.set()
        self._news.set()

    def forestall(self, reason: str) -> None:
        """Stop the run if it is about to begin, from the loop of the turn. A message that has to wait waits on."""
        if self.is_taking:
            self._ends_for = reason

    async def _left(self) -> None:
        if not self._withdraws:
            raise AppClosedError
        if await self._store.amend(self._key, self._message.id, None):
            raise QueueWithdrawnError(self._config.thread_id, self._config.run_id)

    def _on_change(self, change: Change) -> None:
        is_own = change.run_id == self._config.run_id
        if is_own or change.status != ExecutionStatus.RUNNING.value:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._note, is_own)

    def _note(self, is_own: bool) -> None:
        """Count the turns of others: a message far behind need not look each time."""
        self._ahead -= 1
        if is_own or self._ahead <= 0:
            self._news.set()
