"""The Postgres store keeps the contract of all stores."""

from __future__ import annotations

import pytest

from taf.checkpointer import postgres_loops
from taf.checkpointer.postgres import PgCheckpointer
from taf.testing import CheckpointerContract


class TestPgCheckpointer(CheckpointerContract):
    @pytest.fixture(autouse=True)
    def _server(self, pg_dsn: str) -> None:
        self.dsn = pg_dsn

    def make_store(self) -> PgCheckpointer:
        return PgCheckpointer(self.dsn)

    reopen_store = make_store


class TestPgCheckpointerWithWarmLoops(TestPgCheckpointer):
    """Likewise where each event loop gets a connection of its own as soon as it can."""

    @pytest.fixture(autouse=True)
    def _warm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres_loops, "WARM", 1)
