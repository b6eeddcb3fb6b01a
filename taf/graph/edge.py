"""Edges that are decided while the graph runs: branches with a router, and joins that wait for several nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from taf.errors import InvalidUpdateError
from taf.graph.command import Destination, destinations
from taf.graph.node import Call
from taf.tuples import NamedTuple


class Branch(NamedTuple):
    """A conditional edge: ``call(state, context)`` says where to go, and may be awaited; ``path_map`` translates."""

    source: str
    call: Call
    path_map: Mapping[Any, str] | None = None

    def targets(self, answer: Any) -> list[Destination]:
        """Read a router's answer. Raise ``InvalidUpdateError`` for one that leads nowhere."""
        if type(answer) is str and (self.path_map is None or answer in self.path_map):  # what most routers return
            return [answer if self.path_map is None else self.path_map[answer]]
        if self.path_map is not None:
            several = isinstance(answer, list | tuple | set | frozenset)
            answer = [self._mapped(one) for one in (cast("Iterable[Any]", answer) if several else [answer])]
        found = destinations(answer)
        if found is None:
            raise InvalidUpdateError(
                f'The router behind "{self.source}" returned {answer!r}. Return the name of a node, END, a Send, '
                "or a list of these."
            )
        return found

    def _mapped(self, answer: Any) -> Any:
        assert self.path_map is not None
        try:
            if answer in self.path_map:
                return self.path_map[answer]
        except TypeError:  # unhashable, such as a Send with a dict inside
            return answer
        if isinstance(answer, str):
            known = ", ".join(repr(key) for key in self.path_map)
            raise InvalidUpdateError(
                f'The router behind "{self.source}" returned {answer!r}, which is not in its path_map: {known}.'
            )
        return answer


class Join(NamedTuple):
    """An edge that waits: ``target`` runs once after all of ``sources`` have run, in whichever steps."""

    sources: tuple[str, ...]
    target: str

    @property
    def name(self) -> str:
        """The name under which a thread remembers which sources have arrived."""
        return f"{'+'.join(self.sources)}->{self.target}"
