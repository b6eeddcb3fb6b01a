"""What a Postgres store runs in a thread of its own: the service and the heartbeat."""

from __future__ import annotations

from typing import Any

from taf.checkpointer.base import ThreadKey
from taf.checkpointer.opened_in import OpenedIn
from taf.checkpointer.postgres_connections import Connection, Settings
from taf.checkpointer.postgres_pulse import Lease, Pulse
from taf.checkpointer.postgres_rows import Statements
from taf.checkpointer.postgres_service import Service
from taf.checkpointer.postgres_work import Work


class Machinery:
    """Both together. They do not refer to the checkpointer, so that one forgotten can go."""

    def __init__(self, settings: Settings, statements: Statements) -> None:
        self.statements = statements
        self.pulse = Pulse(settings, statements)
        self.service = Service(settings, statements.tables, statements.schema, self.pulse)
        self.pulse.service = self.service
        self._opened_in = OpenedIn("PgCheckpointer")

    def enter(self) -> Service:
        """Return the service. Refuse to work in a forked process."""
        self._opened_in.enter()
        return self.service

    def end(self, patience: float | None) -> None:
        """Finish what waits, and close everything."""
        if not self._opened_in.is_another:
            self.pulse.close()
            self.service.stop(self._release_all, patience)

    async def _release_all(self) -> None:
        for key, lease in self.pulse.all_leases():
            self.pulse.drop(key, lease.epoch)
            await self.service.attempt(self.releasing(lease))

    def abandon(self, key: ThreadKey, epoch: int) -> None:
        """Stop holding a thread, and have it released in passing."""
        lease = self.pulse.drop(key, epoch)
        if lease is not None:
            self.enter().post(self.releasing(lease))

    def releasing(self, lease: Lease) -> Work[Any]:
        """Return the work that gives a thread back."""
        values = (lease.thread, lease.epoch, self.pulse.owner)

        async def work(connection: Connection, _: int) -> None:
            await connection.execute(self.statements.discard, *values)
            await connection.execute(self.statements.release, *values)

        return work
