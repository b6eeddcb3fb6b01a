"""The points of a Postgres store at which it can be broken off: before each of its statements, and behind the answer.

A statement that was sent and not answered was made or not: one of the two comes to the same.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import asyncpg

Fault = Callable[[Any], None]
STATEMENTS = ("fetch", "fetchrow", "fetchval", "execute")


class Points:
    """Counts the points of all stores of this process, those of the heartbeat not; at the ``at``-th comes the fault.

    ``is_of_server``: it is one that the server answers with, so that nothing was done, and it is in no transaction.
    """

    def __init__(self, at: int, fault: Fault, *, is_of_server: bool = False) -> None:
        self.seen, self.at, self.fault, self.is_of_server = 0, at, fault, is_of_server

    def hook(self) -> None:
        for name in STATEMENTS:
            setattr(asyncpg.Connection, name, self._hooked(getattr(asyncpg.Connection, name)))

    def _hooked(self, method: Any) -> Any:
        async def hooked(connection: Any, statement: str, *given: Any, **options: Any) -> Any:
            # Of the pool, or of an event loop's own.
            is_point = connection._proxy is not None or threading.current_thread().name != "taf-postgres"
            if is_point and not (self.is_of_server and statement.startswith(("BEGIN", "COMMIT", "ROLLBACK"))):
                self._reach(connection)
            answer = await method(connection, statement, *given, **options)
            if is_point and not self.is_of_server:
                self._reach(connection)
            return answer

        return hooked

    def _reach(self, connection: Any) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.fault(connection)


def kill(connection: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def lose(connection: Any) -> None:
    connection.terminate()
    raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


def refuse(connection: Any) -> None:
    raise asyncpg.DiskFullError("could not extend file: No space left on device")
