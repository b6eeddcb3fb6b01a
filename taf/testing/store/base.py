"""How a test of the contract comes by its stores."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from taf.checkpointer.base import BaseCheckpointer

NEEDS_TWO = "needs_two_objects"


def needs_two_objects(cls: type[Any]) -> type[Any]:
    """Mark a class whose tests are about two objects on the same data."""
    setattr(cls, NEEDS_TWO, [name for name in vars(cls) if name.startswith("test")])
    return cls


class StoreTests:
    """Gives each test an empty store. See ``CheckpointerContract``."""

    pytestmark: ClassVar[Any] = pytest.mark.asyncio

    reopen: ClassVar[bool | None] = True
    """None for a store that keeps nothing across its objects: what is about two of them is then not collected."""

    tmp_path: Path
    """A folder of the test's own."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.reopen is None:
            for base in cls.__mro__:
                for name in vars(base).get(NEEDS_TWO, ()):
                    setattr(cls, name, None)

    def make_store(self) -> BaseCheckpointer | Awaitable[BaseCheckpointer]:
        """Make an empty store. May be async, and may use ``self.tmp_path``."""
        raise NotImplementedError("Write make_store(self), or a fixture of the name `store`.")

    def reopen_store(self) -> BaseCheckpointer | Awaitable[BaseCheckpointer]:
        """Make a second object on the data of the first, as another process would. May be async."""
        raise NotImplementedError(
            "Write reopen_store(self), or a fixture of the name `second`, that gives a second object on the same data; "
            "or say `reopen = None` if there is none to give."
        )

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    @pytest_asyncio.fixture(loop_scope="function")
    async def store(self) -> AsyncIterator[BaseCheckpointer]:
        """The store that is tried. Override it where ``make_store`` is not enough; it should begin empty."""
        async with await _made(self.make_store()) as store:
            yield store

    @pytest_asyncio.fixture(loop_scope="function")
    async def second(self, store: BaseCheckpointer) -> AsyncIterator[BaseCheckpointer]:
        """Another object on the same data."""
        async with await _made(self.reopen_store()) as second:
            yield second


async def _made(made: BaseCheckpointer | Awaitable[BaseCheckpointer]) -> BaseCheckpointer:
    return await made if inspect.isawaitable(made) else made
