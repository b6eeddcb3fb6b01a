"""What a run leaves that was cut short: for the run that takes its place, and for whoever asks later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from taf.tuples import NamedTuple


class Partial(NamedTuple):
    """Something a node emitted before it was done."""

    node: str
    attempt: int
    key: str | None
    value: Any


class Superseded(NamedTuple):
    """A run in whose place another one came, ``superseded_by``.

    ``completed``: the nodes that were done, in order. ``partials``: what the others had shown. ``open_tool_calls``: the
    ids of calls that had no result yet. ``node``: where it stood. ``ended``: when, in seconds since 1970.
    """

    run_id: str
    superseded_by: str
    ops: tuple[tuple[str, str, Any], ...] = ()
    """What its input changed, as it is stored; ``input`` is easier to read."""
    completed: tuple[str, ...] = ()
    partials: tuple[Partial, ...] = ()
    open_tool_calls: tuple[str, ...] = ()
    node: str | None = None
    ended: float = 0.0

    @property
    def at(self) -> datetime:
        """When the run had ended."""
        return datetime.fromtimestamp(self.ended, UTC)

    @property
    def input(self) -> dict[str, Any]:
        """The run's own input, by field: never what was made of it for a model."""
        found: dict[str, Any] = {}
        for kind, name, value in self.ops:
            found[name] = [*found.get(name, ()), *value] if kind == "append" else value
        return found

    @property
    def partial_results(self) -> dict[str, Any]:
        """What each unfinished node had shown last: a dict by key, or the last value where it gave no key."""
        return partial_results(self.partials)


def partial_results(partials: tuple[Partial, ...]) -> dict[str, Any]:
    """Return partials by node. See ``Superseded.partial_results``."""
    found: dict[str, Any] = {}
    for node, _, key, value in partials:
        known = found.get(node)
        if key is None:
            found[node] = value
        else:
            found[node] = {**(known if isinstance(known, Mapping) else {}), key: value}
    return found
