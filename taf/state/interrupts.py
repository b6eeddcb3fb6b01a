"""The record of a question to a human, and the decisions that close it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias


class InterruptKind(StrEnum):
    """``before`` and ``after`` a node are breakpoints; ``node`` is a question asked inside one."""

    BEFORE = "before"
    AFTER = "after"
    NODE = "node"


class InterruptStatus(StrEnum):
    """Open, or how it was closed."""

    OPEN = "open"
    ANSWERED = "answered"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


BREAKPOINT_ANSWERS = ("approve", "reject", "edit")
QUESTION_ANSWERS = ("respond", "reject")


@dataclass(frozen=True, slots=True)
class InterruptRecord:
    """A pause as something to be answered, once.

    ``answer_schema`` is the JSON Schema of the answer (None: anything). ``allowed`` names the kinds of decision.
    ``path`` leads through subgraphs to the node that waits. ``version`` grows with every change of ``status``.
    """

    id: str
    thread_id: str
    run_id: str
    node: str
    kind: InterruptKind
    reason: str
    created_at: datetime
    data: Any = None
    answer_schema: Mapping[str, Any] | None = None
    allowed: tuple[str, ...] = BREAKPOINT_ANSWERS
    due_at: datetime | None = None
    status: InterruptStatus = InterruptStatus.OPEN
    version: int = 1
    path: tuple[str, ...] = ()
    task: str | None = None
    position: int = 0
    inner_id: str | None = None
    answer: Any = None
    answered_by: str | None = None
    answered_at: datetime | None = None

    @property
    def is_question(self) -> bool:
        """True for one that wants an answer, and not only leave to go on."""
        return self.kind is InterruptKind.NODE


@dataclass(frozen=True, slots=True)
class Approve:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not run the guarded node; go on at ``goto`` (the end when not given)."""

    reason: str = ""
    goto: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """Change the state by ``update``, as a node's dict would, then go on."""

    update: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer a question with a value."""

    answer: Any


HumanDecision: TypeAlias = Approve | Reject | Edit | Respond
