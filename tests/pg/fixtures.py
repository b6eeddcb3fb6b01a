"""The fixtures of a real Postgres; tests/conftest.py makes them known to every test.

A server that cannot be had is a failure with its reason, never a skip.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from tests.pg.admin import Admin, with_database
from tests.pg.binaries import PostgresMissingError
from tests.pg.counting import IS_TORTURE
from tests.pg.pooler import Pooler, running_pooler
from tests.pg.proxy import Proxy, running_proxy
from tests.pg.server import PostgresServer, running_postgres

GIVEN = "TAF_TEST_POSTGRES_DSN"


class GivenServer:
    """A server that somebody else runs, named by an environment variable: its databases are ours, its life is not."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.admin = Admin(lambda: dsn)

    def dsn(self, database: str) -> str:
        """Return the address of ``database``."""
        return with_database(self._dsn, database)

    def terminate_backends(self, database: str) -> int:
        """Cut every client's connection to ``database`` and return how many there were."""
        return self.admin.terminate_backends(database)

    def close(self) -> None:
        """Hang up."""
        self.admin.close()


@contextmanager
def _failing_clearly() -> Generator[None]:
    try:
        yield
    except PostgresMissingError as error:
        reason = str(error)
    else:
        return
    pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer | GivenServer]:
    """The session's server, started when a test first asks for it."""
    given = os.environ.get(GIVEN)
    if given:
        server = GivenServer(given)
        yield server
        server.close()
        return
    with _failing_clearly(), running_postgres(fsync=IS_TORTURE) as own:
        yield own


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A server for one module's tests that restart it, or count what it holds."""
    with _failing_clearly(), running_postgres(fsync=IS_TORTURE) as own:
        yield own


@pytest.fixture
def pg_dsn(postgres_server: PostgresServer | GivenServer) -> Iterator[str]:
    """The address of an empty database for one test."""
    name = postgres_server.admin.create_database()
    yield postgres_server.dsn(name)
    postgres_server.admin.drop_database(name)


@pytest.fixture
def pg_proxy(pg_dsn: str) -> Iterator[Proxy]:
    """A proxy before an empty database; ``pg_proxy.dsn`` goes by way of it, ``pg_dsn`` does not."""
    with running_proxy(pg_dsn) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def pooler(postgres_server: PostgresServer | GivenServer) -> Iterator[Pooler]:
    """A pgbouncer before the session's server."""
    with _failing_clearly(), running_pooler(postgres_server.dsn("postgres")) as running:
        yield running


@pytest.fixture
def pooled_dsn(pg_dsn: str, pooler: Pooler) -> str:
    """The database of ``pg_dsn`` by way of a pooler: each transaction is on whichever connection is free."""
    return pooler.dsn(pg_dsn)
