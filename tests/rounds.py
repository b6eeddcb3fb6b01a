"""How many rounds a test plays that proves something by many of them: all, or a share of them.

``TAF_TEST_SHARE=2/3`` stands for the second of three shares: several interpreters share the rounds out among them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

SHARE, SHARES = map(int, os.environ.get("TAF_TEST_SHARE", "1/1").split("/"))


def rounds(count: int) -> int:
    """Return how many of so many random rounds are played here."""
    return -(-count // SHARES)


def share(items: Sequence[T]) -> Sequence[T]:
    """Return which of all cases are tried here: each share has others."""
    return items[SHARE - 1 :: SHARES]
