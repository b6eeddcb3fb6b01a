"""What a journal is made of: frozen facts, each something that happened to a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from taf.state.agent_state import Ask
from taf.state.channel import Op
from taf.state.interrupts import InterruptKind, InterruptRecord
from taf.state.superseded import Partial, Superseded
from taf.tuples import NamedTuple


class Task(NamedTuple):
    """One node that is to run. ``key`` is its name within the step; ``overlay`` what a ``Send`` laid over the state."""

    node: str
    key: str
    overlay: Mapping[str, Any] | None = None


class Output(NamedTuple):
    """What a node returned: the changes that it wants, before they are joined with the state.

    ``goto`` (None: its edges) comes from a ``Command``.
    """

    key: str
    node: str
    ops: tuple[Op, ...] = ()
    goto: tuple[Task, ...] | None = None
    ask: Ask | None = None


Ran: TypeAlias = tuple[str, str, Sequence[Op]]
"""A node that ran in a step, the key of its task, and what it changed. A plain tuple, as ``Op`` is one."""


class Entry(NamedTuple):
    """What a node got from ``task()`` (``kind`` "task") or from a human ("answer", "reject"), in the order it asked."""

    kind: str
    name: str
    value: Any


class Edition(NamedTuple):
    """What a thread was last written under: the fingerprint of the graph ("": unknown), the version of the state."""

    graph: str = ""
    version: int = 1


class Started(NamedTuple):
    """A pass began: the input is in ``ops``, what runs first in ``frontier``."""

    run_id: str
    ops: tuple[Op, ...]
    frontier: tuple[Task, ...]
    graph: str = ""
    version: int = 1


class Stepped(NamedTuple):
    """A step was done, by all its nodes.

    ``reached`` names, for each of several nodes, the keys of the tasks that it led to: kept where a human may undo it.
    """

    ran: tuple[Ran, ...]
    frontier: tuple[Task, ...]
    asks: tuple[tuple[str, str, Ask], ...] = ()
    carried: tuple[Task, ...] = ()
    joins: Mapping[str, tuple[str, ...]] | None = None
    reached: Mapping[str, tuple[str, ...]] = {}


class TaskRecorded(NamedTuple):
    """A ``task()`` inside a node has its result."""

    key: str
    node: str
    position: int
    entry: Entry


class Paused(NamedTuple):
    """The run waits for a human. ``finished`` are the nodes of the step that are done already."""

    kind: InterruptKind
    node: str
    reason: str
    records: tuple[InterruptRecord, ...]
    finished: tuple[Output, ...] = ()


class Answered(NamedTuple):
    """A human closed an interrupt. ``frontier`` is what runs next where the answer changed that."""

    record: InterruptRecord
    entry: Entry | None = None
    frontier: tuple[Task, ...] | None = None
    ops: tuple[Op, ...] = ()


class Reopened(NamedTuple):
    """An answer turned out not to fit the question, which is open again."""

    record: InterruptRecord
    why: str


class Resumed(NamedTuple):
    """A run goes on."""

    run_id: str
    ops: tuple[Op, ...] = ()


class Stopped(NamedTuple):
    """The run was stopped, or a pause was cancelled; open interrupts are withdrawn.

    ``superseded_by``: the run that comes in its place, where it was stopped for that.
    """

    run_id: str
    reason: str
    node: str | None
    finished: tuple[Output, ...] = ()
    partials: tuple[Partial, ...] = ()
    unwinding: tuple[str, ...] = ()
    superseded_by: str | None = None


class Completed(NamedTuple):
    """The pass is at its end."""


class Failed(NamedTuple):
    """A node, a router or the recursion limit ended the run."""

    error: str
    message: str
    node: str | None
    finished: tuple[Output, ...] = ()


class Updated(NamedTuple):
    """The state was changed from outside. With a ``frontier`` the thread was put elsewhere in its graph."""

    ops: tuple[Op, ...]
    node: str | None = None
    frontier: tuple[Task, ...] | None = None


class Steered(NamedTuple):
    """Messages came in while the run went on, or waited for a human. ``messages``: the ids that they were given."""

    messages: tuple[str, ...]
    ops: tuple[Op, ...]


class HandedOver(NamedTuple):
    """A run that was cut short left this to the next ones. The last ``keep`` of such are kept."""

    left: Superseded
    keep: int


class RolledBack(NamedTuple):
    """The state is again what it was at ``sequence``, before a run that was cut short."""

    run_id: str
    sequence: int
    ops: tuple[Op, ...]


class Upgraded(NamedTuple):
    """The thread goes on under a graph that has changed.

    ``renamed`` leads from old names of nodes to new ones, ``joins`` likewise; ``ops`` is what migrations changed and
    what new fields begin with.
    """

    graph: str
    version: int = 1
    renamed: Mapping[str, str] = {}
    joins: Mapping[str, str] = {}
    ops: tuple[Op, ...] = ()


class Forked(NamedTuple):
    """The thread began as a copy of another one's checkpoint; ``run`` is that one's stored form, without its values.

    ``given``: what a subgraph's thread began with, in the form of the version of ``run``.
    """

    source: str
    sequence: int
    run: Any
    ops: tuple[Op, ...]
    given: tuple[Op, ...] = ()


Fact: TypeAlias = (
    Started
    | Stepped
    | TaskRecorded
    | Paused
    | Answered
    | Reopened
    | Resumed
    | Stopped
    | Completed
    | Failed
    | Updated
    | Steered
    | HandedOver
    | RolledBack
    | Upgraded
    | Forked
)
