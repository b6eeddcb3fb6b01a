"""What plain input means to an open interrupt: what ``compile(decide=)`` takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from pydantic import BaseModel

from taf.state.interrupts import Approve, HumanDecision, InterruptRecord, Reject
from taf.state.messages import Message

Decide: TypeAlias = Callable[[Any, InterruptRecord], HumanDecision | Awaitable[HumanDecision | None] | None]


def approve_breakpoints(given: Any, record: InterruptRecord) -> HumanDecision | None:
    """Approve every breakpoint, whatever comes, and leave questions open: the default ``decide``."""
    return None if record.is_question else Approve()


DENIALS = ("no", "not", "never", "deny", "denied", "reject", "rejected", "cancel")


def approve_if(words: Sequence[str], *, deny: Sequence[str] = DENIALS) -> Decide:
    """Make a ``decide`` that reads the last message of the input.

    A breakpoint is rejected when the message has one of the words of ``deny``, approved when it has one of ``words``,
    and otherwise left open: the messages are kept and the thread stays paused. Case does not matter. Questions asked
    by ``interrupt()`` are left open.
    """
    yes, no = {word.lower() for word in words}, {word.lower() for word in deny}

    def decide(given: Any, record: InterruptRecord) -> HumanDecision | None:
        said = _last_text(given)
        found = {word.strip(".,:;!?\"'()[]").lower() for word in said.split()}
        if record.is_question:
            return None
        if found & no:
            return Reject(said)
        return Approve() if found & yes else None

    return decide


def _last_text(given: Any) -> str:
    if isinstance(given, Mapping):
        mapping = cast("Mapping[str, Any]", given)
        given = mapping.get("messages") or mapping.get("context") or ()
    elif isinstance(given, BaseModel) and not isinstance(given, Message):
        given = getattr(given, "messages", None) or getattr(given, "context", ())
    said = cast("Sequence[Any]", given) if isinstance(given, list | tuple) else (given,)
    last: Any = said[-1] if said else None
    text = getattr(last, "text", None)
    return str(text()) if callable(text) else last if isinstance(last, str) else ""
