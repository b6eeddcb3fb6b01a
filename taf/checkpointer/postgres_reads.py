"""Reads threads from the rows of Postgres, inside the caller's statement or transaction."""

from __future__ import annotations

from collections.abc import Sequence

from taf.checkpointer import postgres_rows as rows
from taf.checkpointer.base import Known, Record, Snapshot, Stored, ThreadKey
from taf.checkpointer.postgres_connections import Connection
from taf.checkpointer.postgres_pulse import Pulse
from taf.checkpointer.postgres_rows import Statements, ThreadState, encode_name


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

    async def stored(
        self, connection: Connection, key: ThreadKey, state: ThreadState, known: Known | None, *, is_owned: bool
    ) -> Stored:
        """Return what the reader does not know yet of a thread."""
        is_known = knows(state, known)
        snapshot = None
        if not is_known and state.head:
            snapshot = await self.snapshot(connection, state.thread, is_base=False)
            if snapshot is None and state.floor:
                snapshot = await self.snapshot(connection, state.thread, is_base=True)
        start = known.head if known is not None and is_known else snapshot.sequence if snapshot else 0
        items: list[tuple[int, bytes]] = []
        if snapshot is not None and snapshot.items_from is not None:
            found = await connection.fetch(self._sql.items, state.thread, snapshot.items_from, snapshot.sequence)
            items = [(row["sequence"], row["items"]) for row in found]
        tail = await self.records(connection, key, state.thread, start, None) if start < state.head else ()
        head = (state.born, state.head, state.status, state.run_id, is_owned, is_known)
        return Stored(*head, snapshot, items, tail, state.floor)

    async def snapshot(self, connection: Connection, thread: int, *, is_base: bool) -> Snapshot | None:
        """Return the newest snapshot, or the base."""
        found = await connection.fetch(self._sql.snapshot, thread, is_base)
        if not found:
            return None
        return Snapshot(found[0]["sequence"], found[0]["items_from"], tuple(row["body"] for row in found))

    async def records(
        self, connection: Connection, key: ThreadKey, thread: int, after: int, limit: int | None
    ) -> Sequence[Record]:
        """Return records whose sequence is above ``after``; no limit means all."""
        found = await connection.fetch(self._sql.records, thread, after, limit)
        return [rows.record_of(row, key.thread) for row in found]


def knows(state: ThreadState, known: Known | None) -> bool:
    """Say whether what a reader knows is part of the thread as it is."""
    return known is not None and known.born == state.born and known.head <= state.head and known.floor == state.floor
