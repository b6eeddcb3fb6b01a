"""What there is to draw of a graph: shapes and arrows, without a place or a colour yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from taf.graph.command import END, START
from taf.graph.edge import Branch
from taf.graph.spec import GraphSpec


class Kind(StrEnum):
    """What a shape stands for. ``ANY`` is where a router leads that does not say where it may lead."""

    START = "start"
    END = "end"
    NODE = "node"
    SUBGRAPH = "subgraph"
    JOIN = "join"
    ANY = "any"


class Shape(NamedTuple):
    """One thing with a place. ``id`` is short and plain whatever the name; ``note`` says where it pauses."""

    id: str
    name: str
    kind: Kind
    note: str = ""
    is_waiting: bool = False


class Arrow(NamedTuple):
    """A way from one shape to another; dashed when it is taken only sometimes."""

    source: str
    target: str
    label: str = ""
    is_dashed: bool = False


class Outline(NamedTuple):
    """All shapes, START first and END last, and all arrows, in the order in which the graph declares them."""

    shapes: tuple[Shape, ...]
    arrows: tuple[Arrow, ...]


def outline(spec: GraphSpec, waiting: Sequence[str] = ()) -> Outline:
    """Return what there is to draw. ``waiting`` names the nodes that wait for a human."""
    ids = {START: "start", **{name: f"n{index}" for index, name in enumerate(spec.nodes)}, END: "stop"}
    shapes = [_node(spec, name, ids[name], name in waiting) for name in spec.nodes]
    arrows = [Arrow(ids[s], ids[t]) for s, targets in spec.edges.items() for t in targets]
    for index, join in enumerate(spec.joins):
        shapes.append(Shape(f"j{index}", "all of them", Kind.JOIN))
        arrows += [Arrow(ids[source], f"j{index}") for source in dict.fromkeys(join.sources)]
        arrows.append(Arrow(f"j{index}", ids[join.target]))
    open_ended: list[str] = []
    for source, branches in spec.branches.items():
        for branch in branches:
            if branch.path_map is None:
                open_ended.append(ids[source])
            else:
                arrows += [Arrow(ids[source], ids[t], label, True) for t, label in _ways(branch)]
    _end_leaves(arrows, [ids[name] for name in spec.nodes], open_ended)
    if open_ended:
        shapes.append(Shape("any", "any node", Kind.ANY))
        arrows += [Arrow(source, "any", is_dashed=True) for source in open_ended]
        arrows += list(_found_by_routers(arrows, list(ids.values())[1:]))
    place = {id: index for index, id in enumerate(ids.values())}
    arrows.sort(key=lambda arrow: place.get(arrow.source, len(place)))
    start, stop = Shape("start", "START", Kind.START), Shape("stop", "END", Kind.END)
    return Outline((start, *shapes, stop), tuple(dict.fromkeys(arrows)))


def _node(spec: GraphSpec, name: str, id: str, is_waiting: bool) -> Shape:
    sides = [word for word, names in (("before", spec.before), ("after", spec.after)) if name in names]
    kind = Kind.NODE if spec.nodes[name].subgraph is None else Kind.SUBGRAPH
    return Shape(id, name, kind, f"pauses {' and '.join(sides)}" if sides else "", is_waiting)


def _ways(branch: Branch) -> Iterator[tuple[str, str]]:
    """Yield each target of a path_map with the answers that lead there, except its own name."""
    answers: dict[str, list[str]] = {}
    for answer, target in (branch.path_map or {}).items():
        answers.setdefault(target, []).append("" if answer == target else str(answer))
    for target, found in answers.items():
        yield target, ", ".join(filter(None, found))


def _end_leaves(arrows: list[Arrow], nodes: Sequence[str], open_ended: Sequence[str]) -> None:
    """Lead nodes that nothing follows to END: there the run, or its branch, is over."""
    leaving = {arrow.source for arrow in arrows} | set(open_ended)
    arrows += [Arrow(node, "stop") for node in nodes if node not in leaving]


def _found_by_routers(arrows: Sequence[Arrow], ids: Sequence[str]) -> Iterator[Arrow]:
    """Lead from the routers that may go anywhere to what would seem out of reach."""
    reached = {arrow.target for arrow in arrows}
    for id in ids:
        if id not in reached:
            yield Arrow("any", id, is_dashed=True)
