"""What many tests need: the stores, and a second process's view of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from taf.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer, SqliteCheckpointer
from tests.pg.fixtures import (  # noqa: F401  # known to every test from here
    own_postgres,
    pg_dsn,
    pg_proxy,
    pooled_dsn,
    pooler,
    postgres_server,
)
from tests.places import Beginning, open_store
from tests.styles import STYLES

# How long an example takes is up to whoever else is on the machine.
settings.register_profile("taf", deadline=None)
settings.load_profile("taf")


@pytest.fixture(params=["memory", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store keeps its threads; nowhere is in memory. ``tests.pg.stores`` has one with Postgres, too."""
    return str(tmp_path / "t.db") if request.param == "sqlite" else ""


@pytest.fixture
def store(place: str) -> Iterator[BaseCheckpointer]:
    """A store of each kind."""
    with open_store(place) if place else InMemoryCheckpointer() as found:
        yield found


@pytest.fixture
def reopen(store: BaseCheckpointer, place: str) -> Iterator[Callable[[], BaseCheckpointer]]:
    """Return what another process would hold of ``store``: an object of its own on the same data.

    In memory there is only the object itself.
    """
    opened: list[BaseCheckpointer] = []

    def again() -> BaseCheckpointer:
        if not place:
            return store
        opened.append(open_store(place))
        return opened[-1]

    yield again
    for one in opened:
        one.close()


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> str:
    """Each way of running a thread."""
    return str(request.param)


@pytest.fixture(params=["sqlite", "postgres"])
async def beginning(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Beginning]:
    """A store that can begin."""
    is_postgres = request.param == "postgres"
    made = PgCheckpointer(request.getfixturevalue("pg_dsn")) if is_postgres else SqliteCheckpointer(tmp_path / "t.db")
    async with made as store:
        yield store
