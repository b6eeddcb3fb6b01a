"""What to test with: contracts for stores and publishers of your own, a clock, a human, and explorers of cuts.

Needs ``pip install "taf-graph[testing]"``: the contracts are pytest classes.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taf.testing.checkpointer import CheckpointerContract
    from taf.testing.clock import ManualClock
    from taf.testing.explore import acrash_at, ainterrupt_at, crash_at, interrupt_at
    from taf.testing.human import LEAVE_OPEN, Asked, FakeHuman, UnexpectedQuestionError
    from taf.testing.publisher import PublisherContract
    from taf.testing.report import BrokenInvariantError, Failure, Report

__all__ = [
    # contracts
    "CheckpointerContract",
    "PublisherContract",
    # stand-ins
    "LEAVE_OPEN",
    "Asked",
    "FakeHuman",
    "ManualClock",
    "UnexpectedQuestionError",
    # explorers
    "BrokenInvariantError",
    "Failure",
    "Report",
    "acrash_at",
    "ainterrupt_at",
    "crash_at",
    "interrupt_at",
]

_FILES = {
    "checkpointer": ("CheckpointerContract",),
    "publisher": ("PublisherContract",),
    "clock": ("ManualClock",),
    "human": ("LEAVE_OPEN", "Asked", "FakeHuman", "UnexpectedQuestionError"),
    "report": ("BrokenInvariantError", "Failure", "Report"),
    "explore": ("acrash_at", "ainterrupt_at", "crash_at", "interrupt_at"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}
_SUITES = {"checkpointer": "store", "publisher": "publisher"}
"""Where the contracts' asserts are."""


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for: only the contracts need pytest."""
    file = _FILE_OF.get(name)
    if file is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if file in _SUITES:
        _show_values(f"{__name__}.{_SUITES[file]}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{file}"), name)
    return found


def _show_values(module: str) -> None:
    """Let pytest show the values of a broken promise; it has to know before the module is loaded."""
    import pytest

    if module not in sys.modules:
        pytest.register_assert_rewrite(module)


def __dir__() -> list[str]:
    return [*__all__]
