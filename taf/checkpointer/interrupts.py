"""Interrupt records, and the other small things whose values nobody declared a type for ⇄ JSON types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any

from taf.checkpointer.fitting import fitting
from taf.serialization import Codec, Mark, pack, unpack
from taf.state.agent_state import Ask
from taf.state.execution import ExecutionStatus
from taf.state.facts import Entry
from taf.state.interrupts import InterruptKind, InterruptRecord, InterruptStatus
from taf.state.messages import Message
from taf.state.superseded import Partial

_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "thread_id": (str,),
    "run_id": (str,),
    "node": (str,),
    "reason": (str,),
    "created_at": (datetime,),
    "due_at": (datetime, NoneType),
    "answered_at": (datetime, NoneType),
    "answered_by": (str, NoneType),
    "task": (str, NoneType),
    "version": (int,),
    "position": (int,),
    "allowed": (tuple,),
    "path": (tuple,),
}


def encode_any(value: Any, where: str) -> list[Any]:
    """Turn a value whose type nobody declared into JSON types. ``where`` names it in a ``NotStorableError``."""
    packed, marks = pack(value, (where,))
    return [packed, marks] if marks else [packed]


def decode_any(stored: Sequence[Any]) -> Any:
    """Undo ``encode_any``."""
    return unpack(stored[0], decode_marks(stored[1])) if len(stored) > 1 else stored[0]


def decode_marks(stored: Iterable[Any]) -> list[Mark]:
    """Return marks as they were before JSON made lists of them."""
    return [(tuple(path), tag) for path, tag in stored]


_FIELDS = tuple(field.name for field in fields(InterruptRecord))
_values_of = attrgetter(*_FIELDS)


def encode_record(record: InterruptRecord) -> Any:
    """Turn an interrupt record into JSON types."""
    values = dict(zip(_FIELDS, _values_of(record), strict=True))
    values["kind"], values["status"] = record.kind.value, record.status.value
    return encode_any(values, "interrupt")


def decode_record(stored: Any) -> InterruptRecord:
    """Undo ``encode_record``; keys that a later version added are passed over."""
    values: dict[str, Any] = {key: value for key, value in decode_any(stored).items() if key in _FIELDS}
    values |= {"kind": InterruptKind(values["kind"]), "status": InterruptStatus(values["status"])}
    wrong = [name for name, kinds in _TYPES.items() if name in values and type(values[name]) not in kinds]
    if wrong:
        raise TypeError(f"{wrong[0]} of an interrupt is a {type(values[wrong[0]]).__name__}")
    return InterruptRecord(**values)


def encode_ask(ask: Ask) -> list[Any]:
    """Turn what ``set_interrupt`` asked for into JSON types."""
    return [ask.node, ask.reason, ask.status.value, encode_any(ask.data, "data")]


def decode_ask(stored: Sequence[Any]) -> Ask:
    """Undo ``encode_ask``."""
    node, reason, status, data = stored
    return fitting(Ask(node, reason, ExecutionStatus(status), decode_any(data)))


def encode_entry(entry: Entry) -> list[Any]:
    """Turn what a node got from a task or a human into JSON types."""
    return [entry.kind, entry.name, encode_any(entry.value, entry.name)]


def decode_entry(stored: Sequence[Any]) -> Entry:
    """Undo ``encode_entry``."""
    kind, name, value = stored
    return fitting(Entry(kind, name, decode_any(value)))


@cache
def _messages() -> Codec:
    return Codec(Message, "emit")


def encode_partials(partials: Iterable[Partial]) -> list[Any]:
    """Turn what nodes emitted into JSON types: any plain value, or a message."""
    return [[one.node, one.attempt, one.key, *_encode_shown(one.value)] for one in partials]


def _encode_shown(value: Any) -> list[Any]:
    if isinstance(value, Message):
        return [_messages().encode(value), "message"]
    return [encode_any(value, "emit")]


def decode_partials(stored: Iterable[Sequence[Any]]) -> tuple[Partial, ...]:
    """Undo ``encode_partials``."""
    return tuple(fitting(Partial(node, attempt, key, _decode_shown(*shown))) for node, attempt, key, *shown in stored)


def _decode_shown(stored: Sequence[Any], kind: str = "any") -> Any:
    return _messages().decode(stored[0], decode_marks(stored[1])) if kind == "message" else decode_any(stored)
