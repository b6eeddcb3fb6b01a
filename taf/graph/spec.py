"""A graph, frozen: what ``compile`` makes of a builder, and all that a plan needs to know."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from taf.errors import InvalidUpdateError, nearest
from taf.graph.command import END, START, Destination, Send
from taf.graph.edge import Branch, Join
from taf.graph.node import Node
from taf.state.facts import Edition, Task
from taf.state.schema import StateSchema

Way: TypeAlias = tuple[Node, tuple[Task, ...] | None]
"""A node that is just awaited, and what follows it along its edges (None: routers say)."""


class GraphSpec:
    """Nodes by name, plain edges and branches by source, joins, and breakpoints. It is never changed."""

    def __init__(
        self,
        schema: StateSchema,
        nodes: Mapping[str, Node],
        edges: Mapping[str, tuple[str, ...]],
        branches: Mapping[str, tuple[Branch, ...]] | None = None,
        joins: tuple[Join, ...] = (),
        before: frozenset[str] = frozenset(),
        after: frozenset[str] = frozenset(),
        renames: Mapping[str, str] | None = None,
        version: int = 1,
    ) -> None:
        self.schema, self.nodes, self.edges = schema, nodes, edges
        self.branches: Mapping[str, tuple[Branch, ...]] = branches or {}
        self.joins, self.before, self.after = joins, before, after
        self.renames: Mapping[str, str] = renames or {}
        """Old names of nodes, each with the one that it has now."""
        self.alone: Mapping[str, tuple[Task, ...]] = {**{name: (Task(name, name),) for name in nodes}, END: ()}
        """What follows when one node is next, by its name: always the same object."""
        self.straight = self._straight()
        """What follows a node that has nothing but plain edges, ready to be used as a frontier."""
        self.plain = self._plain()
        """The nodes from which there is such a way, by name."""
        self.fingerprint = fingerprint_of(self)
        """Changes when a node, an edge, a join or a field does, here or in a subgraph; stored with each pass."""
        self.version, self.edition = version, Edition(self.fingerprint, version)

    def _straight(self) -> Mapping[str, tuple[Task, ...]]:
        known = {*self.nodes, END}  # edges to unknown names stay out: validate() tells of them
        ways = {name: self.edges.get(name, ()) for name in (START, *self.nodes) if name not in self.branches}
        return {name: self.tasks(targets) for name, targets in ways.items() if known.issuperset(targets)}

    def _plain(self) -> Mapping[str, Way]:
        special = {*self.before, *self.after, *(name for join in self.joins for name in join.sources)}
        leading = {*self.straight, *self.branches} - special
        found = ((name, node) for name, node in self.nodes.items() if node.is_plain and name in leading)
        return {name: (node, self.straight.get(name)) for name, node in found}

    def tasks(self, targets: Iterable[Destination], who: str = "a node") -> tuple[Task, ...]:
        """Turn destinations into tasks: each named node once, each ``Send`` a branch of its own; END is left out.

        Raise ``InvalidUpdateError`` for a name that is no node, or an overlay that does not fit the state.
        """
        found: dict[str, Task] = {}
        for target in targets:
            name = target.target if isinstance(target, Send) else target
            if name == END:
                continue
            if name not in self.nodes:
                raise InvalidUpdateError(
                    f'{who} leads to "{name}", which is no node.{nearest(name, (*self.nodes, END))}'
                )
            if isinstance(target, Send):
                key = self.branch_key(name, len(found))
                found[key] = Task(name, key, self._overlay(target, who))
            else:
                found[name] = Task(name, name)
        return tuple(found.values())

    def branch_key(self, name: str, number: int) -> str:
        """Return the key of a ``Send``'s branch, which is no node's name."""
        key = f"{name}#{number}"
        while key in self.nodes:
            key += "#"
        return key

    def _overlay(self, send: Send, who: str) -> dict[str, object]:
        wanted = self.schema.wanted_whole(send.update, f'{who} sent "{send.target}"')
        return {name: value for _, name, value in wanted}

    def former(self, name: str) -> tuple[str, ...]:
        """Return a node's name, and behind it those that it had."""
        return (name, *(old for old, new in self.renames.items() if new == name)) if self.renames else (name,)


_NOISE = re.compile(r" at 0x[0-9a-f]+|\b(?:\w+|<locals>)\.")
"""What a type's text tells of where it was made, which is no part of what it is."""


def digest(text: str) -> str:
    """Return eight characters that stand for a text."""
    return f"{zlib.crc32(text.encode()):08x}"


def fingerprint_of(spec: GraphSpec) -> str:
    """Return what stands for a graph: of its nodes, edges and fields as a whole, then of each join by itself."""
    nodes = [(name, _inner(node.subgraph)) for name, node in sorted(spec.nodes.items())]
    branches = [
        (source, [sorted(map(repr, (branch.path_map or {}).items())) for branch in found])
        for source, found in sorted(spec.branches.items())
    ]
    fields = [
        (name, channel.style, spec.schema.model.model_fields[name].is_required(), _type_text(spec, name))
        for name, channel in spec.schema.channels.items()
    ]
    joins = [join.name for join in spec.joins]
    shape = repr([nodes, sorted(spec.edges.items()), branches, joins, fields])
    return ".".join([digest(shape), *map(digest, joins)])


def _inner(subgraph: Any) -> str:
    return "" if subgraph is None else f"{subgraph.runtime.spec.fingerprint}.{subgraph.runtime.spec.version}"


def _type_text(spec: GraphSpec, name: str) -> str:
    return _NOISE.sub("", repr(spec.schema.model.model_fields[name].annotation))
