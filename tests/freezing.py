"""Stops processes for a while, at a moment that is known: none of their OS threads runs any more."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing


def freeze(child: int) -> None:
    """Stop a child process wherever it is, and wait until it stands: a signal that was sent is not yet obeyed."""
    os.kill(child, signal.SIGSTOP)
    status = os.waitpid(child, os.WUNTRACED)[1]
    assert os.WIFSTOPPED(status), f"process {child} ended with {status}"


def freeze_aside(child: int, place: str) -> None:
    """Stop a child process where others can still write to the store at ``place``."""
    freeze(child)
    while not can_write(place):
        thaw(child)
        while not can_write(place):  # until it has come out of its transaction: else it would be frozen in it again
            pass
        freeze(child)


def thaw(child: int) -> None:
    """Let a process go on."""
    os.kill(child, signal.SIGCONT)


def can_write(place: str) -> bool:
    """Say whether one gets to write in a moment: who is frozen in a transaction on SQLite keeps the only lock."""
    if place.startswith("postgresql:"):
        return True
    with closing(sqlite3.connect(place, timeout=0.2, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True
