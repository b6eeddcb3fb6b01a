"""The process that opened a store: connections and locks do not survive a fork."""

from __future__ import annotations

import os
from typing import ClassVar

from taf.errors import CheckpointerError


class OpenedIn:
    """The process that uses a store of that ``kind``, from the first use on."""

    forks: ClassVar[int] = 0
    """How many forks lie between this process and the one that began. To ask for its id is a system call each time."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._forks: int | None = None
        self._process = 0

    @property
    def is_another(self) -> bool:
        """True in any other process: nothing of the store may be touched there."""
        return self._forks not in (None, OpenedIn.forks)

    def enter(self) -> None:
        """Be at the process that uses the store. Raise ``CheckpointerError`` in any other."""
        if self._forks is None:
            self._forks, self._process = OpenedIn.forks, os.getpid()
        elif self.is_another:
            raise CheckpointerError(
                f"This {self._kind} was opened by process {self._process}, and connections do not survive a fork. "
                "Make a new one in each process."
            )


def _count() -> None:
    OpenedIn.forks += 1


if hasattr(os, "register_at_fork"):  # elsewhere nobody forks
    os.register_at_fork(after_in_child=_count)
