"""The Postgres store keeps the contract of all stores."""

from __future__ import annotations

import pytest

from taf.checkpointer.postgres import PgCheckpointer
from taf.testing import CheckpointerContract


class TestPgCheckpointer(CheckpointerContract):
    @pytest.fixture(autouse=True)
    def _server(self, pg_dsn: str) -> None:
        self.dsn = pg_dsn

    def make_store(self) -> PgCheckpointer:
        return PgCheckpointer(self.dsn)

    reopen_store = make_store
