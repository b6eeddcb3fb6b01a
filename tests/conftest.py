"""What many tests need: the stores, and a second process's view of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taf.checkpointer import BaseCheckpointer, InMemoryCheckpointer, SqliteCheckpointer
from tests.styles import STYLES


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseCheckpointer]:
    """A store of each kind that needs no server."""
    with InMemoryCheckpointer() if request.param == "memory" else SqliteCheckpointer(tmp_path / "t.db") as found:
        yield found


@pytest.fixture
def reopen(store: BaseCheckpointer, tmp_path: Path) -> Iterator[Callable[[], BaseCheckpointer]]:
    """Return what another process would hold of ``store``: an object of its own on the same file.

    In memory there is only the object itself.
    """
    opened: list[BaseCheckpointer] = []

    def again() -> BaseCheckpointer:
        if isinstance(store, InMemoryCheckpointer):
            return store
        opened.append(SqliteCheckpointer(tmp_path / "t.db"))
        return opened[-1]

    yield again
    for one in opened:
        one.close()


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> str:
    """Each way of running a thread."""
    return str(request.param)
