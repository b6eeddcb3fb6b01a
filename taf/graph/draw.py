"""Pictures of a graph: Mermaid text, and an SVG that needs nothing else. The nodes that wait for a human are marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from unicodedata import east_asian_width

from taf.graph.layout import Layout, Line, Point, Size, arrange
from taf.graph.outline import Arrow, Kind, Outline, Shape, outline
from taf.graph.spec import GraphSpec

# -- Mermaid ---------------------------------------------------------------------------------------

_BRACKETS = {
    Kind.START: ("([", "])"),
    Kind.END: ("([", "])"),
    Kind.NODE: ("[", "]"),
    Kind.SUBGRAPH: ("[[", "]]"),
    Kind.JOIN: ("{{", "}}"),
    Kind.ANY: ("(", ")"),
}
_CLASSES = {
    "edge": "fill:#334155,stroke:#334155,color:#ffffff",
    "quiet": "fill:#f8fafc,stroke:#94a3b8,color:#475569,stroke-dasharray:4 3",
    "breakpoint": "stroke:#d97706,stroke-width:2px",
    "paused": "fill:#fde68a,stroke:#b45309,color:#451a03,stroke-width:3px",
}


def mermaid(spec: GraphSpec, waiting: Sequence[str] = ()) -> str:
    """Return the graph as a Mermaid flowchart, for any node names.

    Dashed arrows are taken only sometimes. Class ``paused`` marks the nodes that wait, ``breakpoint`` those that pause.
    """
    shapes, arrows = outline(spec, waiting)
    lines = ["flowchart TD"]
    for shape in shapes:
        left, right = _BRACKETS[shape.kind]
        words = [shape.name, *_small_print(shape)]
        lines.append(f'    {shape.id}{left}"{"<br/>".join(map(_mermaid_text, words))}"{right}')
    for source, target, label, is_dashed in arrows:
        said = f'|"{_mermaid_text(label)}"|' if label else ""
        lines.append(f"    {source} {'-.->' if is_dashed else '-->'}{said} {target}")
    for name, style in _CLASSES.items():
        members = [shape.id for shape in shapes if _class_of(shape) == name]
        if members:
            lines += [f"    classDef {name} {style}", f"    class {','.join(members)} {name}"]
    return "\n".join(lines) + "\n"


def _small_print(shape: Shape) -> list[str]:
    """Return what stands below a name."""
    words = [shape.note] if shape.note else []
    return [*words, *(["paused"] if shape.is_waiting else [])]


def _class_of(shape: Shape) -> str | None:
    if shape.is_waiting:
        return "paused"
    if shape.kind in (Kind.START, Kind.END):
        return "edge"
    if shape.kind in (Kind.JOIN, Kind.ANY):
        return "quiet"
    return "breakpoint" if shape.note else None


def _mermaid_text(text: str) -> str:
    """Write as a character code what Mermaid, its Markdown or its HTML could read as a sign."""
    return _SIGN.sub(_mermaid_sign, text).strip() or "#160;"


_SIGN = re.compile(r"(?<![^\W_])[_-]|[_-](?![^\W_])|[^\w -]")
"""All but letters, digits and blanks; ``_`` and ``-`` too, unless they stand inside a word."""


def _mermaid_sign(found: re.Match[str]) -> str:
    sign = found[0]
    if not sign.isprintable():
        return " "
    return sign if ord(sign) > 127 else f"#{ord(sign)};"


# -- SVG -------------------------------------------------------------------------------------------

_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_LETTER, _LINE, _SMALL = 8.4, 18.0, 14.0
_PAD_X, _PAD_Y, _MARGIN = 16.0, 11.0, 20.0
_LOOP = 34.0
_LINE_LETTERS, _LINES = 24, 4

_STYLE = f"""
.taf-graph text {{ font: 14px {_FONT}; fill: #0f172a; text-anchor: middle; }}
.taf-graph .shape {{ fill: #ffffff; stroke: #64748b; stroke-width: 1.5; }}
.taf-graph .edge .shape {{ fill: #334155; stroke: #334155; }}
.taf-graph .edge text {{ fill: #ffffff; font-weight: 600; font-size: 12px; }}
.taf-graph .quiet .shape {{ fill: #f8fafc; stroke: #94a3b8; stroke-dasharray: 4 3; }}
.taf-graph .quiet text {{ fill: #475569; font-size: 12px; }}
.taf-graph .breakpoint .shape {{ stroke: #d97706; stroke-width: 2; }}
.taf-graph .paused .shape {{ fill: #fde68a; stroke: #b45309; stroke-width: 3; }}
.taf-graph .small, .taf-graph text.label {{ font-size: 11px; fill: #475569; }}
.taf-graph .breakpoint .small, .taf-graph .paused .small {{ fill: #92400e; }}
.taf-graph .paused .state {{ font-weight: 700; }}
.taf-graph text.label {{ stroke: #ffffff; stroke-width: 4; paint-order: stroke; }}
.taf-graph .way {{ fill: none; stroke: #64748b; stroke-width: 1.5; }}
.taf-graph .dashed {{ stroke-dasharray: 5 4; }}
"""


_TIP = (
    '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M 0 0 L 10 5 L 0 10 z" fill="#64748b"/></marker></defs>'
)


def svg(spec: GraphSpec, waiting: Sequence[str] = ()) -> str:
    """Return the graph as an SVG document that needs no other file.

    Time runs downward. Dashed arrows are taken only sometimes; a node that waits is coloured and says "paused".
    """
    drawn = outline(spec, waiting)
    faces = {shape.id: _Face(shape) for shape in drawn.shapes}
    room = {arrow.source: _LOOP + _width(arrow.label, 11) for arrow in drawn.arrows if arrow.source == arrow.target}
    sizes = {id: Size(face.size.width + 2 * room.get(id, 0), face.size.height) for id, face in faces.items()}
    layout = arrange(sizes, [_line(arrow) for arrow in drawn.arrows])
    width, height = (round(side + 2 * _MARGIN) for side in layout.size)
    sides = f'width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="taf-graph" {sides} viewBox="0 0 {width} {height}">',
            f"<style>{_STYLE}</style>",
            _TIP,
            f'<rect {sides} fill="#ffffff"/>',
            f'<g transform="translate({_MARGIN:g} {_MARGIN:g})">',
            *_ways(drawn, layout, faces),
            *(face.drawn(layout.centers[id]) for id, face in faces.items()),
            "</g>",
            "</svg>\n",
        ]
    )


class _Face:
    """A shape with its text broken into lines."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.lines = _wrapped(shape.name)
        self.small = _small_print(shape)
        letter = 14 if shape.kind in (Kind.NODE, Kind.SUBGRAPH) else 12
        widths = [*(_width(line, letter) for line in self.lines), *(_width(line, 11) for line in self.small)]
        inset = 8 if shape.kind is Kind.SUBGRAPH else 0
        height = len(self.lines) * _LINE + len(self.small) * _SMALL + 2 * _PAD_Y
        if shape.kind in (Kind.JOIN, Kind.ANY):
            height -= _PAD_Y
        self.size = Size(max([56.0, *widths]) + 2 * (_PAD_X + inset), height)

    def drawn(self, center: Point) -> str:
        """Return the shape as SVG."""
        x, y = center
        width, height = self.size
        shape = self.shape
        round_by = height / 2 if shape.kind in (Kind.START, Kind.END, Kind.JOIN, Kind.ANY) else 6
        left, top = x - width / 2, y - height / 2
        parts = [f"<title>{_xml(shape.name)}</title>", _rect(left, top, width, height, round_by)]
        if shape.kind is Kind.SUBGRAPH:
            for inner in (left + 8, left + width - 8):
                parts.append(f'<path class="shape" d="M {inner:.1f} {top:.1f} v {height:.1f}"/>')
        baseline = y - (len(self.lines) * _LINE + len(self.small) * _SMALL) / 2 + 13.5
        for line in self.lines:
            parts.append(f'<text x="{x:.1f}" y="{baseline:.1f}">{_xml(line)}</text>')
            baseline += _LINE
        for line in self.small:
            kind = "small state" if line == "paused" else "small"
            parts.append(f'<text class="{kind}" x="{x:.1f}" y="{baseline - 2:.1f}">{_xml(line)}</text>')
            baseline += _SMALL
        return f'<g class="{_class_of(shape) or "plain"}">{"".join(parts)}</g>'


def _rect(left: float, top: float, width: float, height: float, round_by: float) -> str:
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="shape" {place} rx="{round_by:g}"/>'


def _line(arrow: Arrow) -> Line:
    label = Size(_width(arrow.label, 11) + 8, _SMALL + 4) if arrow.label else None
    return Line(arrow.source, arrow.target, label)


def _ways(drawn: Outline, layout: Layout, faces: dict[str, _Face]) -> list[str]:
    parts: list[str] = []
    labels: list[str] = []
    for arrow, path, place in zip(drawn.arrows, layout.paths, layout.labels, strict=True):
        way = _curve(path) if path else _loop(layout.centers[arrow.source], faces[arrow.source].size)
        parts.append(f'<path class="way{" dashed" * arrow.is_dashed}" marker-end="url(#tip)" d="{way}"/>')
        if arrow.label:
            x, y = place or _beside_loop(layout.centers[arrow.source], faces[arrow.source].size, arrow.label)
            labels.append(f'<text class="label" x="{x:.1f}" y="{y + 4:.1f}">{_xml(arrow.label)}</text>')
    return parts + labels


def _curve(points: Sequence[Point]) -> str:
    """Return a way that is upright at every point."""
    parts = [f"M {points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        bend = (y + to_y) / 2
        parts.append(
            f"L {to_x:.1f} {to_y:.1f}"
            if abs(x - to_x) < 0.05
            else f"C {x:.1f} {bend:.1f} {to_x:.1f} {bend:.1f} {to_x:.1f} {to_y:.1f}"
        )
    return " ".join(parts)


def _beside_loop(center: Point, size: Size, label: str) -> Point:
    return center[0] + size.width / 2 + _LOOP + _width(label, 11) / 2, center[1]


def _loop(center: Point, size: Size) -> str:
    right, y, reach = center[0] + size.width / 2, center[1], center[0] + size.width / 2 + _LOOP
    return f"M {right:.1f} {y - 9:.1f} C {reach:.1f} {y - 22:.1f} {reach:.1f} {y + 22:.1f} {right:.1f} {y + 9:.1f}"


def _wrapped(name: str) -> list[str]:
    """Break a name into lines, behind a blank or a sign where there is one; what is too long ends in an ellipsis."""
    lines: list[str] = [""]
    for word in re.findall(r"[^\s_\-./:]*[\s_\-./:]?", name.strip() or " "):
        for piece in (word[at : at + _LINE_LETTERS] for at in range(0, len(word), _LINE_LETTERS)):
            if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > _LINE_LETTERS:
                lines.append("")
            lines[-1] += piece
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], lines[_LINES - 1].rstrip()[: _LINE_LETTERS - 1] + "…"]
    return lines


def _width(text: str, size: float) -> float:
    """Return about how many pixels wide a text is."""
    letters = sum(2.0 if east_asian_width(letter) in "WF" else 1.0 for letter in text)
    return letters * _LETTER * size / 14


def _xml(text: str) -> str:
    """Escape a text; what XML cannot hold becomes a replacement character."""
    return escape(_NOT_XML.sub("\ufffd", text))


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
