"""Graphs of functions with a human in the loop: they pause, ask typed questions, stop and resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taf.checkpointer import BaseCheckpointer, InMemoryCheckpointer
from taf.errors import (
    AlreadyAnsweredError,
    AmbiguousResumeError,
    AnswerError,
    AppClosedError,
    CheckpointerClosedError,
    CheckpointerError,
    ConfigError,
    GraphChangedError,
    GraphError,
    GraphValidationError,
    InterruptExpiredError,
    InterruptRejectedError,
    InvalidAnswerError,
    InvalidInputError,
    InvalidTransitionError,
    InvalidUpdateError,
    NodeTimeoutError,
    NonDeterministicReplayError,
    NothingToResumeError,
    NotStorableError,
    OutsideNodeError,
    PauseSwallowedError,
    RecursionLimitError,
    RunError,
    StaleOwnerError,
    StateError,
    StoreCorruptError,
    StoreUnavailableError,
    TafError,
    ThreadBusyError,
    ThreadError,
    ThreadPausedError,
    UnknownCheckpointError,
    UnknownInterruptError,
    UnknownThreadError,
    UpdateConflictError,
)
from taf.events import Event, EventType
from taf.graph import (
    END,
    START,
    Approve,
    Command,
    CompiledGraph,
    Context,
    Edit,
    InterruptRecord,
    Receipt,
    Reject,
    Respond,
    RetryPolicy,
    RunResult,
    Send,
    StateGraph,
    StateSnapshot,
    StopStatus,
    approve_if,
    emit,
    interrupt,
    interrupt_sync,
    task,
    task_sync,
)
from taf.publisher import BasePublisher, CompositePublisher, ConsolePublisher
from taf.state import AgentState, ExecutionMeta, ExecutionStatus, Message, add_messages, append, merge, replace

if TYPE_CHECKING:
    from taf.checkpointer import SqliteCheckpointer

__version__ = "0.1.0"

__all__ = [
    # graphs
    "END",
    "START",
    "Command",
    "CompiledGraph",
    "Context",
    "RetryPolicy",
    "Send",
    "StateGraph",
    # states
    "AgentState",
    "ExecutionMeta",
    "ExecutionStatus",
    "Message",
    "add_messages",
    "append",
    "merge",
    "replace",
    # in a node
    "emit",
    "interrupt",
    "interrupt_sync",
    "task",
    "task_sync",
    # answers
    "Approve",
    "Edit",
    "InterruptRecord",
    "Reject",
    "Respond",
    "approve_if",
    # what calls return
    "Event",
    "EventType",
    "Receipt",
    "RunResult",
    "StateSnapshot",
    "StopStatus",
    # stores
    "BaseCheckpointer",
    "InMemoryCheckpointer",
    "SqliteCheckpointer",
    # observers
    "BasePublisher",
    "CompositePublisher",
    "ConsolePublisher",
    # errors
    "AlreadyAnsweredError",
    "AmbiguousResumeError",
    "AnswerError",
    "AppClosedError",
    "CheckpointerClosedError",
    "CheckpointerError",
    "ConfigError",
    "GraphChangedError",
    "GraphError",
    "GraphValidationError",
    "InterruptExpiredError",
    "InterruptRejectedError",
    "InvalidAnswerError",
    "InvalidInputError",
    "InvalidTransitionError",
    "InvalidUpdateError",
    "NodeTimeoutError",
    "NonDeterministicReplayError",
    "NotStorableError",
    "NothingToResumeError",
    "OutsideNodeError",
    "PauseSwallowedError",
    "RecursionLimitError",
    "RunError",
    "StaleOwnerError",
    "StateError",
    "StoreCorruptError",
    "StoreUnavailableError",
    "TafError",
    "ThreadBusyError",
    "ThreadError",
    "ThreadPausedError",
    "UnknownCheckpointError",
    "UnknownInterruptError",
    "UnknownThreadError",
    "UpdateConflictError",
    # this release
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load a store with a driver only when it is asked for."""
    if name == "SqliteCheckpointer":
        from taf.checkpointer import SqliteCheckpointer

        return SqliteCheckpointer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
