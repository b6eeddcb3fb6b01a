"""Continues what nobody drives any more: one pass over the threads, or a supervisor that looks again and again.

That is runs whose owner died, and then the messages that wait on their threads or on others. Nobody is told who
recovers what. All who look may find the same thread, and the store gives it to one of them: the others pass on. Only a
run that is still under way is continued, under its own id, so a pause is never approved by this, a message waits
behind a pause or a stop, and a thread that somebody else took since is left to them. The threads of subgraphs are
their parents' business.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, Self, TypeAlias

from taf.checkpointer.base import Listing, ThreadRow
from taf.errors import (
    AppClosedError,
    CheckpointerClosedError,
    CheckpointerError,
    ConfigError,
    GraphChangedError,
    NothingToResumeError,
    StoreCorruptError,
    ThreadBusyError,
)
from taf.graph.active import ActiveRun
from taf.graph.config import RunConfig, read_config
from taf.graph.intake import Recover
from taf.graph.multitask import first_of, opened
from taf.graph.result import RunResult
from taf.graph.runtime import Runtime
from taf.graph.turn import PATIENCE_SECONDS, OnBehalf, is_held
from taf.state.execution import ExecutionStatus

PAGE = 100
"""How many threads are listed at once."""

ConfigOf: TypeAlias = Callable[[ThreadRow], Mapping[str, Any]]
"""Says, for a thread that is recovered, what its config holds beside ``thread_id`` and ``run_id``."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did, by thread.

    ``results``: how runs came to rest that were continued or begun here, of each thread the last. ``failed``: what
    others raised: a node's error, which is on record, or why a thread or a message could not be taken up.
    ``passed_on``: threads that somebody else took first.
    """

    results: dict[str, RunResult] = field(default_factory=dict[str, RunResult])
    failed: dict[str, Exception] = field(default_factory=dict[str, Exception])
    passed_on: list[str] = field(default_factory=list[str])


class Host(Protocol):
    """What an app has to offer to have its runs recovered."""

    runtime: Runtime

    def launch(self, call: Recover, config: RunConfig, *, create: bool = True) -> ActiveRun:
        """Begin a run on the running loop."""
        ...

    def launch_turn(self, turn: OnBehalf, config: RunConfig) -> ActiveRun:
        """Begin the run of a message that nobody waits for any more."""
        ...

    def give_up_lost(self) -> None:
        """Free the threads of runs whose event loops were closed."""
        ...


async def _lost(runtime: Runtime) -> AsyncGenerator[ThreadRow, None]:
    """Yield the threads of this app's graph that nobody owns: those whose runs are under way, then those with mail."""
    journal = runtime.journal
    running = Listing((ExecutionStatus.RUNNING.value,), journal.graph)
    for wanted in (running, Listing(graph=journal.graph, has_mail=True)):
        after = ""
        while rows := await journal.store.threads(journal.tenant, wanted, after=after, limit=PAGE):
            for row in rows:
                if not row.is_owned:
                    yield row
            after = rows[-1].cursor


