"""Places for shapes in layers from top to bottom, and the ways of the arrows between them.

The usual four steps: turn arrows that close a loop around, give each shape a layer, order each layer so that few
arrows cross, and move the shapes sideways to where their neighbours are. An arrow over several layers, and a label,
get a place of their own in each layer between, so that nothing is drawn across a shape.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

SIDE_GAP, LAYER_GAP = 28.0, 34.0
PORT_GAP = 16.0
LANE_WIDTH = 10.0

Point = tuple[float, float]


class Size(NamedTuple):
    """In pixels."""

    width: float
    height: float


class Line(NamedTuple):
    """An arrow to be placed, with the size of its label."""

    source: str
    target: str
    label: Size | None = None


class Layout(NamedTuple):
    """Centres of shapes by id; for each line the points that it goes through, and the centre of its label."""

    centers: Mapping[str, Point]
    paths: Sequence[Sequence[Point]]
    labels: Sequence[Point | None]
    size: Size


@dataclass(eq=False)
class _Item:
    """A shape, or the place that a line takes in a layer on its way."""

    size: Size
    rank: int = 0
    is_lane: bool = False
    x: float = 0.0
    place: int = 0
    above: list[_Item] = field(default_factory=list["_Item"])
    below: list[_Item] = field(default_factory=list["_Item"])


@dataclass(eq=False)
class _Chain:
    """A line as the items from its upper end to its lower one."""

    items: list[_Item]
    is_upward: bool
    label: _Item | None


def arrange(sizes: Mapping[str, Size], lines: Sequence[Line]) -> Layout:
    """Place shapes and lines. The first shape stands on top, the last at the bottom.

    A line from a shape to itself gets no way.
    """
    upward = _upward(list(sizes), lines)
    ranks = _ranks(list(sizes), lines, upward)
    items = {id: _Item(size, ranks[id]) for id, size in sizes.items()}
    chains = [_chain(items, line, line in upward) for line in lines]
    layers: list[list[_Item]] = [[] for _ in range(max(ranks.values()) + 1)]
    for item in dict.fromkeys([*items.values(), *(item for chain in chains for item in chain.items)]):
        layers[item.rank].append(item)
    layers = _ordered([layer for layer in layers if layer])
    _move_sideways(layers)
    return _placed(items, chains, layers)


# -- layers ----------------------------------------------------------------------------------------


def _upward(ids: Sequence[str], lines: Sequence[Line]) -> set[Line]:
    """Return the lines that close a loop, found by walking from the first shape on."""
    following: dict[str, list[Line]] = {id: [] for id in ids}
    for line in lines:
        following[line.source].append(line)
    closing: set[Line] = set()
    seen: set[str] = set()
    for root in ids:
        open_ids: set[str] = set()
        stack = [] if root in seen else [(root, iter(following[root]))]
        while stack:
            id, rest = stack[-1]
            seen.add(id)
            open_ids.add(id)
            onward = next(rest, None)
            if onward is None:
                open_ids.discard(id)
                stack.pop()
            elif onward.target in open_ids:
                closing.add(onward)
            elif onward.target not in seen:
                stack.append((onward.target, iter(following[onward.target])))
    return closing


def _ranks(ids: Sequence[str], lines: Sequence[Line], upward: set[Line]) -> dict[str, int]:
    """Return the layer of each shape: behind all that lead to it, with a layer between for a label."""
    steps: dict[str, list[tuple[str, int]]] = {id: [] for id in ids}
    waits = dict.fromkeys(ids, 0)
    for line in lines:
        if line.source != line.target:
            top, bottom = (line.target, line.source) if line in upward else (line.source, line.target)
            steps[top].append((bottom, 1 if line.label is None else 2))
            waits[bottom] += 1
    ranks = {id: min(index, 1) for index, id in enumerate(ids)}
    ready = [id for id in ids if not waits[id]]
    while ready:
        id = ready.pop()
        for bottom, length in steps[id]:
            ranks[bottom] = max(ranks[bottom], ranks[id] + length)
            waits[bottom] -= 1
            if not waits[bottom]:
                ready.append(bottom)
    last = ids[-1]
    ranks[last] = max([ranks[last], *(rank + 1 for id, rank in ranks.items() if id != last)])
    return ranks


def _chain(items: Mapping[str, _Item], line: Line, is_upward: bool) -> _Chain:
    if line.source == line.target:
        return _Chain([], False, None)
    top, bottom = items[line.source], items[line.target]
    if is_upward:
        top, bottom = bottom, top
    lanes = [_Item(Size(LANE_WIDTH, 0), rank, True) for rank in range(top.rank + 1, bottom.rank)]
    label = None
    if line.label is not None:
        label = lanes[-1 if is_upward else 0]  # beside the source: there the choice is made
        label.size = line.label
    chain = [top, *lanes, bottom]
    for upper, lower in pairwise(chain):
        upper.below.append(lower)
        lower.above.append(upper)
    return _Chain(chain, is_upward, label)


# -- order -----------------------------------------------------------------------------------------


def _ordered(layers: list[list[_Item]]) -> list[list[_Item]]:
    """Return the layers in the order with the fewest crossings that some sweeps down and up have met."""
    _number(layers)
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(12):
        if not fewest:
            break
        downward = sweep % 2 == 0
        for layer in layers if downward else reversed(layers):
            layer.sort(key=lambda item: _mean_place(item, item.above if downward else item.below))
            _number([layer])
        found = _crossings(layers)
        if found < fewest:
            best, fewest = [list(layer) for layer in layers], found
    _number(best)
    return best


def _number(layers: Sequence[Sequence[_Item]]) -> None:
    for layer in layers:
        for place, item in enumerate(layer):
            item.place = place


def _mean_place(item: _Item, neighbours: Sequence[_Item]) -> float:
    return sum(n.place for n in neighbours) / len(neighbours) if neighbours else item.place


def _crossings(layers: Sequence[Sequence[_Item]]) -> int:
    count = 0
    for layer in layers:
        passed: list[int] = []
        for item in layer:
            places = [n.place for n in item.below]
            count += sum(len(passed) - bisect_right(passed, place) for place in places)
            for place in places:
                insort(passed, place)
    return count


# -- sideways --------------------------------------------------------------------------------------


def _move_sideways(layers: Sequence[Sequence[_Item]]) -> None:
    for layer in layers:
        _set_apart(layer, [0.0] * len(layer))
    for sweep in range(16):
        downward = sweep % 2 == 0
        for layer in layers if downward else reversed(layers):
            _set_apart(layer, [_wanted(item, downward, both=sweep > 11) for item in layer])
    left = min(item.x - item.size.width / 2 for layer in layers for item in layer)
    for layer in layers:
        for item in layer:
            item.x -= left


def _wanted(item: _Item, downward: bool, *, both: bool) -> float:
    found = [*item.above, *item.below] if both else item.above if downward else item.below
    weights = [6.0 if n.is_lane and item.is_lane else 1.0 for n in found]  # long lines are to be straight
    if not found:
        return item.x
    return sum(n.x * weight for n, weight in zip(found, weights, strict=True)) / sum(weights)


def _set_apart(layer: Sequence[_Item], wanted: Sequence[float]) -> None:
    """Put items as near as can be to where they are wanted, in order and without touching (isotonic regression)."""
    offsets = [0.0]
    for one, other in pairwise(layer):
        offsets.append(offsets[-1] + (one.size.width + other.size.width) / 2 + SIDE_GAP)
    blocks: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            more, others = blocks.pop()
            total, count = total + more, count + others
        blocks.append((total, count))
    positions = [total / count for total, count in blocks for _ in range(count)]
    for item, position, offset in zip(layer, positions, offsets, strict=True):
        item.x = position + offset


# -- places ----------------------------------------------------------------------------------------


def _placed(items: Mapping[str, _Item], chains: Sequence[_Chain], layers: Sequence[Sequence[_Item]]) -> Layout:
    tops: list[float] = []
    heights = [max(item.size.height for item in layer) for layer in layers]
    y = 0.0
    for height in heights:
        tops.append(y)
        y += height + LAYER_GAP
    index = {item: at for at, layer in enumerate(layers) for item in layer}
    bands = {item: (tops[at], tops[at] + heights[at]) for item, at in index.items()}
    middle = {item: sum(band) / 2 for item, band in bands.items()}
    ports = _ports(chains)
    paths: list[list[Point]] = []
    for chain in chains:
        points: list[Point] = []
        for at, item in enumerate(chain.items):
            half = item.size.height / 2
            top, bottom = bands[item] if item.is_lane else (middle[item] - half, middle[item] + half)
            x = item.x + ports.get((chain, at == 0), 0.0) * (at in (0, len(chain.items) - 1))
            points += [(x, top)] * (at > 0) + [(x, bottom)] * (at < len(chain.items) - 1)
        paths.append(points[::-1] if chain.is_upward else points)
    width = max(item.x + item.size.width / 2 for item in index)
    return Layout(
        {id: (item.x, middle[item]) for id, item in items.items()},
        paths,
        [None if chain.label is None else (chain.label.x, middle[chain.label]) for chain in chains],
        Size(width, y - LAYER_GAP),
    )


def _ports(chains: Sequence[_Chain]) -> dict[tuple[_Chain, bool], float]:
    """Return how far from the middle of its shape each line begins (True) and ends (False): no two meet."""
    sides: dict[tuple[_Item, bool], list[tuple[float, int, _Chain]]] = {}
    for number, chain in enumerate(chains):
        if chain.items:
            sides.setdefault((chain.items[0], True), []).append((chain.items[1].x, number, chain))
            sides.setdefault((chain.items[-1], False), []).append((chain.items[-2].x, number, chain))
    ports: dict[tuple[_Chain, bool], float] = {}
    for (item, is_begin), found in sides.items():
        found.sort(key=lambda one: one[:2])
        gap = min(PORT_GAP, item.size.width * 0.7 / len(found))
        for place, (_, _, chain) in enumerate(found):
            ports[chain, is_begin] = (place - (len(found) - 1) / 2) * gap
    return ports
