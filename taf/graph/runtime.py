"""What all runs of one app share, given once by the constructor."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, get_args
from weakref import WeakKeyDictionary

import anyio

from taf.checkpointer.journal import Journal
from taf.errors import ConfigError
from taf.graph.deciding import Decide, approve_breakpoints
from taf.graph.handover import Handover
from taf.graph.intake import Intake, WhilePaused
from taf.graph.multitask import MultitaskStrategy, checked_strategy
from taf.graph.spec import GraphSpec
from taf.publisher.bus import Bus
from taf.tuples import NamedTuple

Clock = Callable[[], float]
"""Seconds since 1970."""


class Options(NamedTuple):
    """What ``compile`` was told, besides the graph and the store. Times in seconds."""

    lease_seconds: float = 15.0
    stop_grace: float = 1.0
    max_concurrency: int | None = None
    max_threads: int = 64
    while_paused: WhilePaused = "resume"
    multitask_strategy: MultitaskStrategy = "reject"
    keep_superseded: int = 5
    decide: Decide = approve_breakpoints
    clock: Clock = time.time

    def checked(self) -> Options:
        """Return the same. Raise ``ConfigError`` for a word that is none of those to choose from."""
        words = get_args(WhilePaused)
        if self.while_paused not in words:
            listed = ", ".join(f'"{word}"' for word in words)
            raise ConfigError(f"while_paused has to be one of {listed}, not {self.while_paused!r}.")
        checked_strategy(self.multitask_strategy)
        return self


class CallOptions(NamedTuple):
    """What a call may decide for itself. None: as ``compile`` was told."""

    while_paused: WhilePaused | None = None
    multitask_strategy: MultitaskStrategy | None = None

    def changes(self, options: Options) -> dict[str, Any]:
        """Return what differs from the options of the app."""
        return {n: v for n, v in self._asdict().items() if v is not None and v != getattr(options, n)}


AS_COMPILED = CallOptions()


def call_options(while_paused: WhilePaused | None, multitask_strategy: MultitaskStrategy | None) -> CallOptions:
    """Return what a call decides for itself: most decide nothing."""
    decides = while_paused is not None or multitask_strategy is not None
    return CallOptions(while_paused, multitask_strategy) if decides else AS_COMPILED


class Runtime:
    """The graph, the journal of its threads, what reads calls, the bus, the options, and the threads of sync nodes."""

    def __init__(self, spec: GraphSpec, journal: Journal, bus: Bus, options: Options) -> None:
        self.spec, self.journal, self.bus, self.options = spec, journal, bus, options
        self.intake = Intake(
            spec,
            decide=options.decide,
            while_paused=options.while_paused,
            clock=options.clock,
            handover=Handover(journal, options.keep_superseded),
        )
        self._limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, anyio.CapacityLimiter] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def with_options(self, **changes: Any) -> Runtime:
        """Return the same with some options changed; the worker threads are shared."""
        other = Runtime(self.spec, self.journal, self.bus, self.options._replace(**changes).checked())
        other._limiters, other._lock = self._limiters, self._lock
        return other

    def limiter(self) -> anyio.CapacityLimiter:
        """Return what bounds the worker threads of this app on the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            limiter = self._limiters.get(loop)
            if limiter is None:
                limiter = self._limiters[loop] = anyio.CapacityLimiter(self.options.max_threads)
            return limiter
