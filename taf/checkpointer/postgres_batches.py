"""Group commit: pieces of work that wait together are done by one statement, in one transaction.

While nothing waits, each is done alone and at once. All of that is done in the caller's own event loop where it has a
connection. One that does not succeed together is done alone, which finds out why; so does each of them when the
statement failed, and looks first whether it was made.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from taf.checkpointer.outcome import tell
from taf.checkpointer.postgres_service import Service
from taf.checkpointer.postgres_work import MOST, P, Piece, Together, were_done, were_not_done

T = TypeVar("T")

LANES = 2
"""How many statements of one kind are under way at most: what comes meanwhile waits, and goes together."""


class Batches(Generic[P, T]):
    """Work of one kind."""

    def __init__(self, service: Service, together: Together[P, T]) -> None:
        self._service, self.together = service, together
        # Only the service's thread changes these.
        self._waiting: list[P] = []
        self._lanes = 0

    def have_done(self, piece: P) -> Coroutine[Any, Any, T]:
        """Have a piece of work done, together with others or alone, and return what waits for its outcome."""
        if not self._service.begin_here(piece, self):
            self.take((piece,))
        return piece.wait()

    def take(self, pieces: Sequence[P]) -> None:
        """See ``Kind.take``."""
        self._service.call(partial(self._take, pieces))

    # -- in the service's thread -------------------------------------------------------------------

    def _take(self, pieces: Sequence[P]) -> None:
        self._waiting += pieces
        if self._lanes < LANES:
            self._lanes += 1
            self._service.begin(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                pieces, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                if len(pieces) == 1:
                    await self._service.do(pieces[0])
                else:
                    await self._do(pieces)
        finally:
            self._lanes -= 1

    async def _do(self, pieces: Sequence[P]) -> None:
        try:
            results = await self._service.once(lambda connection, _: self.together(connection, pieces), 0)
        except Exception:
            were_not_done(pieces, self._alone)
        else:
            tell(were_done(pieces, results, self._alone))

    def _alone(self, piece: Piece[Any], attempts: int) -> None:
        self._service.begin(self._service.do(piece, first=attempts))
