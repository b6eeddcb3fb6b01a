"""Claims of threads in Postgres: one statement each, or one for many that are claimed at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from taf.checkpointer import postgres_rows as rows
from taf.checkpointer.base import Grant, Known, ThreadKey
from taf.checkpointer.postgres_batches import Batches
from taf.checkpointer.postgres_connections import Connection
from taf.checkpointer.postgres_mail import Mailbox
from taf.checkpointer.postgres_pulse import Lease, Pulse
from taf.checkpointer.postgres_rows import Statements, ThreadState, encode_name
from taf.checkpointer.postgres_service import Service
from taf.checkpointer.watches import Place
from taf.errors import StoreCorruptError, ThreadBusyError
from taf.ids import new_id


class _Part(NamedTuple):
    """What a caller wants. ``held`` is the lease, once it is there."""

    key: ThreadKey
    seconds: float
    known: Known | None
    create: bool
    held: list[Lease]


class Claims:
    """Makes callers the owners of threads. ``abandon`` gives one back that nobody is left to use."""

    def __init__(
        self,
        service: Service,
        pulse: Pulse,
        statements: Statements,
        mailbox: Mailbox,
        abandon: Callable[[ThreadKey, int], None],
    ) -> None:
        self._service, self._pulse, self._sql, self._mailbox = service, pulse, statements, mailbox
        self._abandon, self._reader = abandon, mailbox.reader
        self._batches: Batches[_Part, Grant | None] = Batches(service, self._together)

    async def acquire(self, key: ThreadKey, seconds: float, known: Known | None, create: bool) -> Grant | None:
        """See ``BaseCheckpointer.acquire``."""
        loop, pulse = asyncio.get_running_loop(), self._pulse
        part = _Part(key, seconds, known, create, [])

        async def alone(connection: Connection, _: int) -> Grant | None:
            self._undo(part)
            await pulse.until_ready()
            state = await self._claim(connection, part)
            return None if state is None else await self._granted(connection, part, state)

        def after(grant: Grant | None) -> None:
            if grant is None:
                return
            pulse.unclaim(key)
            # Nobody is left to release it.
            if loop.is_closed():
                self._abandon(key, grant.epoch)

        what = f'acquire thread "{key.thread}"'
        if create:
            return await self._batches.run(what, part, alone, after, lambda: self._undo(part))
        return await self._service.run(what, alone, after, lambda: self._undo(part))

    def _undo(self, part: _Part) -> None:
        # The transaction may have come to nothing, or its COMMIT may not have been answered.
        while part.held:
            self._abandon(part.key, part.held.pop().epoch)
            self._pulse.unclaim(part.key)

    def _hold(self, part: _Part, state: ThreadState) -> None:
        # Before anything else is awaited: the next claim of this process has to find it held.
        part.held.append(Lease(state.thread, state.epoch, part.seconds, Place(state.thread, state.revision)))
        self._pulse.hold(part.key, part.held[-1])

    async def _granted(self, connection: Connection, part: _Part, state: ThreadState) -> Grant:
        self._hold(part, state)
        return await self._mailbox.granted(connection, part.key, state, part.known)

    async def _claim(self, connection: Connection, part: _Part) -> ThreadState | None:
        """Take a thread, and leave it claimed in this process: behind a pooler it is not committed yet."""
        pulse, key, create = self._pulse, part.key, part.create
        while True:
            if pulse.lease(key) is None and pulse.claim(key):
                try:
                    values = (*self._reader.place(key)[:3], False, pulse.life_lock, part.seconds)
                    extra = (new_id(),) if create else ()
                    row = await connection.fetchrow(self._sql.claim if create else self._sql.take, *values, *extra)
                    taken = None if row is None else rows.state_of(row, key.thread)
                except BaseException:
                    pulse.unclaim(key)
                    raise
                if taken is not None:
                    return taken
                pulse.unclaim(key)
            state = await self._reader.find(connection, key)
            if state is not None and state.is_owned:
                raise ThreadBusyError(key.thread, state.run_id or None)
            if not create and (state is None or not state.head):
                return None
            await asyncio.sleep(0)  # somebody was quicker, and is gone again

    async def _together(self, connection: Connection, parts: Sequence[_Part]) -> Sequence[Grant | None]:
        """Claim many. One that is not free, or cannot be read, is left to be claimed alone."""
        pulse = self._pulse
        await pulse.until_ready()
        chosen = {
            (encode_name(part.key.tenant), encode_name(part.key.thread)): part
            for part in parts
            if pulse.lease(part.key) is None and pulse.claim(part.key)
        }
        states: dict[ThreadKey, ThreadState] = {}
        try:
            for row in await self._claim_many(connection, chosen):
                part = chosen[row["tenant"], row["thread"]]
                states[part.key] = rows.state_of(row, part.key.thread)
                self._hold(part, states[part.key])
        finally:
            for part in chosen.values():
                if not part.held:
                    pulse.unclaim(part.key)
        return [await self._shown(connection, part, states.get(part.key)) for part in parts]

    async def _claim_many(self, connection: Connection, chosen: dict[tuple[bytes, bytes], _Part]) -> Sequence[rows.Row]:
        if not chosen:
            return ()
        tenants, threads, seconds, born = zip(
            *((*names, chosen[names].seconds, new_id()) for names in sorted(chosen)), strict=True
        )
        pulse = self._pulse
        return await connection.fetch(
            self._sql.claim_many, tenants, threads, pulse.owner, False, pulse.life_lock, seconds, born
        )

    async def _shown(self, connection: Connection, part: _Part, state: ThreadState | None) -> Grant | None:
        if state is None or not part.held:
            return None
        try:
            return await self._mailbox.granted(connection, part.key, state, part.known)
        except StoreCorruptError:
            self._undo(part)
            return None
