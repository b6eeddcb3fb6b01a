"""A piece of work in Postgres: what is done with a connection, what follows from it, and who is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

import asyncpg

from taf.checkpointer.outcome import Outcome
from taf.checkpointer.postgres_connections import Connection
from taf.errors import TafError

T = TypeVar("T")
Work = Callable[[Connection, int], Awaitable[T]]
"""Takes a connection, and how many attempts were begun before: whether one of them was made is for it to find out."""

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.TooManyConnectionsError,
    OSError,
    TimeoutError,
)
"""What may go away when it is tried again. Nothing is known then of what was under way."""

DRIVER_ERRORS = (*LOST, asyncpg.PostgresError, UnicodeError, OverflowError, ValueError)


def leaves_whole(error: BaseException) -> bool:
    """Say whether a connection may be used again after an error. After others nobody knows what it was doing."""
    is_closing = isinstance(error, asyncpg.exceptions.OperatorInterventionError)
    return isinstance(error, (asyncpg.PostgresError, TafError)) and not is_closing


class Piece(Generic[T]):
    """A piece of work, what follows from its result, what undoes it when it failed, and who is told."""

    def __init__(
        self,
        outcome: Outcome[T],
        work: Work[T],
        after: Callable[[T], None] | None = None,
        undo: Callable[[], None] | None = None,
    ) -> None:
        self.outcome, self.work, self._after, self._undo = outcome, work, after, undo

    def succeeded(self, result: T) -> None:
        """Note the result. It is not told yet."""
        self.outcome.result = [result]
        if self._after is not None:
            # It tells others only; what it raises must not make a commit look like a failure.
            with suppress(Exception):
                self._after(result)

    def failed(self, error: Exception) -> None:
        """Note why it was not done. It is not told yet."""
        self.outcome.fail(error)
        self.undo()

    def undo(self) -> None:
        """Take back what an attempt left in memory."""
        if self._undo is not None:
            self._undo()
