"""What callers get: the result of a run, and a snapshot of a thread. Both show what the store holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from taf.state.execution import ExecutionStatus
from taf.state.interrupts import InterruptRecord
from taf.state.messages import Message
from taf.state.run import Run
from taf.state.schema import StateSchema
from taf.state.superseded import Partial, Superseded


class RunResult(Mapping[str, Any]):
    """How a run ended: an object and a mapping, so ``result.status`` and ``result["status"]`` are the same.

    ``state`` is a copy that is made when it is first asked for.
    """

    _KEYS = (
        "interrupted",
        "status",
        "interrupt_reason",
        "interrupts",
        "current_node",
        "state",
        "messages",
        "thread_id",
        "run_id",
        "step",
        "superseded_by",
        "partials",
    )

    def __init__(self, schema: StateSchema, run: Run, run_id: str) -> None:
        self._schema, self._run, self._state = schema, run, None
        self.run_id = run_id

    @property
    def status(self) -> ExecutionStatus:
        """Where the thread stands."""
        return self._run.status

    @property
    def interrupted(self) -> bool:
        """True when the thread waits for a human."""
        return self._run.status.is_interrupted

    @property
    def interrupt_reason(self) -> str | None:
        """Why it waits, or why it was stopped."""
        return self._run.details.reason

    @property
    def interrupts(self) -> tuple[InterruptRecord, ...]:
        """The interrupts that are open."""
        return self._run.details.interrupts

    @property
    def superseded_by(self) -> str | None:
        """The run for which this one was stopped, if it was."""
        return self._run.details.superseded_by

    @property
    def current_node(self) -> str | None:
        """The node that ran last, or at which the run waits."""
        return self._run.node

    @property
    def thread_id(self) -> str:
        """The thread."""
        return self._run.thread_id

    @property
    def step(self) -> int:
        """How many steps the pass has made."""
        return self._run.step

    @property
    def state(self) -> Any:
        """The state, as an instance of the graph's state model."""
        if self._state is None:
            self._state = self._schema.state(self._run.values, self._run)
        return self._state

    @property
    def partials(self) -> tuple[Partial, ...]:
        """What nodes had emitted of a step that a stop cut short, each with ``node``, ``attempt``, ``key``, ``value``.

        It is kept until the thread goes on. None of it is committed: it is no part of the state.
        """
        return self._run.details.partials

    @property
    def messages(self) -> list[Message]:
        """All messages of the thread."""
        return list(getattr(self.state, "messages", None) or ())

    def __getitem__(self, key: str) -> Any:
        if key not in self._KEYS:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._KEYS)

    def __len__(self) -> int:
        return len(self._KEYS)

    def __repr__(self) -> str:
        why = f", reason={self.interrupt_reason!r}" if self.interrupt_reason else ""
        return f"RunResult(thread_id={self.thread_id!r}, status={self.status.value!r}, step={self.step}{why})"


Outcome: TypeAlias = Literal["started", "queued", "superseding", "steering"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What ``submit`` returns at once: the run that was begun, or that is to come, and what became of the message.

    ``supersedes``: the run that was told to make room. ``position``: in the queue; 0 is next.
    """

    thread_id: str
    run_id: str
    outcome: Outcome = "started"
    supersedes: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """A thread at one moment of its history. ``next`` names the nodes that would run.

    ``partials`` is what nodes had emitted of a step that a stop cut short; none of it is committed. ``superseded`` is
    what earlier runs left that were cut short for others, the newest last.
    """

    state: Any
    next: tuple[str, ...]
    interrupts: tuple[InterruptRecord, ...]
    status: ExecutionStatus
    step: int
    checkpoint_id: str
    created_at: datetime | None
    thread_id: str
    run_id: str
    current_node: str | None
    partials: tuple[Partial, ...] = ()
    superseded: tuple[Superseded, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """The state's fields by name."""
        state: BaseModel = self.state
        return {name: getattr(state, name) for name in type(state).model_fields} | (state.model_extra or {})

    @property
    def config(self) -> dict[str, Any]:
        """A config that names this checkpoint, for ``get_state`` and ``fork``."""
        return {"thread_id": self.thread_id, "checkpoint_id": self.checkpoint_id}


def snapshot_of(schema: StateSchema, run: Run, created_at: datetime | None) -> StateSnapshot:
    """Return what a run looks like from outside."""
    return StateSnapshot(
        state=schema.state(run.values, run),
        next=tuple(dict.fromkeys(task.node for task in run.frontier if task.key not in run.details.finished)),
        interrupts=run.details.interrupts,
        status=run.status,
        step=run.step,
        checkpoint_id=str(run.sequence),
        created_at=created_at,
        thread_id=run.thread_id,
        run_id=run.run_id,
        current_node=run.node,
        partials=run.details.partials,
        superseded=run.past,
    )


def waiting_nodes(at: StateSnapshot | RunResult | None) -> tuple[str, ...]:
    """Return the nodes at which a thread waits for a human."""
    records = () if at is None else at.interrupts
    return tuple(dict.fromkeys((record.path or (record.node,))[0] for record in records))
