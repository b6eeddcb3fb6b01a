"""A graph, frozen: what ``compile`` makes of a builder, and all that a plan needs to know."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from taf.errors import GraphChangedError, InvalidUpdateError, nearest
from taf.graph.command import END, START, Destination, Send
from taf.graph.edge import Branch, Join
from taf.graph.node import Node
from taf.state.facts import Task
from taf.state.run import Run
from taf.state.schema import StateSchema

_ANEW = "Or begin a new pass: stop() the thread, then pass new input. Nothing was changed."


@dataclass(frozen=True)
class GraphSpec:
    """Nodes by name, plain edges and branches by source, joins, and breakpoints."""

    schema: StateSchema
    nodes: Mapping[str, Node]
    edges: Mapping[str, tuple[str, ...]]
    branches: Mapping[str, tuple[Branch, ...]] = field(default_factory=dict[str, "tuple[Branch, ...]"])
    joins: tuple[Join, ...] = ()
    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    straight: Mapping[str, tuple[Task, ...]] = field(init=False)
    """What follows a node that has nothing but plain edges, ready to be used as a frontier."""
    plain: Mapping[str, tuple[Node, tuple[Task, ...]]] = field(init=False)
    """The nodes that are just awaited and then lead along their edges, with what follows them."""
    fingerprint: str = field(init=False)
    """Changes when a node or a plain edge does; stored with each pass."""

    def __post_init__(self) -> None:
        known = {*self.nodes, END}  # edges to unknown names stay out: validate() tells of them
        ways = {name: self.edges.get(name, ()) for name in (START, *self.nodes) if name not in self.branches}
        straight = {name: self.tasks(targets) for name, targets in ways.items() if known.issuperset(targets)}
        object.__setattr__(self, "straight", straight)
        special = {*self.before, *self.after, *(name for join in self.joins for name in join.sources)}
        known_ways = ((node, straight.get(name)) for name, node in self.nodes.items() if name not in special)
        plain = {node.name: (node, way) for node, way in known_ways if node.is_plain and way is not None}
        object.__setattr__(self, "plain", plain)
        shape = repr([sorted(self.nodes), sorted(self.edges.items()), [join.name for join in self.joins]])
        object.__setattr__(self, "fingerprint", f"{zlib.crc32(shape.encode()):08x}")

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

    def require_places(self, run: Run) -> None:
        """Raise ``GraphChangedError`` when a thread is at a node or a join that the graph does not have."""
        details = run.details
        ahead = [*run.frontier, *details.carried, *(t for o in details.finished.values() for t in o.goto or ())]
        gone = next((task.node for task in ahead if task.node not in self.nodes), None)
        if gone is not None:
            what = f'it is at node "{gone}", which the graph does not have'
            cure = f"Give the node its old name back.{nearest(gone, self.nodes)} Or reject its breakpoint with a goto."
            raise GraphChangedError(run.thread_id, what, f"{cure} {_ANEW}")
        joins = {join.name for join in self.joins}
        lost = next((name for name in details.joins if name not in joins), None)
        if lost is not None:
            what = f'it waits at the join "{lost}", which the graph does not have'
            raise GraphChangedError(run.thread_id, what, f"Add the join again. {_ANEW}")

    def _overlay(self, send: Send, who: str) -> dict[str, object]:
        wanted = self.schema.wanted_whole(send.update, f'{who} sent "{send.target}"')
        return {name: value for _, name, value in wanted}
