"""Connections that do not wait for the disk: only a power cut needs that, and no test makes one."""

from __future__ import annotations

import sqlite3
from typing import Any


class Hasty(sqlite3.Connection):
    """What a killed process wrote with it is there all the same."""

    def execute(self, statement: str, *given: Any) -> sqlite3.Cursor:
        if statement.startswith("PRAGMA synchronous"):
            statement = "PRAGMA synchronous=OFF"
        return super().execute(statement, *given)


def connect_with(factory: type[sqlite3.Connection]) -> None:
    """Have all connections of this process be of a type."""
    connect: Any = sqlite3.connect
    sqlite3.connect = lambda *args, **options: connect(*args, **options, factory=factory)
