"""Where a run is cut: a store that fails at one append, and nodes that are watched and stopped."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

from taf.checkpointer.base import (
    ALL_THREADS,
    BaseCheckpointer,
    Commit,
    Cut,
    Grant,
    InterruptRow,
    Known,
    Listing,
    Mail,
    Posted,
    Record,
    Signal,
    Snapshot,
    Stored,
    ThreadKey,
    ThreadRow,
    Watcher,
)
from taf.errors import StoreUnavailableError
from taf.graph import CompiledGraph
from taf.graph.context import Context
from taf.graph.node import Call, Node
from taf.graph.runtime import Runtime
from taf.graph.spec import GraphSpec


class CutStore(BaseCheckpointer):
    """Hands everything on to a store, and fails at the append of number ``at``, from 1: before it, or behind it.

    What fails stays down: nobody writes through this object again, as if its process were gone. ``written`` names the
    kinds of the records of each append, ``acknowledged`` the last one that each thread was promised to keep.
    """

    def __init__(self, store: BaseCheckpointer, at: int = 0, *, is_behind: bool = False) -> None:
        self._store, self._at, self._is_behind = store, at, is_behind
        self.is_down = False
        self.written: list[str] = []
        self.acknowledged: dict[ThreadKey, int] = {}

    async def append(self, commit: Commit) -> Sequence[Signal]:
        """See ``BaseCheckpointer.append``."""
        self._require_up()
        self.written.append(", ".join(record.kind for record in commit.records) or "no record")
        is_cut = len(self.written) == self._at
        if is_cut and not self._is_behind:
            self._fail("this append was refused")
        signals = await self._store.append(commit)
        if is_cut:
            self._fail("the answer of this append got lost")
        if commit.records:
            self.acknowledged[commit.key] = commit.records[-1].sequence
        return signals

    def _fail(self, why: str) -> None:
        self.is_down = True
        raise StoreUnavailableError("write", f"planted: {why}")

    def _require_up(self) -> None:
        if self.is_down:
            raise StoreUnavailableError("write", "planted: the store is down")

    async def acquire(
        self, key: ThreadKey, *, lease_seconds: float, known: Known | None = None, create: bool = True
    ) -> Grant | None:
        """See ``BaseCheckpointer.acquire``."""
        self._require_up()
        return await self._store.acquire(key, lease_seconds=lease_seconds, known=known, create=create)

    def abandon(self, key: ThreadKey, epoch: int) -> None:
        """See ``BaseCheckpointer.abandon``."""
        self._store.abandon(key, epoch)

    async def load(self, key: ThreadKey, known: Known | None = None) -> Stored | None:
        """See ``BaseCheckpointer.load``."""
        return await self._store.load(key, known)

    async def read(self, key: ThreadKey, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        """See ``BaseCheckpointer.read``."""
        return await self._store.read(key, after, limit)

    async def signal(self, key: ThreadKey, signal: Signal) -> bool:
        """See ``BaseCheckpointer.signal``."""
        return await self._store.signal(key, signal)

    async def post(self, key: ThreadKey, message: Posted, signal: Signal | None = None) -> int | None:
        """See ``BaseCheckpointer.post``."""
        self._require_up()
        return await self._store.post(key, message, signal)

    async def mail(self, key: ThreadKey) -> Mail:
        """See ``BaseCheckpointer.mail``."""
        return await self._store.mail(key)

    async def amend(self, key: ThreadKey, message_id: int, body: bytes | None) -> bool:
        """See ``BaseCheckpointer.amend``."""
        self._require_up()
        return await self._store.amend(key, message_id, body)

    def watch(self, key: ThreadKey, watcher: Watcher, *, signals_only: bool = False) -> Callable[[], None]:
        """See ``BaseCheckpointer.watch``."""
        return self._store.watch(key, watcher, signals_only=signals_only)

    async def interrupts(
        self, key: ThreadKey | None = None, *, interrupt_id: str | None = None, status: str | None = None
    ) -> Sequence[InterruptRow]:
        """See ``BaseCheckpointer.interrupts``."""
        return await self._store.interrupts(key, interrupt_id=interrupt_id, status=status)

    async def threads(
        self, tenant: str = "", listing: Listing = ALL_THREADS, *, after: str = "", limit: int = 100
    ) -> Sequence[ThreadRow]:
        """See ``BaseCheckpointer.threads``."""
        return await self._store.threads(tenant, listing, after=after, limit=limit)

    async def base(self, key: ThreadKey) -> Snapshot | None:
        """See ``BaseCheckpointer.base``."""
        return await self._store.base(key)

    async def prune(self, cut: Cut) -> bool:
        """See ``BaseCheckpointer.prune``."""
        self._require_up()
        return await self._store.prune(cut)

    async def delete(self, key: ThreadKey, *, expected: int | None = None) -> bool:
        """See ``BaseCheckpointer.delete``."""
        self._require_up()
        is_gone = await self._store.delete(key, expected=expected)
        if is_gone:
            self.acknowledged.pop(key, None)
        return is_gone

    def close(self) -> None:
        """The store belongs to whoever made it, and stays open."""


Stop = Callable[[], Coroutine[Any, Any, object]]


@dataclass
class Watch:
    """Counts what runs, and stops the thread once: when ``node`` runs for the ``visit``-th time.

    ``is_done``: when the node's code is through, and not before it. ``ran`` counts nodes, ``tasks`` the recorded
    tasks whose function came to its end, by node and name.
    """

    node: str = ""
    visit: int = 0
    is_done: bool = False
    stop: Stop | None = None
    has_stopped: bool = False
    ran: Counter[str] = field(default_factory=Counter[str])
    tasks: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    _stopping: concurrent.futures.Future[object] | asyncio.Future[object] | None = field(default=None, init=False)

    def over(self, node: Node) -> Node:
        """Return a node that does the same and is watched."""
        call = self._async(node) if node.is_async else self._sync(node)
        return Node(node.name, call, node.is_async, node.retry, node.timeout, node.subgraph)

    def _async(self, node: Node) -> Call:
        async def call(state: Any, context: Context) -> Any:
            is_cut = self._enter(node, context)
            if is_cut and not self.is_done:
                await self._until_stopped()
            result = await node.call(state, context)
            if is_cut:
                await self._until_stopped()
            return result

        return call

    def _sync(self, node: Node) -> Call:
        def call(state: Any, context: Context) -> Any:
            is_cut = self._enter(node, context)
            if is_cut and not self.is_done:
                self._stop_from_thread(context)
                return None  # it is refused
            result = node.call(state, context)
            if is_cut:
                self._stop_from_thread(context)
            return result

        return call

    def _enter(self, node: Node, context: Context) -> bool:
        self._watch_tasks(node.name, context)
        self.ran[node.name] += 1
        return self.stop is not None and node.name == self.node and self.ran[node.name] == self.visit

    async def _until_stopped(self) -> None:
        self.has_stopped = True
        assert self.stop is not None
        self._stopping = asyncio.ensure_future(self.stop())
        await asyncio.Event().wait()  # the stop ends this

    def _stop_from_thread(self, context: Context) -> None:
        self.has_stopped = True
        assert self.stop is not None
        self._stopping = asyncio.run_coroutine_threadsafe(self.stop(), context.host.loop)
        while not context.stopping:
            time.sleep(0.001)

    async def until_answered(self) -> None:
        """Wait for the answer of the stop."""
        if isinstance(self._stopping, concurrent.futures.Future):
            await asyncio.wrap_future(self._stopping)
        elif self._stopping is not None:
            await self._stopping

    def _watch_tasks(self, node: str, context: Context) -> None:
        run_task, run_task_sync = context.run_task, context.run_task_sync

        async def watched(name: str, fn: Callable[..., Any], *args: Any) -> Any:
            return await run_task(name, self._noting((node, name), fn), *args)

        def watched_sync(name: str, fn: Callable[..., Any], *args: Any) -> Any:
            return run_task_sync(name, self._noting((node, name), fn), *args)

        context.run_task, context.run_task_sync = watched, watched_sync  # type: ignore[method-assign]

    def _noting(self, task: tuple[str, str], fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(getattr(fn, "func", fn))
        def noting(*args: Any) -> Any:
            result = fn(*args)
            if isawaitable(result):
                return self._noted(task, result)
            self.tasks[task] += 1
            return result

        return noting

    async def _noted(self, task: tuple[str, str], result: Awaitable[Any]) -> Any:
        value = await result
        self.tasks[task] += 1
        return value


def watched(app: CompiledGraph, watch: Watch, before: str = "", after: str = "") -> CompiledGraph:
    """Return the app with its nodes watched, and with one more breakpoint where a node is named."""
    runtime, spec = app.runtime, app.runtime.spec
    nodes = {name: watch.over(node) for name, node in spec.nodes.items()}
    gates = spec.before | {before} - {""}, spec.after | {after} - {""}
    seen = GraphSpec(spec.schema, nodes, spec.edges, spec.branches, spec.joins, *gates, spec.renames, spec.version)
    return CompiledGraph(Runtime(seen, runtime.journal, runtime.bus, runtime.options), owns_checkpointer=False)