class Recovery:
    """Runs that are continued side by side, never more than ``concurrency``."""

    def __init__(self, host: Host, concurrency: int, config: ConfigOf | None) -> None:
        self._host, self._config = host, config
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self.outcome = Recovered()
        self.hopeless: dict[str, int] = {}
        """Threads that cannot be read, with the head that they had then."""
        self.is_over = False
        """The app was closed."""

    async def scan(self) -> None:
        """Look at all threads once, and continue what is lost, as soon as there is room."""
        self._host.give_up_lost()
        async with aclosing(_lost(self._host.runtime)) as rows:
            async for row in rows:
                if row.thread_id in self._waiting or self.hopeless.get(row.thread_id) == row.head:
                    continue
                await self._slots.acquire()
                task = asyncio.create_task(self._attend(row), name=f"taf recovery {row.thread_id}")
                self._waiting[row.thread_id] = task
                task.add_done_callback(partial(self._done, row.thread_id))

    def _done(self, thread_id: str, _: object) -> None:
        del self._waiting[thread_id]
        self._slots.release()

    async def _attend(self, row: ThreadRow) -> None:
        """Continue the run of a thread, then take up its messages, for as long as none has to wait."""
        status: ExecutionStatus | None = ExecutionStatus(row.status)
        if status is ExecutionStatus.RUNNING:
            status = await self._rested(row, self._lost_run)
        while status is not None:
            status = await self._rested(row, partial(self._next_turn, status=status))

    async def _lost_run(self, row: ThreadRow) -> ActiveRun:
        given = {} if self._config is None else dict(self._config(row))
        config = read_config({**given, "thread_id": row.thread_id, "run_id": row.run_id})
        return self._host.launch(Recover(), config, create=False)

    async def _next_turn(self, row: ThreadRow, status: ExecutionStatus) -> ActiveRun | None:
        """Begin the run of the message whose turn it is, unless it has to wait, or somebody else takes it up."""
        runtime, thread_id = self._host.runtime, row.thread_id
        journal = runtime.journal
        first = first_of((await journal.store.mail(journal.key(thread_id))).messages)
        if first is None or is_held(status, first, may_begin=False):
            return None
        # Whoever sent it may be about to run it.
        await asyncio.sleep(min(max(0.0, PATIENCE_SECONDS + row.updated - journal.clock()), PATIENCE_SECONDS))
        config = opened(journal.codec, thread_id, first).config
        return self._host.launch_turn(OnBehalf(runtime, first, may_begin=False), config)

    async def _rested(
        self, row: ThreadRow, begin: Callable[[ThreadRow], Awaitable[ActiveRun | None]]
    ) -> ExecutionStatus | None:
        """Begin a run, and note how it came to rest. Return None when there is no more to do on its thread."""
        thread_id, run, active = row.thread_id, None, None
        try:
            active = await begin(row)
            if active is None:
                return None
            # Not awaited itself: a run belongs to its app, and goes on when nobody looks after it any more.
            await asyncio.wait([active.outcome])
            run = await active.result()
        except (ThreadBusyError, NothingToResumeError) as error:
            if active is not None and active.turn is not None:  # a message that has nothing to say to the thread
                self.outcome.failed[thread_id] = error
                return ExecutionStatus.IDLE
        except AppClosedError:
            self.is_over = True
            return None
        except Exception as error:
            self.outcome.failed[thread_id] = error
            if isinstance(error, GraphChangedError | StoreCorruptError):
                self.hopeless[thread_id] = row.head
            elif active is not None and not isinstance(error, CheckpointerError):
                return ExecutionStatus.ERROR  # a node's own: what waits behind it goes on
            return None
        if run is None:  # it was somebody else's, or was deleted meanwhile
            self.outcome.passed_on.append(thread_id)
            return None
        self.outcome.results[thread_id] = RunResult(self._host.runtime.spec.schema, run, run.run_id)
        return run.status

    async def rest(self) -> None:
        """Wait for all that was continued."""
        while self._waiting:
            await asyncio.wait(list(self._waiting.values()))

    async def leave(self) -> None:
        """Wait no more. What was continued goes on; the app ends it."""
        tasks = list(self._waiting.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _require_number(concurrency: int) -> None:
    if isinstance(concurrency, bool) or concurrency < 1:
        raise ConfigError(f"concurrency has to be a whole number of at least 1, not {concurrency!r}.")


async def recover(host: Host, concurrency: int, config: ConfigOf | None) -> Recovered:
    """Continue the runs that nobody drives, and wait until they rest."""
    _require_number(concurrency)
    recovery = Recovery(host, concurrency, config)
    try:
        await recovery.scan()
        await recovery.rest()
    finally:
        await recovery.leave()
    return recovery.outcome


OnRecovered: TypeAlias = Callable[[Recovered], None]


class Supervisor:
    """Looks for lost runs at intervals, for as long as its ``with`` or ``async with`` block lasts.

    A store that fails is asked again at the next interval.
    """

    def __init__(
        self,
        host: Host,
        call: Callable[[str, Coroutine[Any, Any, None]], None],
        *,
        interval: float,
        concurrency: int,
        config: ConfigOf | None,
        on_recovered: OnRecovered | None,
    ) -> None:
        if isinstance(interval, bool) or interval <= 0:
            raise ConfigError(f"interval has to be above 0 seconds, not {interval!r}.")
        _require_number(concurrency)
        self._host, self._call = host, call
        self._interval, self._concurrency, self._config = interval, concurrency, config
        self._on_recovered = on_recovered
        self._task: asyncio.Task[None] | None = None
        self.error: Exception | None = None
        """Why the last look came to nothing; None when it did not."""

    async def _begin(self) -> None:
        recovery = Recovery(self._host, self._concurrency, self._config)
        self._task = asyncio.create_task(self._watch(recovery), name="taf supervisor")

    async def _watch(self, recovery: Recovery) -> None:
        try:
            while not recovery.is_over:
                try:
                    await recovery.scan()
                    self.error = None
                except CheckpointerClosedError:
                    return
                except Exception as error:  # the next look may find the store well again
                    self.error = error
                self._tell(recovery)
                # Apart from each other, so that many processes do not all look at the same moment.
                await asyncio.sleep(self._interval * random.uniform(0.5, 1.5))
        finally:
            await recovery.leave()
            self._tell(recovery)

    def _tell(self, recovery: Recovery) -> None:
        outcome, recovery.outcome = recovery.outcome, Recovered()
        if self._on_recovered is not None and (outcome.results or outcome.failed):
            with suppress(Exception):  # who looks on must not end it
                self._on_recovered(outcome)

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    def __enter__(self) -> Self:
        self._call("supervise", self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self._call("supervise", self._end())
