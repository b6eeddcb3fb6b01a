"""Runs a compiled graph, stops it, and shows its threads: the async half; ``blocking`` adds the sync twins."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from taf.checkpointer.base import BaseCheckpointer, ThreadRow
from taf.errors import AppClosedError, ConfigError, UnknownThreadError
from taf.events import Event
from taf.graph import forking, history, queue, updating
from taf.graph.active import ActiveRun
from taf.graph.config import RunConfig, read_config, read_thread
from taf.graph.ending import ended
from taf.graph.flights import Flights
from taf.graph.intake import NO_ANSWER, Answer, Call, Invoke, WhilePaused
from taf.graph.listing import read_listing
from taf.graph.multitask import MultitaskStrategy, Queued
from taf.graph.result import Receipt, RunResult, StateSnapshot, snapshot_of, waiting_nodes
from taf.graph.runtime import AS_COMPILED, CallOptions, Runtime, call_options
from taf.graph.serving import Reader
from taf.graph.stop import StopStatus, stop
from taf.graph.stream import StreamMode, Tap
from taf.graph.subgraph import delete_inner
from taf.graph.submission import Submission
from taf.graph.turn import OnBehalf, OnReceipt, Turn
from taf.publisher.base import PublisherLike
from taf.publisher.bus import Listening
from taf.state.interrupts import InterruptRecord

if TYPE_CHECKING:
    from taf.graph.recovery import ConfigOf, Recovered
    from taf.graph.retention import Pruned
    from taf.state.run import Run

Config = Mapping[str, Any]


class AsyncGraph:
    """The async half of a compiled graph."""

    def __init__(self, runtime: Runtime, *, owns_checkpointer: bool) -> None:
        self.runtime = runtime
        self._owns_checkpointer = owns_checkpointer
        self._flights = Flights()
        self._variants: dict[CallOptions, Runtime] = {}
        self._is_closed = False

    @property
    def checkpointer(self) -> BaseCheckpointer:
        """Where the threads are kept."""
        return self.runtime.journal.store

    @property
    def name(self) -> str:
        """What ``compile`` was told that the graph is called; its threads are listed under that."""
        return self.runtime.journal.graph

    # -- running -----------------------------------------------------------------------------------

    async def ainvoke(
        self,
        input: Any = None,
        config: Config | None = None,
        *,
        while_paused: WhilePaused | None = None,
        multitask_strategy: MultitaskStrategy | None = None,
    ) -> RunResult:
        """Run a thread until it rests, and return how. See the table "what a call does" in the docs.

        ``input`` is a dict of fields, a state, a message or a list of messages; None or ``{}`` goes on with a thread.
        ``multitask_strategy``: what it does to a run that is active there; the result is that of the run that took it.
        Raise what a node raised, ``InvalidInputError``, ``ThreadBusyError``, ``NothingToResumeError``,
        ``QueueWithdrawnError``.
        """
        active = self.launch(Invoke(input), read_config(config), options=call_options(while_paused, multitask_strategy))
        return self._result(await active.result(), active.config.thread_id)

    async def aresume(
        self, config: Config, answer: Any = NO_ANSWER, *, by: str | None = None, interrupt_id: str | None = None
    ) -> RunResult:
        """Answer an open interrupt and go on; without an answer, approve a breakpoint or continue a stopped thread.

        ``answer`` is ``Approve``, ``Reject``, ``Edit`` or ``Respond``; any other value answers a question. Raise an
        ``AnswerError``, and change nothing, for an answer that does not fit.
        """
        active = self.launch(Answer(answer, by, interrupt_id), self._named(config), create=False)
        return self._result(await active.result(), active.config.thread_id)

    async def astream(
        self,
        input: Any = None,
        config: Config | None = None,
        *,
        stream_mode: StreamMode = "events",
        while_paused: WhilePaused | None = None,
        multitask_strategy: MultitaskStrategy | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Run a thread and yield what happens, as it is committed.

        ``events`` yields ``Event``s, ``updates`` a dict of node and update, ``values`` the state after each step,
        ``messages`` the new messages. A consumer that breaks off stops the run.
        """
        tap = Tap(stream_mode, self.runtime.spec.schema)
        options = call_options(while_paused, multitask_strategy)
        active = self.launch(Invoke(input), read_config(config), reader=tap.feed, options=options)
        async with contextlib.aclosing(tap.read(active)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def asubmit(
        self,
        input: Any = None,
        config: Config | None = None,
        *,
        while_paused: WhilePaused | None = None,
        multitask_strategy: MultitaskStrategy | None = None,
    ) -> Receipt:
        """Begin a run on the calling loop, or leave its message in the queue; return as soon as that is on record.

        ``join`` waits for the run. Raise what keeps it from beginning: ``InvalidInputError``, ``ThreadBusyError``,
        ``NothingToResumeError``.
        """
        submission, options = Submission(), call_options(while_paused, multitask_strategy)
        call, read = Invoke(input), read_config(config)
        active = self.launch(call, read, reader=submission.begun, options=options, on_receipt=submission.received)
        return await submission.of(active)

    async def ajoin(self, config: Config, run_id: str | None = None) -> RunResult:
        """Wait until the run, or whichever run is active, is over, and return how the thread stood then.

        The run may be anywhere, also in the queue. For one that never came to its first record, that is how the thread
        stands. Raise ``UnknownThreadError``.
        """
        thread_id = self._thread(config)
        for active in self._flights.on(thread_id):
            if active.is_lost:
                active.give_up()
            elif run_id in (None, active.config.run_id) and not (run_id is None and active.is_waiting):
                await active.landing()
        if run_id is None:
            found = await self.runtime.journal.read(thread_id)
            if found is None:
                raise UnknownThreadError(thread_id)
            run_id = found[0].run_id
        return self._result(await ended(self.runtime.journal, thread_id, run_id), thread_id)

    async def astop(self, config: Config, reason: str = "stopped") -> StopStatus:
        """Stop the thread's run, wherever it is; on a paused thread, cancel the pause.

        The answer says how the thread stands then, whatever that is: no status of a thread is an error here.
        """
        thread_id = self._thread(config)
        return await stop(self.runtime, self._flights.stop(thread_id, reason), thread_id, reason)

    def launch(
        self,
        call: Call,
        config: RunConfig,
        *,
        reader: Reader | None = None,
        create: bool = True,
        options: CallOptions = AS_COMPILED,
        on_receipt: OnReceipt | None = None,
    ) -> ActiveRun:
        """Begin a run on the running loop. Input takes its turn there, unless it is to be refused by a busy thread."""
        self._require_open()
        runtime = self._runtime_with(options)
        if not isinstance(call, Invoke) or runtime.options.multitask_strategy == "reject":
            active = ActiveRun(runtime, config, call, board=self._flights, reader=reader, create=create)
            self._flights.begin(active)
            return active
        return self._launch(runtime, config, Turn(self, runtime, call.input, config, on_receipt), reader)

    def launch_turn(self, turn: OnBehalf, config: RunConfig) -> ActiveRun:
        """Begin the run of a message that nobody waits for any more."""
        self._require_open()
        return self._launch(self.runtime, config, turn, None)

    def _launch(self, runtime: Runtime, config: RunConfig, turn: Turn | OnBehalf, reader: Reader | None) -> ActiveRun:
        active = ActiveRun(runtime, config, Invoke(None), board=self._flights, reader=reader, turn=turn)
        self._flights.add(active)
        return active

    def _runtime_with(self, options: CallOptions) -> Runtime:
        changes = {} if options is AS_COMPILED else options.changes(self.runtime.options)
        if not changes:
            return self.runtime
        runtime = self._variants.get(options) or self.runtime.with_options(**changes)
        self._variants[options] = runtime  # kept, as subgraphs keep what belongs to it
        return runtime

    def _named(self, config: Config) -> RunConfig:
        self._require_open()
        return read_config(config, needs_thread=True)

    def _thread(self, config: Config) -> str:
        self._require_open()
        return read_thread(config)

    def _require_open(self) -> None:
        if self._is_closed:
            raise AppClosedError

    def _result(self, run: Run | None, thread_id: str) -> RunResult:
        if run is None:
            raise UnknownThreadError(thread_id)
        return RunResult(self.runtime.spec.schema, run, run.run_id)

    # -- the queue ---------------------------------------------------------------------------------

    async def aqueue(self, config: Config) -> tuple[Queued, ...]:
        """Return the messages that wait on a thread, in the order of their turns."""
        return await queue.waiting(self.runtime.journal, self._thread(config))

    async def aedit_queued(self, config: Config, run_id: str, input: Any) -> bool:
        """Put other input in the place of a message that waits. Return False when it does not any more.

        Only what was submitted by ``enqueue`` can be changed. Raise ``InvalidInputError``.
        """
        return await queue.edit(self.runtime.journal, self._thread(config), run_id, input)

    async def aclear_queue(self, config: Config, run_id: str | None = None) -> tuple[Queued, ...]:
        """Take messages that wait by ``enqueue`` out of the queue: one, or all. Return those that were taken out."""
        return await queue.clear(self.runtime.journal, self._thread(config), run_id)

    # -- looking -----------------------------------------------------------------------------------

    async def aget_state(self, config: Config) -> StateSnapshot:
        """Return how a thread stands, or stood at the config's ``checkpoint_id``. Raise ``UnknownThreadError``."""
        read = self._named(config)
        found = await history.at_checkpoint(self.runtime, read)
        if found is None:
            raise UnknownThreadError(read.thread_id)
        return snapshot_of(self.runtime.spec.schema, *found)

    async def aget_history(self, config: Config, *, limit: int | None = None) -> list[StateSnapshot]:
        """Return the thread's checkpoints, newest first."""
        return await history.history(self.runtime, self._named(config), limit)

    async def aevents(
        self, config: Config, *, after: int = 0, run_id: str | None = None, follow: bool = False
    ) -> AsyncGenerator[Event, None]:
        """Yield the thread's events above the sequence ``after``, then end, or (``follow``) wait for more.

        A reader that follows is ended by the end of the app. Partials are not on record, so they are not among these.
        """
        thread_id = self._thread(config)
        goes_on = (lambda: not self._is_closed) if follow else None
        async with contextlib.aclosing(history.events_after(self.runtime, thread_id, after, run_id, goes_on)) as events:
            async for event in events:
                yield event

    async def ainterrupts(self, config: Config) -> list[InterruptRecord]:
        """Return all interrupts of a thread, newest first, whatever became of them."""
        return await self.runtime.journal.interrupts(self._thread(config))

    async def athreads(
        self,
        *,
        status: str | Iterable[str] | None = None,
        graph: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        newest_first: bool = False,
        after: str = "",
        limit: int = 100,
    ) -> Sequence[ThreadRow]:
        """List threads by name, or those first that were written to last.

        ``status``: one or several. ``graph``: of that name, in a store that several graphs share. ``since`` and
        ``before``: written to last at or after, and before, that time. ``after``: the ``cursor`` of the last row that
        one has. Raise ``ConfigError``.
        """
        self._require_open()
        journal, listing = self.runtime.journal, read_listing(status, graph, since, before, newest_first)
        return await journal.store.threads(journal.tenant, listing, after=after, limit=limit)

    def listen(self, publisher: PublisherLike) -> Listening:
        """Have one more publisher told of what runs here from now on, until the answer is called."""
        self._require_open()
        return self.runtime.bus.attach(publisher)

    # -- changing from outside ---------------------------------------------------------------------

    async def aupdate_state(self, config: Config, update: Any, *, as_node: str | None = None) -> StateSnapshot:
        """Change a thread that rests, by the rules of a node's return value.

        With ``as_node`` the thread goes on as if that node had just run. Raise ``InvalidUpdateError``,
        ``ThreadBusyError``, ``ConfigError`` for an unknown node.
        """
        read = self._named(config)
        await updating.update(self.runtime, read, update, as_node)
        return await self.aget_state({"thread_id": read.thread_id})

    async def afork(self, config: Config, *, thread_id: str | None = None) -> dict[str, Any]:
        """Begin a new thread at a checkpoint of another one, and return the new thread's config."""
        return {"thread_id": (await forking.fork(self.runtime, self._named(config), thread_id)).thread_id}

    async def adelete_thread(self, config: Config) -> bool:
        """Remove a thread that rests. Return False when there is none."""
        thread_id, journal = self._thread(config), self.runtime.journal
        journal.forget(thread_id)
        is_gone = await journal.store.delete(journal.key(thread_id))
        await delete_inner(journal, thread_id)
        return is_gone

    async def aprune(
        self,
        config: Config | None = None,
        *,
        keep_last: int | None = None,
        older_than: timedelta | None = None,
        delete: bool = False,
        after: str = "",
        limit: int = 100,
    ) -> Pruned:
        """Let go of old records: of one thread or, without a config, of the next ``limit`` threads of this graph.

        The last ``keep_last`` checkpoints stay, those younger than ``older_than``, and the last one in any case. With
        ``delete``, whole threads go that were at rest for longer than that and ask nothing. Threads that run are left
        alone. Raise ``ConfigError``; ``UnknownThreadError`` and why it cannot be read, for the one that is named.
        """
        from taf.graph.retention import Policy, Pruning  # only who prunes pays for it

        self._require_open()
        pruning = Pruning(self.runtime.journal, Policy(keep_last, older_than, delete))
        if config is None:
            return await pruning.many(after, limit)
        if delete:
            raise ConfigError("delete=True is for a pass over many threads: delete_thread() removes one.")
        return await pruning.one(self._thread(config))

    async def arecover(self, *, concurrency: int = 4, config: ConfigOf | None = None) -> Recovered:
        """Continue runs of this graph whose owners died, and messages that nobody takes up; wait until all rest.

        ``concurrency``: on how many threads at a time. ``config``: what the configs of such runs hold, beside
        ``thread_id`` and ``run_id``. When the caller is cancelled, what was continued goes on.
        """
        from taf.graph.recovery import recover

        self._require_open()
        return await recover(self, concurrency, config)

    def give_up_lost(self) -> None:
        """Free the threads of runs whose event loops were closed: they will never go on."""
        self._flights.give_up_lost()

    # -- drawing -----------------------------------------------------------------------------------

    def draw_mermaid(self, at: StateSnapshot | RunResult | None = None) -> str:
        """Return the graph as a Mermaid flowchart; with a snapshot, the node that waits is marked."""
        from taf.graph.draw import mermaid  # only who draws pays for it

        return mermaid(self.runtime.spec, waiting_nodes(at))

    def draw_svg(self, at: StateSnapshot | RunResult | None = None) -> str:
        """Return the graph as an SVG picture; with a snapshot, the node that waits is marked."""
        from taf.graph.draw import svg

        return svg(self.runtime.spec, waiting_nodes(at))

    # -- leaving -----------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Stop what runs here, deliver what is buffered, and close the checkpointer if this app made it."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._flights.end("the app was closed")
        await self.runtime.bus.aclose()
        if self._owns_checkpointer:
            await self.checkpointer.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
