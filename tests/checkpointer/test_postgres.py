"""The Postgres store keeps the contract of all stores."""

from __future__ import annotations

import pytest

from taf.checkpointer import postgres_loops
from taf.checkpointer.postgres import PgCheckpointer
from taf.testing import CheckpointerContract


class TestPgCheckpointer(CheckpointerContract):
    """Where each event loop gets a connection of its own as soon as it can."""

    warm = 1

    @pytest.fixture(autouse=True)
    def _server(self, pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dsn = pg_dsn
        monkeypatch.setattr(postgres_loops, "WARM", self.warm)

    def make_store(self) -> PgCheckpointer:
        return PgCheckpointer(self.dsn)

    reopen_store = make_store


@pytest.mark.e2e
class TestPgCheckpointerInOneThread(TestPgCheckpointer):
    """Where none does."""

    warm = 10**9
