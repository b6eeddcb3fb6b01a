"""What a SQLite store runs in threads of its own: writer, reader and heartbeat; and the lock of its process."""

from __future__ import annotations

import os

from taf.checkpointer.owner_lock import OwnerLock, boot_id
from taf.checkpointer.sqlite_file import SqliteFile
from taf.checkpointer.sqlite_pulse import Pulse
from taf.checkpointer.sqlite_worker import Worker
from taf.errors import CheckpointerError

PULSE_PATIENCE = 0.25
"""For how many seconds the heartbeat waits for others who write, before it looks after its watchers again."""


class Machinery:
    """All that runs in threads of its own. It does not refer to the checkpointer, so that one forgotten can go."""

    def __init__(self, path: str, synchronous: str, busy_timeout: float) -> None:
        file = SqliteFile(path, synchronous, busy_timeout)
        # A renewal need not outlive a power cut.
        self.pulse = pulse = Pulse(SqliteFile(path, "NORMAL", PULSE_PATIENCE))
        self.writer = Worker("taf-sqlite-writer", file, writes=True, is_alone=pulse.has_one_at_most)
        self.reader = Worker("taf-sqlite-reader", file, writes=False, is_alone=pulse.has_one_at_most)
        self.lock = OwnerLock(f"{path}.owners")
        self.boot = boot_id()
        self._process: int | None = None

    @property
    def is_forked(self) -> bool:
        """This is another process than the one that opened the database: none of it may be touched."""
        return self._process not in (None, os.getpid())

    def enter(self) -> None:
        """Refuse to work in a forked process."""
        if self._process is None:
            self._process = os.getpid()
        elif self.is_forked:
            raise CheckpointerError(
                f"This SqliteCheckpointer was opened by process {self._process}, and connections do not survive a "
                "fork. Make a new one in each process."
            )

    def end(self, patience: float | None) -> None:
        """Finish what waits, and close everything."""
        if not self.is_forked:
            self.pulse.stop(patience)
            self.reader.stop(patience)
            # Last, since whoever closes the last connection clears the log away.
            self.writer.stop(patience)
            self.lock.release()
