"""Graphs of functions with a human in the loop: they pause, ask typed questions, stop and resume."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taf.checkpointer import (
        BaseCheckpointer,
        EncryptedCheckpointer,
        InMemoryCheckpointer,
        Keys,
        PgCheckpointer,
        SqliteCheckpointer,
    )
    from taf.errors import (
        AgentError,
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
        QueueWithdrawnError,
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
        WorkFailedError,
        WorkLostError,
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
        Pruned,
        Receipt,
        Recovered,
        Reject,
        Respond,
        RetryPolicy,
        RunResult,
        Send,
        StateGraph,
        StateSnapshot,
        StopStatus,
        Supervisor,
        approve_if,
        emit,
        interrupt,
        interrupt_sync,
        recover,
        task,
        task_sync,
    )
    from taf.publisher import BasePublisher, CompositePublisher, ConsolePublisher
    from taf.state import AgentState, ExecutionMeta, ExecutionStatus, Message, add_messages, append, merge, replace

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
    "Pruned",
    "Receipt",
    "Recovered",
    "recover",
    "RunResult",
    "StateSnapshot",
    "StopStatus",
    "Supervisor",
    # stores
    "BaseCheckpointer",
    "EncryptedCheckpointer",
    "InMemoryCheckpointer",
    "Keys",
    "PgCheckpointer",
    "SqliteCheckpointer",
    # observers
    "BasePublisher",
    "CompositePublisher",
    "ConsolePublisher",
    # errors
    "AgentError",
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
    "QueueWithdrawnError",
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
    "WorkFailedError",
    "WorkLostError",
    # this release
    "__version__",
]


_ROOMS = ("errors", "events", "state", "checkpointer", "publisher", "graph")
"""Where the public names come from, the quickest to load first."""


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for: who only catches an error does not pay for the engine."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        for room in _ROOMS:
            module = import_module(f"{__name__}.{room}")
            if name in getattr(module, "__all__", vars(module)):
                found = globals()[name] = getattr(module, name)
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_ROOMS]
