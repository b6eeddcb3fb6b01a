"""The sync door: every async method's twin, over an event loop in a thread of its own that lives as long as the app.

A sync call works from a plain thread; from inside a sync node, where it goes back to the loop that the node was
called from; and from inside a running event loop, where it blocks that loop and says so.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from taf.checkpointer.base import ThreadRow
from taf.errors import AppClosedError
from taf.events import Event
from taf.graph.active import ActiveRun
from taf.graph.app import AsyncGraph
from taf.graph.config import read_config
from taf.graph.context import current_or_none, running_loop
from taf.graph.door import LoopThread, Post, cross, is_loop_thread
from taf.graph.intake import NO_ANSWER, Invoke, WhilePaused
from taf.graph.multitask import MultitaskStrategy, Queued
from taf.graph.node import Call, Embeddable
from taf.graph.result import Receipt, RunResult, StateSnapshot
from taf.graph.runtime import CallOptions, Runtime, call_options
from taf.graph.stop import StopStatus, stop
from taf.graph.stream import DONE, StreamMode, Tap
from taf.graph.subgraph import SubgraphCall
from taf.state.interrupts import InterruptRecord

if TYPE_CHECKING:
    from taf.graph.recovery import ConfigOf, OnRecovered, Recovered, Supervisor
    from taf.graph.retention import Pruned

T = TypeVar("T")
Config = Mapping[str, Any]


class CompiledGraph(AsyncGraph, Embeddable):
    """An app. One object serves sync and async callers, many threads and several event loops at once.

    Each sync method does what its twin with an ``a`` in front does.
    """

    def __init__(self, runtime: Runtime, *, owns_checkpointer: bool) -> None:
        super().__init__(runtime, owns_checkpointer=owns_checkpointer)
        self._door: LoopThread | None = None
        self._door_lock = threading.Lock()

    def as_call(self) -> Call:
        """Return what runs this graph as a node of another one."""
        return SubgraphCall(self)

    def _loop_thread(self) -> LoopThread:
        with self._door_lock:
            if self._is_closed:
                raise AppClosedError
            if self._door is None:
                self._door = LoopThread(self)
            return self._door

    def _way(self, name: str, *, stacklevel: int) -> tuple[Post, LoopThread | None]:
        """Return the way to the loop that a sync call runs on, and what has to be closed behind it."""
        if running_loop() is None:
            context = current_or_none()
            if context is not None and context.host.loop.is_running():
                return context.host.loop.call_soon_threadsafe, None
            return self._loop_thread().post, None
        warnings.warn(
            f"{name}() was called inside a running event loop and blocks it. Use a{name}() there.",
            RuntimeWarning,
            stacklevel=stacklevel,
        )
        if not is_loop_thread():
            return self._loop_thread().post, None
        self._loop_thread()
        passing = LoopThread(self)  # a node on a door's own loop: that one is busy with it
        return passing.post, passing

    def _call(self, name: str, call: Coroutine[Any, Any, T]) -> T:
        try:
            post, passing = self._way(name, stacklevel=4)
        except BaseException:
            call.close()
            raise
        try:
            return cross(post, call)
        finally:
            if passing is not None:
                passing.close()

    # -- running -----------------------------------------------------------------------------------

    def invoke(
        self,
        input: Any = None,
        config: Config | None = None,
        *,
        while_paused: WhilePaused | None = None,
        multitask_strategy: MultitaskStrategy | None = None,
    ) -> RunResult:
        """Run a thread until it rests; see ``ainvoke``."""
        run = self.ainvoke(input, config, while_paused=while_paused, multitask_strategy=multitask_strategy)
        return self._call("invoke", run)

    def resume(
        self, config: Config, answer: Any = NO_ANSWER, *, by: str | None = None, interrupt_id: str | None = None
    ) -> RunResult:
        """Answer an open interrupt and go on; see ``aresume``."""
        return self._call("resume", self.aresume(config, answer, by=by, interrupt_id=interrupt_id))

    def stream(
        self,
        input: Any = None,
        config: Config | None = None,
        *,
        stream_mode: StreamMode = "events",
        while_paused: WhilePaused | None = None,
        multitask_strategy: MultitaskStrategy | None = None,
    ) -> Iterator[Any]:
        """Run a thread and yield what happens; see ``astream``."""
        post, passing = self._way("stream", stacklevel=3)
        tap, options = Tap(stream_mode, self.runtime.spec.schema), call_options(while_paused, multitask_strategy)
        launched: list[ActiveRun] = []
        try:
            chunks = cross(post, self._launch_tapped(input, config, tap, options, launched))
            while (chunk := chunks.get()) is not DONE:
                yield chunk
            with suppress(AppClosedError):  # the run is over: this only waits for publishers, and raises what it raised
                cross(post, launched[0].result())
                return
            launched[0].outcome.result()
        finally:
            for active in launched:
                active.leave()
            if passing is not None:
                passing.close()

    async def _launch_tapped(
        self,
        input: Any,
        config: Config | None,
        tap: Tap,
        options: CallOptions,
        launched: list[ActiveRun],
    ) -> queue.SimpleQueue[Any]:
        active = self.launch(Invoke(input), read_config(config), reader=tap.feed, options=options)
        launched.append(active)
        return tap.read_elsewhere(active)

    def submit(
        self,
        input: Any = None,
        config: Config | None = None,
        *,
        while_paused: WhilePaused | None = None,
        multitask_strategy: MultitaskStrategy | None = None,
    ) -> Receipt:
        """Begin a run or leave its message in the queue, and return at once; see ``asubmit``."""
        run = self.asubmit(input, config, while_paused=while_paused, multitask_strategy=multitask_strategy)
        return self._call("submit", run)

    def join(self, config: Config, run_id: str | None = None) -> RunResult:
        """Wait until a run is over; see ``ajoin``."""
        return self._call("join", self.ajoin(config, run_id))

    def stop(self, config: Config, reason: str = "stopped") -> StopStatus:
        """Stop the thread's run, wherever it is; see ``astop``."""
        thread_id = self._thread(config)
        told = self._flights.stop(thread_id, reason)  # from here: what follows only waits for it
        return self._call("stop", stop(self.runtime, told, thread_id, reason))

    # -- the queue ---------------------------------------------------------------------------------

    def queue(self, config: Config) -> tuple[Queued, ...]:
        """Return the messages that wait on a thread; see ``aqueue``."""
        return self._call("queue", self.aqueue(config))

    def edit_queued(self, config: Config, run_id: str, input: Any) -> bool:
        """Put other input in the place of a message that waits; see ``aedit_queued``."""
        return self._call("edit_queued", self.aedit_queued(config, run_id, input))

    def clear_queue(self, config: Config, run_id: str | None = None) -> tuple[Queued, ...]:
        """Take messages out of the queue; see ``aclear_queue``."""
        return self._call("clear_queue", self.aclear_queue(config, run_id))

    # -- looking -----------------------------------------------------------------------------------

    def get_state(self, config: Config) -> StateSnapshot:
        """Return how a thread stands; see ``aget_state``."""
        return self._call("get_state", self.aget_state(config))

    def get_history(self, config: Config, *, limit: int | None = None) -> list[StateSnapshot]:
        """Return the thread's checkpoints, newest first; see ``aget_history``."""
        return self._call("get_history", self.aget_history(config, limit=limit))

    def events(
        self, config: Config, *, after: int = 0, run_id: str | None = None, follow: bool = False
    ) -> Iterator[Event]:
        """Yield the thread's events above a sequence; see ``aevents``."""
        found = self.aevents(config, after=after, run_id=run_id, follow=follow)
        post, passing = self._way("events", stacklevel=3)
        try:
            while (event := cross(post, _next(found))) is not None:
                yield event
        finally:
            if running_loop() is None or passing is not None:
                cross(post, _close(found))
            if passing is not None:
                passing.close()

    def interrupts(self, config: Config) -> list[InterruptRecord]:
        """Return all interrupts of a thread; see ``ainterrupts``."""
        return self._call("interrupts", self.ainterrupts(config))

    def threads(
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
        """List threads; see ``athreads``."""
        found = self.athreads(
            status=status,
            graph=graph,
            since=since,
            before=before,
            newest_first=newest_first,
            after=after,
            limit=limit,
        )
        return self._call("threads", found)

    # -- changing from outside ---------------------------------------------------------------------

    def update_state(self, config: Config, update: Any, *, as_node: str | None = None) -> StateSnapshot:
        """Change a thread that rests; see ``aupdate_state``."""
        return self._call("update_state", self.aupdate_state(config, update, as_node=as_node))

    def fork(self, config: Config, *, thread_id: str | None = None) -> dict[str, Any]:
        """Begin a new thread at a checkpoint of another one; see ``afork``."""
        return self._call("fork", self.afork(config, thread_id=thread_id))

    def delete_thread(self, config: Config) -> bool:
        """Remove a thread that rests; see ``adelete_thread``."""
        return self._call("delete_thread", self.adelete_thread(config))

    def prune(
        self,
        config: Config | None = None,
        *,
        keep_last: int | None = None,
        older_than: timedelta | None = None,
        delete: bool = False,
        after: str = "",
        limit: int = 100,
    ) -> Pruned:
        """Let go of old records; see ``aprune``."""
        found = self.aprune(config, keep_last=keep_last, older_than=older_than, delete=delete, after=after, limit=limit)
        return self._call("prune", found)

    # -- recovering --------------------------------------------------------------------------------

    def recover(self, *, concurrency: int = 4, config: ConfigOf | None = None) -> Recovered:
        """Continue the runs whose owners died; see ``arecover``."""
        return self._call("recover", self.arecover(concurrency=concurrency, config=config))

    def supervise(
        self,
        *,
        interval: float = 5.0,
        concurrency: int = 4,
        config: ConfigOf | None = None,
        on_recovered: OnRecovered | None = None,
    ) -> Supervisor:
        """Return what does as ``recover`` does, again and again, within a ``with`` or an ``async with`` block.

        About every ``interval`` seconds it looks for lost runs. ``on_recovered`` is told what came of those that it
        continued. The end of the block ends the looking; what was continued goes on, until the app is closed.
        """
        from taf.graph.recovery import Supervisor  # only who recovers pays for it

        return Supervisor(
            self,
            self._call,
            interval=interval,
            concurrency=concurrency,
            config=config,
            on_recovered=on_recovered,
        )

    # -- leaving -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop what runs here and deliver what is buffered; see ``aclose``."""
        if self._is_closed:
            return
        self._call("close", super().aclose())
        if self._door is not None:
            self._door.close()

    async def aclose(self) -> None:
        """Stop what runs here, deliver what is buffered, and close the checkpointer if this app made it."""
        await super().aclose()
        if self._door is not None:
            await asyncio.to_thread(self._door.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)


async def _close(events: AsyncIterator[Event]) -> None:
    await cast("Any", events).aclose()


def recover(app: CompiledGraph, *, concurrency: int = 4, config: ConfigOf | None = None) -> Recovered:
    """Continue the runs of an app's graph whose owners died: ``app.recover``, as a function. See there."""
    return app.recover(concurrency=concurrency, config=config)
