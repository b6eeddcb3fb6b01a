"""Reads threads from the rows of Postgres, inside the caller's statement or transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from taf.checkpointer import postgres_rows as rows
from taf.checkpointer.base import Known, Record, Snapshot, Stored, ThreadKey
from taf.checkpointer.postgres_connections import Connection
from taf.checkpointer.postgres_pulse import Pulse
from taf.checkpointer.postgres_rows import Row, Statements, ThreadState, encode_name

News: TypeAlias = Mapping[int, Sequence[Row]]
"""Snapshots and records by the number of their thread, in the order in which they are read."""


class Reader:
    """Finds threads and loads them, for one owner: of what its process holds it knows better than the rows."""

    def __init__(self, statements: Statements, pulse: Pulse) -> None:
        self._sql, self._pulse = statements, pulse

    def place(self, key: ThreadKey) -> tuple[bytes, bytes, str, bool]:
        """Return what statements ask for first: the thread's names, this owner, and whether it holds the thread."""
        pulse = self._pulse
        is_held = pulse.lease(key) is not None or pulse.is_claiming(key)
        return encode_name(key.tenant), encode_name(key.thread), pulse.owner, is_held

    async def find(self, connection: Connection, key: ThreadKey) -> ThreadState | None:
        """Return a thread's row."""
        row = await connection.fetchrow(self._sql.find, *self.place(key))
        return None if row is None else rows.state_of(row, key.thread)

    async def load(self, connection: Connection, key: ThreadKey, known: Known | None) -> Stored | None:
        """Return a thread, within a transaction whose statements see the same; None without records."""
        state = await self.find(connection, key)
        if state is None or not state.head:
            return None
        return await self.stored(connection, key, state, known, is_owned=state.is_owned)

    async def news(self, connection: Connection, wanted: Sequence[tuple[ThreadState, Known | None]]) -> News:
        """Return what readers do not know yet of threads: the rows that ``stored`` makes its answers of."""
        after = {state.thread: start for state, known in wanted if (start := _start(state, known)) != state.head}
        if len(after) == 1:  # by far the plainer statement
            ((thread, start),) = after.items()
            return {thread: await connection.fetch(self._sql.news, thread, start)}
        found: dict[int, list[Row]] = {}
        if after:
            for row in await connection.fetch(self._sql.news_of_many, list(after), list(after.values())):
                found.setdefault(row["thread"], []).append(row)
        return found

    async def stored(
        self,
        connection: Connection,
        key: ThreadKey,
        state: ThreadState,
        known: Known | None,
        news: News | None = None,
        *,
        is_owned: bool = False,
    ) -> Stored:
        """Return what the reader does not know yet of a thread. Raise ``StoreCorruptError``."""
        news = await self.news(connection, [(state, known)]) if news is None else news
        found = news.get(state.thread, ())
        snapshot = _snapshot_of([row for row in found if row["part"] is not None])
        items: Sequence[tuple[int, bytes]] = ()
        if snapshot is not None and snapshot.items_from is not None:
            grown = await connection.fetch(self._sql.items, state.thread, snapshot.items_from, snapshot.sequence)
            items = [(row["sequence"], row["items"]) for row in grown]
        tail = [rows.record_of(row, key.thread) for row in found if row["part"] is None]
        head = (state.born, state.head, state.status, state.run_id, is_owned, knows(state, known))
        return Stored(*head, snapshot, items, tail, state.floor)

    async def base(self, connection: Connection, thread: int) -> Snapshot | None:
        """Return what stands in the place of pruned records."""
        return _snapshot_of(await connection.fetch(self._sql.base, thread))

    async def records(
        self, connection: Connection, key: ThreadKey, thread: int, after: int, limit: int | None
    ) -> Sequence[Record]:
        """Return records whose sequence is above ``after``; no limit means all."""
        found = await connection.fetch(self._sql.records, thread, after, limit)
        return [rows.record_of(row, key.thread) for row in found]


def _start(state: ThreadState, known: Known | None) -> int | None:
    """Return behind which record a reader has news of a thread; None for all there is, from the newest snapshot on."""
    if known is not None and knows(state, known):
        return known.head
    return None if state.head or state.floor else 0


def _snapshot_of(parts: Sequence[Row]) -> Snapshot | None:
    if not parts:
        return None
    return Snapshot(parts[0]["sequence"], parts[0]["items_from"], tuple([row["body"] for row in parts]))


def knows(state: ThreadState, known: Known | None) -> bool:
    """Say whether what a reader knows is part of the thread as it is."""
    return known is not None and known.born == state.born and known.head <= state.head and known.floor == state.floor
