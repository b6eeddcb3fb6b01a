"""Where threads are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taf.lazily import loads_lazily

if TYPE_CHECKING:
    from taf.checkpointer.base import BaseCheckpointer
    from taf.checkpointer.encrypted import EncryptedCheckpointer
    from taf.checkpointer.keys import Keys
    from taf.checkpointer.memory import InMemoryCheckpointer
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

__getattr__, __dir__ = loads_lazily(
    __name__,
    {
        "BaseCheckpointer": "base",
        "EncryptedCheckpointer": "encrypted",
        "InMemoryCheckpointer": "memory",
        "Keys": "keys",
        "PgCheckpointer": "postgres",
        "SqliteCheckpointer": "sqlite",
    },
)
