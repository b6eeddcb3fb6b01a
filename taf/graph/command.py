"""What a node or a router may say about where to go: ``Command`` and ``Send``, and the names of both ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

START: Final = "__start__"
"""Stands before the first node."""

END: Final = "__end__"
"""Stands behind the last node."""


@dataclass(frozen=True, slots=True)
class Send:
    """Run ``target`` as a branch of its own, on a copy of the state with ``update`` laid over it.

    Only what the branch returns is committed, not the overlay.
    """

    target: str
    update: Mapping[str, Any] = field(default_factory=dict[str, Any])


Destination: TypeAlias = str | Send
Goto: TypeAlias = Destination | Sequence[Destination]


@dataclass(frozen=True, slots=True)
class Command:
    """Returned by a node: change the state by ``update``, and go to ``goto`` instead of along the node's edges."""

    update: Any = None
    goto: Goto | None = None


def destinations(goto: Any) -> list[Destination] | None:
    """Return a goto as a list, or None when it is not made of names and ``Send``s."""
    found: list[Any] = [*goto] if isinstance(goto, list | tuple | set | frozenset) else [goto]
    return found if all(isinstance(one, str | Send) for one in found) else None
