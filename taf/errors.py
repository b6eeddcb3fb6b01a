"""Every exception that taf raises, in one tree.

TafError
├── GraphError                     a graph that cannot be built
│   └── GraphValidationError       all faults of a graph at once
├── ConfigError                    a config or option that makes no sense
├── StateError                     a value that does not fit the state
│   ├── InvalidInputError          what a caller passed in
│   ├── InvalidUpdateError         what a node (or a router) returned
│   ├── UpdateConflictError        two parallel nodes wrote one field that has no reducer
│   └── NotStorableError           a value that could not come back as it went in
├── RunError                       a run that cannot go on
│   ├── RecursionLimitError
│   ├── NodeTimeoutError
│   ├── NonDeterministicReplayError
│   ├── PauseSwallowedError
│   ├── InterruptRejectedError     a human said no to a question
│   ├── WorkFailedError            the caller that does the work said that it has failed
│   ├── WorkLostError              the caller that did the work is gone
│   └── AgentError                 an agent that a node speaks with failed
├── ThreadError                    a call that does not fit the thread's status
│   ├── InvalidTransitionError
│   ├── ThreadBusyError
│   ├── ThreadPausedError
│   ├── NothingToResumeError
│   │   └── AlreadyAnsweredError   also an AnswerError
│   ├── UnknownThreadError
│   ├── UnknownCheckpointError
│   ├── QueueWithdrawnError        a message was taken back before its turn
│   ├── StaleOwnerError
│   └── GraphChangedError
├── AnswerError                    an answer that changes nothing
│   ├── AlreadyAnsweredError
│   ├── AmbiguousResumeError
│   ├── UnknownInterruptError
│   ├── InvalidAnswerError
│   └── InterruptExpiredError
├── CheckpointerError              the store failed
│   ├── StoreUnavailableError
│   ├── StoreCorruptError
│   └── CheckpointerClosedError
├── OutsideNodeError               interrupt(), task() or emit() called where no node runs
└── AppClosedError

Constructors take facts and build one sentence; the facts stay attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean "x"?`` for the closest known name, or nothing."""
    from difflib import get_close_matches  # not before something is wrong: it is slow to load

    found = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{found[0]}"?' if found else ""


class TafError(Exception):
    """The root of the tree. ``thread_id``, ``run_id`` and ``node`` are set where they are known."""

    thread_id: str | None = None
    run_id: str | None = None
    node: str | None = None


# -- building --------------------------------------------------------------------------------------


class GraphError(TafError):
    """A graph that cannot be built."""


class GraphValidationError(GraphError):
    """All faults of a graph at once, each with a suggestion."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        lines = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__(f"The graph has {len(self.faults)} fault{'s'[: len(self.faults) > 1]}:{lines}")


class ConfigError(TafError):
    """A config or an option that makes no sense."""


# -- state -----------------------------------------------------------------------------------------


class StateError(TafError):
    """A value that does not fit the state."""


class InvalidInputError(StateError):
    """What a caller passed in does not fit the state."""


class InvalidUpdateError(StateError):
    """What a node or a router returned does not fit the state or the graph."""


class UpdateConflictError(StateError):
    """Two parallel nodes wrote one field in a way that cannot be merged."""

    def __init__(self, field: str, first: str, second: str, *, has_reducer: bool) -> None:
        self.field, self.nodes, self.has_reducer = field, (first, second), has_reducer
        cure = (
            "one of them set it whole by returning the state; return {...} with what is new instead"
            if has_reducer
            else f"it has no reducer; give it one, as {field}: Annotated[list[...], append], or let one node write it"
        )
        super().__init__(f'"{first}" and "{second}" ran in one step and both wrote field "{field}": {cure}.')


class NotStorableError(StateError):
    """A value that could not come back from the store as it went in."""

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path} cannot be stored: {why}")


# -- running ---------------------------------------------------------------------------------------


class RunError(TafError):
    """A run that cannot go on."""


class RecursionLimitError(RunError):
    """The pass has made as many steps as ``recursion_limit`` allows and is not at its end."""

    def __init__(self, limit: int, next_nodes: Sequence[str]) -> None:
        self.limit, self.next = limit, tuple(next_nodes)
        super().__init__(
            f"The run made {limit} step{'s'[: limit != 1]}, its recursion_limit, and would go on with "
            f"{', '.join(next_nodes)}. Raise recursion_limit in the config, or end the loop."
        )


class NodeTimeoutError(RunError):
    """A node took longer than its ``timeout``."""

    def __init__(self, node: str, seconds: float) -> None:
        self.node, self.seconds = node, seconds
        super().__init__(f'Node "{node}" took longer than its timeout of {seconds:g} s.')


class NonDeterministicReplayError(RunError):
    """A node that is run again asked for something else than its record holds."""

    def __init__(self, node: str, position: int, recorded: str, asked: str) -> None:
        self.node, self.position, self.recorded, self.asked = node, position, recorded, asked
        super().__init__(
            f'Node "{node}" was run again and its call number {position + 1} asked for {asked}, but the record holds '
            f"{recorded}. Code around interrupt() and task() has to take the same way each time."
        )


class PauseSwallowedError(RunError):
    """A node asked a question and then caught the pause instead of letting it through."""

    def __init__(self, node: str, question: str) -> None:
        self.node, self.question = node, question
        super().__init__(
            f'Node "{node}" asked "{question}" and swallowed the pause. Let BaseException pass, catch only Exception.'
        )


class InterruptRejectedError(RunError):
    """A human rejected a question that was asked by ``interrupt()``."""

    def __init__(self, reason: str, by: str | None, goto: str | None = None) -> None:
        self.reason, self.by, self.goto = reason, by, goto
        who = f" by {by}" if by else ""
        super().__init__(f"The question was rejected{who}{': ' if reason else ''}{reason}.")


class WorkFailedError(RunError):
    """The caller that does a task's work by itself said that it has failed."""


