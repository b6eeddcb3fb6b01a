"""What callers say of the threads that they want to see, as the store takes it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import cast

from taf.checkpointer.base import Listing
from taf.errors import ConfigError, nearest
from taf.state.execution import ExecutionStatus


def read_listing(
    status: str | Iterable[str] | None,
    graph: str | None,
    since: datetime | None,
    before: datetime | None,
    newest_first: bool,
) -> Listing:
    """Read what a listing is asked for. Raise ``ConfigError`` for an unknown status, or a time that is none."""
    words = () if status is None else (status,) if isinstance(status, str) else tuple(status)
    known = [str(one) for one in ExecutionStatus]
    for word in words:
        if word not in known:
            raise ConfigError(f"status={word!r} is none that a thread can have.{nearest(str(word), known)}")
    return Listing(
        tuple(str(ExecutionStatus(word)) for word in words),
        graph,
        _seconds("since", since),
        _seconds("before", before),
        newest_first,
    )


def _seconds(name: str, moment: datetime | None) -> float | None:
    if moment is None:
        return None
    if not isinstance(cast("object", moment), datetime):
        raise ConfigError(f"{name} has to be a datetime, not {moment!r}.")
    return moment.timestamp()
