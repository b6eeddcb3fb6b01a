"""Tasks that replace each other, one at a time for each user: a thin layer over runs that supersede each other.

What a task is, what it has shown and what was interrupted is asked of the store, so it is there after a restart. Kept
here is only what cannot be stored: the event and the asyncio task of work under way, and who wants to be called.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Self, TypeAlias

from taf.checkpointer.base import BaseCheckpointer
from taf.errors import InvalidInputError, TafError, UnknownThreadError, WorkFailedError
from taf.graph.blocking import CompiledGraph
from taf.graph.context import current_or_none
from taf.graph.handover import DROPPED
from taf.graph.multitask import MultitaskStrategy, Queued
from taf.graph.result import Receipt
from taf.ids import new_id
from taf.interruption.callbacks import StatusCallback, Subscription
from taf.interruption.feed import Feed
from taf.interruption.past import previous_of
from taf.interruption.task import TaskContext, TaskStatus, query_of
from taf.interruption.watch import Update, Watch, head_of, read_task, with_live
from taf.interruption.work import CancellationEvent, Desk, Handle, unwrapped
from taf.state.execution import ExecutionStatus
from taf.state.messages import Message

ToInput: TypeAlias = Callable[[str, str], Any]
"""Makes the input of a graph from a query and its intent."""
IsRelevant: TypeAlias = Callable[[str, Mapping[str, Any]], bool | Awaitable[bool]]
"""Says of a new query and the context of an interrupted task whether one is of use to the other."""

_own_tasks: ContextVar[Mapping[tuple[str, str], str]] = ContextVar("taf_own_tasks", default=MappingProxyType({}))
"""By manager and user, the task that the code that runs here works for: what it does is for that one, and no later."""

MANY = 64
"""How many tasks one asyncio task creates before it forgets those that are over."""


def as_message(query: str, intent: str) -> dict[str, Any]:
    """Return the query as a message of the user, the input of a graph whose state is an ``AgentState``."""
    return {"messages": [Message.text_message(query)]}


def as_fields(query: str, intent: str) -> dict[str, Any]:
    """Return the query and the intent as the fields of those names."""
    return {"query": query, "intent": intent, "shown": {}, "final_results": None}


class InterruptionManager:
    """Creates, interrupts and shows tasks, one at a time for each user.

    ``app``: the graph that does the work, or None: then the caller does it, saves what it has by
    ``save_partial_results`` and ends by ``complete_task`` or with the task of ``set_task_reference``. ``checkpointer``:
    where the tasks of that kind are kept (None: in memory). ``is_relevant``: whose context a new query gets; the newest
    as it stands. Used from one event loop. ``async with`` or ``aclose()`` ends it.
    """

    def __init__(
        self,
        app: CompiledGraph | None = None,
        *,
        checkpointer: BaseCheckpointer | None = None,
        tenant: str = "",
        to_input: ToInput | None = None,
        is_relevant: IsRelevant | None = None,
    ) -> None:
        self._id, self._desk = new_id(), Desk()
        self._is_own_work = app is None
        self.app = self._desk.compile(checkpointer, "taf.interruption", tenant) if app is None else app
        self._to_input = to_input or (as_fields if app is None else as_message)
        self._is_relevant = is_relevant
        self.feed = Feed()
        self._listening = self.app.listen(self.feed)
        self._following: set[asyncio.Task[None]] = set()
        self._subscriptions: list[Subscription] = []

    # -- tasks -------------------------------------------------------------------------------------

    async def create_task_context(self, user_id: str, query: str, intent: str = "") -> TaskContext:
        """Begin a task for the user. One that is under way is interrupted, has left, and its context can be read.

        Raise ``InvalidInputError`` for a query without a word in it.
        """
        head = await head_of(self.app, user_id)
        receipt = await self.submit(user_id, query, intent)
        self._work_for(user_id, receipt.run_id)
        handle = self._desk.handles.get(receipt.run_id)
        if handle is not None:
            await self._until_begun(handle, head)
        found = await self._read(user_id, receipt.run_id)
        if found is None:  # deleted meanwhile
            raise UnknownThreadError(user_id)
        return found

    async def submit(
        self, user_id: str, query: str, intent: str = "", *, strategy: MultitaskStrategy = "interrupt"
    ) -> Receipt:
        """Give the user's query to the graph, and say what became of it: begun, queued, or instead of another one.

        Raise ``InvalidInputError`` for a query without a word in it, and what ``asubmit`` raises.
        """
        if not query.strip():
            raise InvalidInputError("The message is empty.")
        return await self._begin(user_id, self._to_input(query, intent), strategy)

    async def resume(self, user_id: str) -> Receipt:
        """Go on with a task that was stopped. Raise ``NothingToResumeError`` and ``UnknownThreadError``."""
        if not await head_of(self.app, user_id):
            raise UnknownThreadError(user_id)
        return await self._begin(user_id, None, "reject")

    async def _begin(self, user_id: str, given: Any, strategy: MultitaskStrategy) -> Receipt:
        outcome = asyncio.get_running_loop().create_future() if self._is_own_work else None
        task_id = new_id()
        handle = self._desk.handles[task_id] = Handle(task_id, user_id, outcome=outcome)
        config = {"thread_id": user_id, "user_id": user_id, "run_id": task_id}
        try:
            receipt = await self.app.asubmit(given, config, multitask_strategy=strategy)
        except BaseException:
            self._forget(handle)
            raise
        if receipt.run_id == task_id:
            self._track(handle)
        else:  # a running task took the message in
            self._forget(handle)
        if receipt.outcome == "queued":
            now = datetime.now(UTC)
            self.feed.tell(_waiting(user_id, Queued(task_id, receipt.position or 0, strategy, given, now)))
        return receipt

    async def interrupt_task(self, user_id: str, preserve_context: bool = True) -> bool:
        """Stop what runs for the user, or waits for a human. Return False when there was nothing to stop.

        Without ``preserve_context`` the task is ``cancelled``, and the next one is told nothing of it.
        """
        is_over = (context := await self._read(user_id)) is None or context.status.is_over
        stopped = await self.app.astop({"thread_id": user_id}, "interrupted" if preserve_context else DROPPED)
        return stopped["was_running"] or not is_over

    async def save_partial_results(self, user_id: str, agent_name: str, results: Any) -> bool:
        """Keep what an agent has so far, for the task that the calling code works for.

        Return False, and keep nothing, when that task is over. Raise ``NotStorableError``.
        """
        context = current_or_none()
        if context is not None and context.thread_id == user_id:
            context.emit(results, None if agent_name == context.node else agent_name)
            return not context.stopping
        handle = self._own_handle(user_id)
        if handle is None:
            return False
        await handle.begun.wait()
        if handle.context is None or handle.cancel_event.is_set():
            return False
        handle.show(agent_name, results)
        return True

    async def complete_task(
        self, user_id: str, final_results: Mapping[str, Any], status: TaskStatus = TaskStatus.COMPLETED
    ) -> bool:
        """End the caller's own work, well or (``FAILED``) badly. Return False when the task was over before."""
        handle = self._own_handle(user_id)
        if handle is None or handle.over.is_set() or handle.cancel_event.is_set():
            return False
        if status is TaskStatus.FAILED:
            handle.fail(WorkFailedError(str(final_results.get("error", "The work has failed."))))
        else:
            handle.finish(final_results)
        await self.app.ajoin({"thread_id": user_id}, handle.task_id)
        return True

    async def set_task_reference(self, user_id: str, task: asyncio.Task[Any]) -> None:
        """Say which asyncio task does the work of the task that the calling code created last.

        It is cancelled with that task, at once if that is over by now; what it returns is the final result.
        """
        handle = self._own_handle(user_id)
        if handle is not None:
            handle.attach(task)
        elif (self._id, user_id) in _own_tasks.get():
            task.cancel()

    async def get_cancellation_event(self, user_id: str) -> asyncio.Event | None:
        """Return the event that is set once the task is to leave; None when nothing runs for the user.

        In a node it is that of the node's own run; for code that created a task, that of this task, over or not.
        """
        context = current_or_none()
        if context is not None and context.thread_id == user_id:
            return CancellationEvent(context)
        handle = self._own_handle(user_id)
        if handle is None and (self._id, user_id) in _own_tasks.get():
            over = asyncio.Event()
            over.set()
            return over
        if handle is None:
            found = await self._read(user_id)
            if found is None or found.status.is_over:
                return None
            handle = self._track(Handle(found.task_id, user_id))
        return handle.cancel_event

    # -- what there is to know ---------------------------------------------------------------------

    async def get_task_context(self, user_id: str, task_id: str | None = None) -> TaskContext | None:
        """Return the user's last task, or the one of that id."""
        return await self._read(user_id, task_id)

    async def get_status_dict(self, user_id: str) -> dict[str, Any]:
        """Return the user's last task as plain values, ``{"status": "idle"}`` when there is none."""
        found = await self._read(user_id)
        return {"status": TaskStatus.IDLE.value} if found is None else found.as_dict()

    async def get_previous_context(self, user_id: str, query: str) -> dict[str, Any] | None:
        """Return what the newest interrupted task leaves to a new query, or the newest that is relevant to it."""
        contexts = await self.previous_contexts(user_id)
        for previous in contexts[::-1]:
            if await self._is_of_use(query, previous):
                return previous
        return None

    async def _is_of_use(self, query: str, previous: Mapping[str, Any]) -> bool:
        answer = True if self._is_relevant is None else self._is_relevant(query, previous)
        return await answer if inspect.isawaitable(answer) else answer

    async def previous_contexts(self, user_id: str) -> list[dict[str, Any]]:
        """Return what the last interrupted tasks leave, newest last: one read of the thread."""
        return await previous_of(self.app, user_id, is_own_work=self._is_own_work)

    async def watch(self, user_id: str, after: int | None = None) -> AsyncGenerator[Update, None]:
        """Yield the user's task at each change: from now on, or whatever came above the sequence ``after``."""
        async with aclosing(Watch(self.app, self.feed, user_id).updates(after)) as updates:
            async for update in updates:
                yield Update(self._told(update.context), update.event)

    # -- callbacks ---------------------------------------------------------------------------------

    async def register_status_callback(self, user_id: str, callback: StatusCallback) -> None:
        """Have a function called at each change from now on."""
        head = await head_of(self.app, user_id)
        self._subscriptions.append(Subscription(user_id, callback, self.watch(user_id, head)))

    async def unregister_status_callback(self, user_id: str, callback: StatusCallback) -> None:
        """Have it called no more. One that is not registered is no fault."""
        for found in [one for one in self._subscriptions if (one.user_id, one.callback) == (user_id, callback)]:
            self._subscriptions.remove(found)
            await found.end()

    # -- the work under way here -------------------------------------------------------------------

    def _work_for(self, user_id: str, task_id: str) -> None:
        known = _own_tasks.get()
        if len(known) >= MANY:
            known = {key: found for key, found in known.items() if found in self._desk.handles}
        _own_tasks.set({**known, (self._id, user_id): task_id})

    def _own_handle(self, user_id: str) -> Handle | None:
        """Return what there is of the task that the calling code works for: the one it created, or else the last."""
        own = _own_tasks.get().get((self._id, user_id))
        if own is not None:
            return self._desk.handles.get(own)
        found = [handle for handle in self._desk.handles.values() if handle.user_id == user_id]
        return found[-1] if found else None

    def _track(self, handle: Handle) -> Handle:
        """Keep what belongs to a task until it is over."""
        self._desk.handles[handle.task_id] = handle
        task = asyncio.create_task(self._follow(handle), name=f"taf: task {handle.task_id}")
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        return handle

    async def _until_begun(self, handle: Handle, head: int) -> None:
        """Wait until a task's run is on record, or will never be."""
        config = {"thread_id": handle.user_id}
        async with aclosing(self.app.aevents(config, after=head, run_id=handle.task_id, follow=True)) as events:
            either = [asyncio.ensure_future(anext(events, None)), asyncio.ensure_future(handle.over.wait())]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in either:
                    one.cancel()
                await asyncio.wait(either)

    async def _follow(self, handle: Handle) -> None:
        try:
            result = await self.app.ajoin({"thread_id": handle.user_id}, handle.task_id)
            if result.status is ExecutionStatus.STOPPED or result.superseded_by is not None:
                handle.cancel()
        except TafError:  # it was taken out of the queue, or the app was closed: nothing runs
            handle.cancel()
        finally:
            self._forget(handle)

    def _forget(self, handle: Handle) -> None:
        self._desk.handles.pop(handle.task_id, None)
        handle.end()

    async def _read(self, user_id: str, task_id: str | None = None) -> TaskContext | None:
        await self._listening.settle()  # so that what was shown before is seen
        found = await read_task(self.app, user_id, task_id)
        if found is None and task_id is not None:
            waiting = [one for one in await self.app.aqueue({"thread_id": user_id}) if one.run_id == task_id]
            if waiting:
                return self._told(_waiting(user_id, waiting[0]))
            found = await read_task(self.app, user_id, task_id)  # it may have begun in between
        return None if found is None else self._told(with_live(found, self.feed.live(user_id)))

    def _told(self, context: TaskContext) -> TaskContext:
        told = unwrapped(context) if self._is_own_work else context
        handle = self._desk.handles.get(context.task_id)
        if handle is not None:
            return replace(told, cancel_event=handle.cancel_event, task=handle.task)
        if told.status in (TaskStatus.INTERRUPTED, TaskStatus.CANCELLED):
            told.cancel_event.set()
        return told

    # -- ending ------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Call nobody any more, and end the graph if it was made here."""
        self._listening()
        for subscription in self._subscriptions:
            await subscription.end()
        self._subscriptions.clear()
        if self._is_own_work:
            await self.app.aclose()
        for task in self._following:
            task.cancel()
        if self._following:
            await asyncio.wait(list(self._following))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _waiting(user_id: str, queued: Queued) -> TaskContext:
    """Return a task that is still in the queue."""
    given: Mapping[str, Any] = queued.input
    at = queued.submitted_at
    intent = str(given.get("intent") or "")
    context = TaskContext(queued.run_id, user_id, query_of(given), intent, TaskStatus.QUEUED, at, at)
    context.position = queued.position
    return context
