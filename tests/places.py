"""Where a durable store is, in one text that another process understands: a file, or the address of a database."""

from __future__ import annotations

from taf import PgCheckpointer, SqliteCheckpointer


def open_store(place: str) -> SqliteCheckpointer | PgCheckpointer:
    """Open the store at a place."""
    return PgCheckpointer(place) if place.startswith("postgresql:") else SqliteCheckpointer(place)
