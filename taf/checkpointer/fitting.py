"""Says whether what was read has the types that were written: a store may hold anything, and JSON is of any shape."""

from __future__ import annotations

from types import NoneType
from typing import Any, TypeVar

from taf.state.agent_state import Ask
from taf.state.facts import (
    Edition,
    Entry,
    Failed,
    Forked,
    HandedOver,
    Output,
    Paused,
    Reopened,
    Resumed,
    RolledBack,
    Started,
    Stopped,
    Task,
    TaskRecorded,
    Updated,
    Upgraded,
)
from taf.state.run import Run
from taf.state.superseded import Partial, Superseded

_TEXT, _MAYBE, _NUMBER = (str,), (str, NoneType), (int,)
_KINDS: dict[type, dict[str, tuple[type, ...]]] = {
    Started: {"run_id": _TEXT, "graph": _TEXT, "version": _NUMBER},
    TaskRecorded: {"key": _TEXT, "node": _TEXT, "position": _NUMBER},
    Paused: {"node": _TEXT, "reason": _TEXT},
    Reopened: {"why": _TEXT},
    Resumed: {"run_id": _TEXT},
    Stopped: {"run_id": _TEXT, "reason": _TEXT, "node": _MAYBE, "superseded_by": _MAYBE},
    HandedOver: {"keep": _NUMBER},
    RolledBack: {"run_id": _TEXT, "sequence": _NUMBER},
    Superseded: {"run_id": _TEXT, "superseded_by": _TEXT, "node": _MAYBE, "ended": (float, int)},
    Failed: {"error": _TEXT, "message": _TEXT, "node": _MAYBE},
    Updated: {"node": _MAYBE},
    Upgraded: {"graph": _TEXT, "version": _NUMBER},
    Edition: {"graph": _TEXT, "version": _NUMBER},
    Forked: {"source": _TEXT, "sequence": _NUMBER},
    Task: {"node": _TEXT, "key": _TEXT},
    Output: {"node": _TEXT, "key": _TEXT},
    Entry: {"kind": _TEXT, "name": _TEXT},
    Partial: {"node": _TEXT, "attempt": _NUMBER, "key": _MAYBE},
    Ask: {"node": _TEXT, "reason": _TEXT},
    Run: {"run_id": _TEXT, "sequence": _NUMBER, "step": _NUMBER, "node": _MAYBE, "visit": _NUMBER, "begun": _NUMBER},
}

T = TypeVar("T")


def fitting(found: T) -> T:
    """Return what was read. Raise ``ValueError`` when one of its parts is of a type that is never written."""
    for name, kinds in _KINDS.get(type(found), {}).items():
        part: Any = getattr(found, name)
        if type(part) not in kinds:
            raise ValueError(f"{name} of a {type(found).__name__} is a {type(part).__name__}")
    return found


def texts(found: Any) -> tuple[str, ...]:
    """Return names that were read. Raise ``ValueError`` when one is no text."""
    names: tuple[Any, ...] = tuple(found)
    if not all(type(name) is str for name in names):
        raise ValueError("a name is no text")
    return names
