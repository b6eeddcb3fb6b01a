"""The life of a thread as one table. ``advance`` is the only way from one status to another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from taf.errors import InvalidTransitionError
from taf.state.superseded import Superseded


class ExecutionStatus(StrEnum):
    """Where a thread stands."""

    IDLE = "idle"
    RUNNING = "running"
    INTERRUPTED_BEFORE = "interrupted_before"
    INTERRUPTED_AFTER = "interrupted_after"
    STOPPED = "stopped"
    COMPLETED = "completed"
    ERROR = "error"

    @property
    def is_interrupted(self) -> bool:
        """True while the thread waits for a human."""
        return self in (_BEFORE, _AFTER)


class Move(StrEnum):
    """What can happen to a thread."""

    START = "started"
    PROGRESS = "moved on"
    PAUSE_BEFORE = "paused before a node"
    PAUSE_AFTER = "paused after a node"
    ANSWER = "answered"
    RESUME = "resumed"
    STOP = "stopped"
    COMPLETE = "completed"
    FAIL = "failed"
    UPDATE = "updated"
    REPOSITION = "repositioned"


_IDLE, _RUN, _BEFORE, _AFTER = (
    ExecutionStatus.IDLE,
    ExecutionStatus.RUNNING,
    ExecutionStatus.INTERRUPTED_BEFORE,
    ExecutionStatus.INTERRUPTED_AFTER,
)
_STOPPED, _DONE, _ERROR = ExecutionStatus.STOPPED, ExecutionStatus.COMPLETED, ExecutionStatus.ERROR

TRANSITIONS: dict[ExecutionStatus, dict[Move, ExecutionStatus]] = {
    _IDLE: {Move.START: _RUN, Move.UPDATE: _IDLE, Move.REPOSITION: _STOPPED},
    _RUN: {
        Move.START: _RUN,  # its owner died, and new input begins a new pass
        Move.PROGRESS: _RUN,
        Move.PAUSE_BEFORE: _BEFORE,
        Move.PAUSE_AFTER: _AFTER,
        Move.ANSWER: _RUN,  # its owner died while a question was open
        Move.RESUME: _RUN,  # its owner died, and somebody goes on
        Move.STOP: _STOPPED,
        Move.COMPLETE: _DONE,
        Move.FAIL: _ERROR,
        Move.UPDATE: _RUN,
    },
    _BEFORE: {
        Move.ANSWER: _BEFORE,
        Move.RESUME: _RUN,
        Move.STOP: _STOPPED,
        Move.UPDATE: _BEFORE,
        Move.REPOSITION: _STOPPED,
    },
    _AFTER: {
        Move.ANSWER: _AFTER,
        Move.RESUME: _RUN,
        Move.STOP: _STOPPED,
        Move.UPDATE: _AFTER,
        Move.REPOSITION: _STOPPED,
    },
    _STOPPED: {Move.START: _RUN, Move.RESUME: _RUN, Move.UPDATE: _STOPPED, Move.REPOSITION: _STOPPED},
    _DONE: {Move.START: _RUN, Move.UPDATE: _DONE, Move.REPOSITION: _STOPPED},
    _ERROR: {Move.START: _RUN, Move.ANSWER: _ERROR, Move.RESUME: _RUN, Move.UPDATE: _ERROR, Move.REPOSITION: _STOPPED},
}
"""status → move → next status. What is not here is refused; every status has its row."""


def advance(status: ExecutionStatus, move: Move) -> ExecutionStatus:
    """Return the status after a move. Raise ``InvalidTransitionError`` for one that is not in the table."""
    following = TRANSITIONS[status].get(move)
    if following is None:
        raise InvalidTransitionError(status.value, move.value)
    return following


@dataclass(frozen=True, slots=True)
class ExecutionMeta:
    """How a thread stands, to be read by nodes and callers. A view: it is not part of the user's data."""

    status: ExecutionStatus = ExecutionStatus.IDLE
    thread_id: str = ""
    run_id: str = ""
    step: int = 0
    current_node: str | None = None
    interrupted_node: str | None = None
    interrupt_reason: str | None = None
    error: str | None = None
    superseded: tuple[Superseded, ...] = ()

    def is_interrupted(self) -> bool:
        """True while the thread waits for a human."""
        return self.status.is_interrupted

    def is_running(self) -> bool:
        """True while a run is active."""
        return self.status is ExecutionStatus.RUNNING
