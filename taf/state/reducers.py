"""How an update joins what a field already holds. Any callable ``(current, update) -> new`` is a reducer.

Those here, and ``operator.add`` on a list, are known to the state schema, which then stores and applies only what
is new; other callables work too and are compared with what was there before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from taf.state.messages import Message

T = TypeVar("T")
V = TypeVar("V")


def append(current: list[T], update: T | list[T]) -> list[T]:
    """Return ``current`` with one item, or each item of a list, at its end."""
    items = cast("list[T]", update) if isinstance(update, list) else [update]
    return [*current, *items]


def add_messages(current: list[Message], update: Message | list[Message]) -> list[Message]:
    """Return ``current`` with messages at its end; one whose ``id`` is there already replaces the old one."""
    merged = {message.id: message for message in current}
    for message in update if isinstance(update, list) else [update]:
        merged[message.id] = message
    return list(merged.values())


def merge(current: Mapping[str, V], update: Mapping[str, V]) -> dict[str, V]:
    """Return ``current`` with the keys of ``update`` laid over it."""
    return {**current, **update}


def replace(current: Any, update: T) -> T:
    """Return ``update``. Unlike a field without a reducer, parallel nodes may both write: the last in order wins."""
    return update
