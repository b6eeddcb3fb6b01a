"""The database file: how it is opened, and how its tables come to be, however many processes start at once."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator

from taf.errors import StoreUnavailableError

VERSION = 5
"""The number of the newest migration, kept in the file as ``user_version``."""

LOG_PAGES = 128, 400
"""How many pages the write-ahead log takes at least, and at most, before it is copied over: three quarters of the file.
It counts as storage too, while the file is small. Fewer take longer, and more gain nothing.
"""

WAL_BYTES = 2 * 1024 * 1024
"""To how much a log is cut that one large write has blown up. More than it mostly takes, or each sync would wait for
the file to grow.
"""


class SqliteFile:
    """Where the database is, and what every connection to it has in common."""

    def __init__(self, path: str, synchronous: str, busy_timeout: float) -> None:
        self.path, self.synchronous, self.busy_timeout = path, synchronous, busy_timeout

    def connect(self) -> sqlite3.Connection:
        """Open the file, making it and its folder when they are missing. Raise ``StoreUnavailableError``."""
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=self.busy_timeout, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError, ValueError) as error:
            raise StoreUnavailableError(f"open {self.path}", error) from error
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._use_wal(connection)
        connection.execute(f"PRAGMA synchronous={self.synchronous}")
        fit_log(connection)
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
        connection.execute("PRAGMA temp_store=MEMORY")
        found = version(connection)
        if found > VERSION:
            raise ValueError(f"it is of version {found}, made by a newer taf than this one, which knows {VERSION}")
        if found < VERSION:
            migrate(connection)

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        deadline = time.monotonic() + self.busy_timeout
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            except sqlite3.OperationalError as error:
                # The busy timeout does not cover this: of two that switch a new file at once, one is told so at once.
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
            else:
                if mode != "wal":
                    raise ValueError(f"its journal mode is {mode}: there is no write-ahead log on such a disk")
                return


def fit_log(connection: sqlite3.Connection) -> None:
    """Have the log take as many pages as suit the file."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    least, most = LOG_PAGES
    connection.execute(f"PRAGMA wal_autocheckpoint={min(max(pages * 3 // 4, least), most)}")


def version(connection: sqlite3.Connection) -> int:
    """Return the number of the last migration that was made."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def migrate(connection: sqlite3.Connection) -> None:
    """Make the missing migrations, all or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again: another process may have been faster.
        for number in range(version(connection) + 1, VERSION + 1):
            for statement in _statements(number):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def _statements(number: int) -> Iterator[str]:
    # Not executescript: it commits first, and ten processes may be here at once.
    from importlib.resources import files

    script = files("taf.checkpointer").joinpath("sql", f"sqlite_{number:04}.sql").read_text(encoding="utf-8")
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether others have a lock that was asked for."""
    code = getattr(error, "sqlite_errorcode", None)  # those that Python itself raises have none
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


def roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that failed, if SQLite has not done so itself: after "disk is full" a ROLLBACK would raise."""
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            if connection.in_transaction:
                raise