class WorkLostError(RunError):
    """A task's work was done by the caller itself, in a process that is gone."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"Task {run_id} was the work of a process that is gone. Create it again.")


class AgentError(RunError):
    """An agent in a process of its own could not be started, went away, or refused what it was asked for."""

    def __init__(self, command: Sequence[str], why: str) -> None:
        self.command, self.why = tuple(command), why
        super().__init__(f'The agent "{" ".join(command)}": {why}.')


# -- threads ---------------------------------------------------------------------------------------


class ThreadError(TafError):
    """A call that does not fit the thread's status."""


class InvalidTransitionError(ThreadError):
    """A transition that is not in the status table."""

    def __init__(self, status: str, move: str) -> None:
        self.status, self.move = status, move
        super().__init__(f'A thread that is {status} cannot be "{move}".')


class ThreadBusyError(ThreadError):
    """A run is active on the thread, here or elsewhere, or so many messages wait for their turn there."""

    def __init__(self, thread_id: str, run_id: str | None, waiting: int = 0) -> None:
        self.thread_id, self.run_id, self.waiting = thread_id, run_id, waiting
        what = f"is running{f' (run {run_id})' if run_id else ''}"
        if waiting:
            what = f"has {waiting} message{'s'[: waiting > 1]} that wait{'s'[: waiting == 1]} for a turn"
        super().__init__(
            f'Thread "{thread_id}" {what}. Wait for it, stop it, or pass another multitask_strategy than "reject".'
        )


class ThreadPausedError(ThreadError):
    """The thread waits for a human, and the call does not want to answer for one."""

    def __init__(self, thread_id: str, reasons: Sequence[str]) -> None:
        self.thread_id, self.reasons = thread_id, tuple(reasons)
        super().__init__(
            f'Thread "{thread_id}" is paused ({"; ".join(reasons)}). Answer it by resume(), cancel it by stop(), '
            'or pass while_paused="resume" or "supersede".'
        )


class NothingToResumeError(ThreadError):
    """The thread has nothing that could go on."""

    def __init__(self, thread_id: str, status: str) -> None:
        self.thread_id, self.status = thread_id, status
        super().__init__(
            f'Thread "{thread_id}" is {status}: there is nothing to resume. Pass new input to start a pass.'
        )


class UnknownThreadError(ThreadError):
    """The store has no such thread."""

    def __init__(self, thread_id: str) -> None:
        self.thread_id = thread_id
        super().__init__(f'There is no thread "{thread_id}" in this checkpointer.')


class UnknownCheckpointError(ThreadError):
    """The thread has no such checkpoint."""

    def __init__(self, thread_id: str, checkpoint_id: str) -> None:
        self.thread_id, self.checkpoint_id = thread_id, checkpoint_id
        super().__init__(f'Thread "{thread_id}" has no checkpoint "{checkpoint_id}".')


