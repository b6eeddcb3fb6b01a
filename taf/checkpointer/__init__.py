"""Where threads are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taf.checkpointer.base import BaseCheckpointer
from taf.checkpointer.memory import InMemoryCheckpointer

if TYPE_CHECKING:
    from taf.checkpointer.sqlite import SqliteCheckpointer

__all__ = ["BaseCheckpointer", "InMemoryCheckpointer", "SqliteCheckpointer"]


def __getattr__(name: str) -> Any:
    """Load a store with a driver only when it is asked for."""
    if name == "SqliteCheckpointer":
        from taf.checkpointer.sqlite import SqliteCheckpointer

        return SqliteCheckpointer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
