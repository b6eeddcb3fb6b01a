"""A process that is frozen by the tests stands, and keeps nobody else from writing."""

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.freezing import can_write, freeze_aside, thaw

WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
while True:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE numbers SET number = number + 1")
    time.sleep(0.002)
    connection.execute("COMMIT")
    print(flush=True)
    time.sleep(0.002)
"""
"""It is in a transaction for half of the time, and says when it has come out."""


def test_who_is_frozen_aside_does_nothing_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    place = str(tmp_path / "t.db")
    with closing(sqlite3.connect(place)) as connection:
        connection.executescript("CREATE TABLE numbers (number); INSERT INTO numbers VALUES (0)")

        def found() -> object:
            return connection.execute("SELECT number FROM numbers").fetchone()

        with subprocess.Popen([sys.executable, "-c", WRITER, place], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            try:
                for _ in range(20):
                    writer.stdout.readline()
                    time.sleep(random.uniform(0, 0.01))
                    freeze_aside(writer.pid, place)
                    before = found()
                    assert can_write(place)
                    assert found() == before
                    thaw(writer.pid)
            finally:
                writer.kill()