class QueueWithdrawnError(ThreadError):
    """A message was taken back before its turn had come."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        self.thread_id, self.run_id = thread_id, run_id
        super().__init__(f'The message of run "{run_id}" was taken out of the queue of thread "{thread_id}".')


class StaleOwnerError(ThreadError):
    """This writer has lost the thread to another one; nothing was written."""

    def __init__(self, thread_id: str, epoch: int) -> None:
        self.thread_id, self.epoch = thread_id, epoch
        super().__init__(f'Thread "{thread_id}" has a new owner: a write under epoch {epoch} was refused.')


class GraphChangedError(ThreadError):
    """The thread is at a place that the graph, or its state model, no longer has."""

    def __init__(self, thread_id: str, what: str, cure: str) -> None:
        self.thread_id, self.what, self.cure = thread_id, what, cure
        super().__init__(f'Thread "{thread_id}" does not fit this graph: {what}. {cure}')


# -- answers ---------------------------------------------------------------------------------------


class AnswerError(TafError):
    """An answer that was not accepted; nothing was changed."""


class AlreadyAnsweredError(AnswerError, NothingToResumeError):
    """The interrupt has been answered, or withdrawn, before."""

    def __init__(self, thread_id: str, interrupt_id: str, status: str, by: str | None, at: datetime | None) -> None:
        self.thread_id, self.interrupt_id, self.status, self.by, self.at = thread_id, interrupt_id, status, by, at
        who = f" by {by}" if by else ""
        when = f" at {at.isoformat(timespec='seconds')}" if at else ""
        Exception.__init__(self, f"Interrupt {interrupt_id} was already {status}{who}{when}.")


class AmbiguousResumeError(AnswerError):
    """Several interrupts are open and the answer names none."""

    def __init__(self, thread_id: str, open_interrupts: Sequence[tuple[str, str]]) -> None:
        self.thread_id, self.interrupt_ids = thread_id, tuple(i for i, _ in open_interrupts)
        lines = "".join(f"\n  - {i}: {reason}" for i, reason in open_interrupts)
        super().__init__(f'Thread "{thread_id}" has several open interrupts; name one by interrupt_id:{lines}')


class UnknownInterruptError(AnswerError):
    """The thread never had such an interrupt."""

    def __init__(self, thread_id: str, interrupt_id: str) -> None:
        self.thread_id, self.interrupt_id = thread_id, interrupt_id
        super().__init__(f'Thread "{thread_id}" has no interrupt "{interrupt_id}".')


class InvalidAnswerError(AnswerError):
    """The answer does not fit the question."""

    def __init__(self, thread_id: str, interrupt_id: str, why: str) -> None:
        self.thread_id, self.interrupt_id, self.why = thread_id, interrupt_id, why
        super().__init__(f"The answer to interrupt {interrupt_id} was not accepted: {why}")


class InterruptExpiredError(AnswerError):
    """The answer came after the interrupt's ``due_at``."""

    def __init__(self, thread_id: str, interrupt_id: str, due_at: datetime) -> None:
        self.thread_id, self.interrupt_id, self.due_at = thread_id, interrupt_id, due_at
        super().__init__(f"Interrupt {interrupt_id} was due at {due_at.isoformat(timespec='seconds')}: too late.")


# -- stores and doors ------------------------------------------------------------------------------


class CheckpointerError(TafError):
    """The store failed."""


class StoreUnavailableError(CheckpointerError):
    """The store could not be reached or could not write; nothing was half-written."""

    def __init__(self, what: str, why: object) -> None:
        self.what, self.why = what, why
        super().__init__(f"The checkpointer could not {what}: {why}")


class StoreCorruptError(CheckpointerError):
    """What the store holds cannot be read back."""

    def __init__(self, thread_id: str, sequence: int | None, why: object) -> None:
        self.thread_id, self.sequence, self.why = thread_id, sequence, why
        where = f", record {sequence}," if sequence is not None else ""
        super().__init__(f'What is stored of thread "{thread_id}"{where} cannot be read: {why}')


class CheckpointerClosedError(CheckpointerError):
    """The checkpointer was closed."""

    def __init__(self) -> None:
        super().__init__("The checkpointer is closed.")


class OutsideNodeError(TafError):
    """A function that belongs inside a node was called where no node runs."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what}() was called where no node is running. Call it from a node's function.")


class AppClosedError(TafError):
    """The app was closed."""

    def __init__(self) -> None:
        super().__init__("The app is closed.")
