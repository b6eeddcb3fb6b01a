"""The disk of a Postgres server is full, again and again, while graphs run on it; then there is room, and they go on.

Run as ``python -m tests.disk.pg_shortages FOLDER KIND ROUNDS``; prints its counts as JSON. The folder is a small file
system. With the kind "data" the tables lie there, and the server refuses what does not fit. With "log" its write-ahead
log does: a server that cannot write that ends, and somebody has to start it again.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg

from taf import PgCheckpointer
from tests.disk.shortages import Shortage
from tests.disk.small import RealDisk
from tests.pg.server import PostgresServer, running_postgres

LIES = {"data": "base", "log": "pg_wal"}
"""What of a cluster is moved to the small disk."""


@contextmanager
def server_on(folder: Path, part: str) -> Iterator[PostgresServer]:
    """Run a server that has a part of its files in a folder, which is open to everybody."""
    with running_postgres() as server:
        server.stop()
        place = folder / part
        shutil.move(server.data_dir / part, place)
        owner = server.data_dir.stat()
        for path in [place, *place.rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid)
        (server.data_dir / part).symlink_to(place)
        server.start()
        yield server


class LogDisk(RealDisk):
    """Where the log lies. When it is full the server ends, and it is started again when there is room."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        super().__init__(folder)
        self._server = server
        self._task: asyncio.Task[None] | None = None

    def fill(self, room: int) -> None:
        super().fill(room)
        self._task = asyncio.get_running_loop().create_task(self._use_up())

    async def _use_up(self) -> None:
        """Have the server begin new files of the log, until it cannot."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(self._server.dsn())
            while True:
                await connection.execute("SELECT pg_logical_emit_message(true, 'taf', 'x'), pg_switch_wal()")
                await asyncio.sleep(0.05)

    def free(self) -> None:
        super().free()
        self.refusals += "PANIC" in self._server.log.read_text(errors="replace")
        self._server.restart("immediate")
        self._server.log.write_bytes(b"")


def main(folder: Path, kind: str, rounds: int) -> None:
    began = time.monotonic()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a server that cannot write its log aborts
    with server_on(folder, LIES[kind]) as server:
        name = server.admin.create_database()
        disk = LogDisk(folder, server) if kind == "log" else RealDisk(folder)

        async def play() -> None:
            shortage = Shortage(
                disk, lambda: PgCheckpointer(server.dsn(name), command_timeout=2.0), is_exact=kind == "data"
            )
            await shortage.run(rounds, most_room=500_000)
            shortage.report(began)

        asyncio.run(play())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
