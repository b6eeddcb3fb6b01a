"""Puts a base in the place of a thread's old records, in Postgres."""

from __future__ import annotations

from taf.checkpointer.base import Cut
from taf.checkpointer.postgres_connections import Connection
from taf.checkpointer.postgres_reads import Reader
from taf.checkpointer.postgres_rows import Statements, encode_name


class Pruning:
    """One cut: tried again when an answer was lost, and made once all the same."""

    def __init__(self, statements: Statements, reader: Reader, cut: Cut) -> None:
        self._sql, self._reader, self._cut = statements, reader, cut

    async def __call__(self, connection: Connection, attempt: int) -> bool:
        """Make it. Return False when the thread is not as expected."""
        sql, cut = self._sql, self._cut
        async with connection.transaction():
            place = (*self._reader.place(cut.key), cut.expected, cut.base.sequence, cut.born)
            thread = await connection.fetchval(sql.cut, *place)
            if thread is None:
                return attempt > 0 and await self._is_made(connection)
            await connection.execute(sql.cut_snapshots, thread)
            await connection.execute(sql.cut_records, thread, cut.base.sequence)
            await connection.execute(sql.cut_interrupts, thread, [encode_name(one) for one in cut.interrupts])
            for snapshot, is_base in ((cut.base, True), (cut.snapshot, False)):
                if snapshot is not None:
                    sequence, items_from, parts = snapshot
                    await connection.execute(sql.put_snapshot, thread, is_base, sequence, items_from, list(parts))
        return True

    async def _is_made(self, connection: Connection) -> bool:
        """Say whether an attempt was made whose answer was lost."""
        cut, state = self._cut, await self._reader.find(connection, self._cut.key)
        expected = (cut.born, cut.expected, cut.base.sequence)
        return state is not None and (state.born, state.head, state.floor) == expected
