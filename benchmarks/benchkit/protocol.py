"""What a system under test must offer.

One file per system lives in ``benchkit/systems``. It defines one or more
subclasses of :class:`System`. Each workload asks the system for a driver through
one factory method; a factory that the system cannot honour raises
:class:`Unsupported` with a short reason, which ends up in the report.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

LABEL = "a short label"


class Unsupported(Exception):
    """The system has no such feature (with this store)."""


@dataclass(frozen=True)
class Store:
    """Where the system keeps its checkpoints during one cell.

    ``kind`` is ``none`` (no checkpointer), ``memory``, ``sqlite`` or ``postgres``.
    """

    kind: str
    sqlite_path: str = ""
    pg_url: str = ""
    redis_url: str = ""


Run = Callable[[str], Awaitable[int]]
"""``await run(thread_id)`` starts a fresh thread, finishes it, returns a number to verify."""


class PauseDriver(Protocol):
    async def pause(self, thread_id: str) -> None:
        """Start a fresh thread and return once it is durably paused before node 2."""

    async def resume(self, thread_id: str) -> int:
        """Load the paused thread, run nodes 2 and 3, return the counter (3)."""


class ChatDriver(Protocol):
    async def turn(self, thread_id: str, user: str, assistant: str) -> None:
        """One conversation turn: two nodes, two messages, loading the thread first."""

    async def length(self, thread_id: str) -> int:
        """Messages now stored in the thread (untimed; -1 when it cannot say)."""


class SleepDriver(Protocol):
    """Runs one node that sleeps. ``started`` is called from inside that node."""

    async def run(self, thread_id: str) -> None:
        """Returns or raises when the run is over."""

    async def stop(self, thread_id: str) -> None:
        """Stop the run, called from another task on the same loop."""

    def stop_from_thread(self, thread_id: str) -> None:
        """Stop the run, called from another OS thread. Raise Unsupported if there is no way."""

    async def stored(self, thread_id: str) -> str:
        """In words: what the store holds after the stop."""


@dataclass
class System:
    """Base class. ``open`` and ``close`` are never timed."""

    store: Store
    concurrency: int = 1
    notes: list[str] = field(default_factory=list)

    # identity, overridden per class
    name = "?"
    distribution = ""  # what a user would pip install
    source = ""  # where that is, when no index has it
    extras: tuple[str, ...] = ()  # what they add for SQLite and Postgres
    import_line = "pass"  # the main API
    stores: tuple[str, ...] = ("none",)
    only: tuple[str, ...] = ()  # the workloads this variant is for; empty for all
    baseline = False  # True for the floors: nothing that a user would install

    @classmethod
    def version(cls) -> str:
        from importlib.metadata import version

        return version(cls.distribution) if cls.distribution else "-"

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def steps(self, shape: str, n: int) -> Run:
        """W1. ``shape`` is "chain" (n nodes in a row) or "loop" (one node, n times)."""
        raise Unsupported("not implemented")

    async def pause_resume(self) -> PauseDriver:
        """W2. Three nodes, pause before the second."""
        raise Unsupported("no pause and resume")

    async def chat(self) -> ChatDriver:
        """W3. A growing message list."""
        raise Unsupported("no thread state")

    async def yielding(self, n: int) -> Run:
        """W4. n nodes, each awaiting ``asyncio.sleep(0)``."""
        raise Unsupported("not implemented")

    async def fan_out(self, n: int) -> Run:
        """W5. One node maps to n branches, a join adds up 0..n-1."""
        raise Unsupported("no fan-out")

    async def sleeper(self, seconds: float, started: Callable[[], None]) -> SleepDriver:
        """W6. One node sleeping ``seconds`` after calling ``started``."""
        raise Unsupported("no way to stop a run")
