"""A piece of work in Postgres: what is done with a connection, what follows from it, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias, TypeVar

import asyncpg

from taf.checkpointer.outcome import Outcome
from taf.checkpointer.postgres_connections import Connection
from taf.errors import TafError

T = TypeVar("T")
Work = Callable[[Connection, int], Awaitable[T]]
"""Takes a connection, and how many attempts were begun before: whether one of them was made is for it to find out."""

_QUIETLY = suppress(Exception)

MOST = 200
"""How many pieces of work one statement takes."""

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


class Piece(Outcome[T]):
    """A piece of work, what follows from its result, and what undoes it when it failed."""

    __slots__ = ()

    drivers = DRIVER_ERRORS

    def work(self, connection: Connection, attempt: int) -> Awaitable[T]:
        """Do it. See ``Work``."""
        raise NotImplementedError

    def follow(self, result: T) -> None:
        """Do what follows from the result. It tells others only."""

    def undo(self) -> None:
        """Take back what an attempt left in memory."""

    def succeeded(self, result: T) -> None:
        """Note the result. It is not told yet."""
        self.result = result
        with _QUIETLY:  # what it raises must not make a commit look like a failure
            self.follow(result)

    def failed(self, error: Exception) -> None:
        """Note why it was not done. It is not told yet."""
        self.fail(error)
        self.undo()


class Call(Piece[T]):
    """One that is made of functions."""

    __slots__ = ("_follow", "_work")

    def __init__(
        self,
        what: str,
        loop: asyncio.AbstractEventLoop | None,
        work: Work[T],
        follow: Callable[[T], None] | None = None,
    ) -> None:
        super().__init__(what, loop)
        self._work, self._follow = work, follow

    def work(self, connection: Connection, attempt: int) -> Awaitable[T]:
        """See ``Piece.work``."""
        return self._work(connection, attempt)

    def follow(self, result: T) -> None:
        """See ``Piece.follow``."""
        if self._follow is not None:
            self._follow(result)


P = TypeVar("P", bound=Piece[Any])

Alone: TypeAlias = Callable[[Piece[Any], int], None]
"""Has a piece of work done by itself, for which so many attempts were made: nobody knows whether it was done."""


def were_done(pieces: Sequence[P], results: Sequence[Any | None], alone: Alone) -> Sequence[P]:
    """Note what came of pieces of work, and have done alone what has no result of many. Return those to be told of."""
    done: list[P] = []
    for piece, result in zip(pieces, results, strict=True):
        if result is None and len(pieces) > 1:
            alone(piece, 0)
        else:
            piece.succeeded(result)
            done.append(piece)
    return done


def were_not_done(pieces: Sequence[Piece[Any]], alone: Alone) -> None:
    """Have pieces of work done alone of which nobody knows whether they were made together."""
    for piece in pieces:
        piece.undo()
        alone(piece, 1)


Together: TypeAlias = Callable[[Connection, Sequence[P]], Awaitable[Sequence[T | None]]]
"""Does many pieces of work at once, and returns the result of each, or None for one that has to be done alone."""


class Kind(Protocol):
    """Pieces of work that can be done together."""

    together: Together[Any, Any]

    def take(self, pieces: Sequence[Any]) -> None:
        """Have pieces done by the service, together. Raise ``CheckpointerClosedError``."""
        ...
