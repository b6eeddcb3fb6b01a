"""Where threads are kept."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taf.checkpointer.base import BaseCheckpointer
from taf.checkpointer.memory import InMemoryCheckpointer

if TYPE_CHECKING:
    from taf.checkpointer.encrypted import EncryptedCheckpointer
    from taf.checkpointer.keys import Keys
    from taf.checkpointer.postgres import PgCheckpointer
    from taf.checkpointer.sqlite import SqliteCheckpointer

__all__ = [
    "BaseCheckpointer",
    "EncryptedCheckpointer",
    "InMemoryCheckpointer",
    "Keys",
    "PgCheckpointer",
    "SqliteCheckpointer",
]

_FILES = {
    "EncryptedCheckpointer": "encrypted",
    "Keys": "keys",
    "PgCheckpointer": "postgres",
    "SqliteCheckpointer": "sqlite",
}


def __getattr__(name: str) -> Any:
    """Load a store with a driver only when it is asked for."""
    if name in _FILES:
        return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
