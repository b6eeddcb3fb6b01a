"""What a SQLite store runs in threads of its own: writer, reader and heartbeat; and the lock of its process."""

from __future__ import annotations

from taf.checkpointer.opened_in import OpenedIn
from taf.checkpointer.owner_lock import OwnerLock, boot_id
from taf.checkpointer.sqlite_file import SqliteFile
from taf.checkpointer.sqlite_pulse import Pulse
from taf.checkpointer.sqlite_worker import Worker

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
        self.opened_in = OpenedIn("SqliteCheckpointer")

    def end(self, patience: float | None) -> None:
        """Finish what waits, and close everything."""
        if not self.opened_in.is_another:
            self.pulse.stop(patience)
            self.reader.stop(patience)
            # Last, since whoever closes the last connection clears the log away.
            self.writer.stop(patience)
            self.lock.release()
