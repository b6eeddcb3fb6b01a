"""These tests run on Postgres, too."""

from tests.pg.stores import place, shared_database  # noqa: F401
