"""Where a durable store is, in one text that another process understands: a file, or the address of a database."""

from __future__ import annotations

from typing import TypeAlias

from taf import PgCheckpointer, SqliteCheckpointer

Beginning: TypeAlias = PgCheckpointer | SqliteCheckpointer
"""What can begin: see ``Begins``."""


def open_store(place: str) -> Beginning:
    """Open the store at a place."""
    return PgCheckpointer(place) if place.startswith("postgresql:") else SqliteCheckpointer(place)
