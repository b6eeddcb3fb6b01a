"""Where the torture happens: on each durable store."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name an empty store of each durable kind, as ``open_store`` takes it."""
    return str(request.getfixturevalue("pg_dsn") if request.param == "postgres" else tmp_path / "t.db")
