"""Places of shapes and ways of lines: nothing lies on anything else."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from taf.graph.layout import Layout, Line, Size, arrange
from tests.rounds import rounds


def placed(count: int, pairs: list[tuple[int, int]], every: int = 3) -> tuple[Layout, dict[str, Size], list[Line]]:
    """Arrange START, some shapes and END, and lines between them; ``every`` so many has a label."""
    ids = ["start", *(f"n{number}" for number in range(count)), "stop"]
    sizes = {id: Size(60 + 10 * index, 30 + 5 * index) for index, id in enumerate(ids)}
    lines = [Line("start", "n0")]
    for index, (source, target) in enumerate(dict.fromkeys(pairs)):
        if source != target:
            lines.append(Line(f"n{source}", f"n{target}", Size(40, 18) if index % every == every - 1 else None))
    lines.append(Line(f"n{count - 1}", "stop"))
    return arrange(sizes, lines), sizes, lines


@st.composite
def drawings(draw: st.DrawFn) -> tuple[Layout, dict[str, Size], list[Line]]:
    count = draw(st.integers(1, 9))
    number = st.integers(0, count - 1)
    return placed(count, draw(st.lists(st.tuples(number, number), max_size=20)))


@settings(max_examples=rounds(150), deadline=None)
@given(drawing=drawings())
def test_no_two_shapes_overlap(drawing: tuple[Layout, dict[str, Size], list[Line]]) -> None:
    layout, sizes, _ = drawing
    for (one, (x, y)), (other, (u, v)) in combinations(layout.centers.items(), 2):
        wide, high = (sizes[one].width + sizes[other].width) / 2, (sizes[one].height + sizes[other].height) / 2
        assert abs(x - u) >= wide - 0.01 or abs(y - v) >= high - 0.01


@settings(max_examples=rounds(150), deadline=None)
@given(drawing=drawings())
def test_no_upright_part_of_a_line_crosses_a_shape(drawing: tuple[Layout, dict[str, Size], list[Line]]) -> None:
    layout, sizes, _ = drawing
    for path in layout.paths:
        for (x, y), (to_x, to_y) in pairwise(path):
            if x != to_x:
                continue
            low, high = sorted((y, to_y))
            for id, (u, v) in layout.centers.items():
                width, height = sizes[id]
                inside = abs(x - u) < width / 2 - 0.01 and low < v + height / 2 - 0.01 and high > v - height / 2 + 0.01
                assert not inside


@settings(max_examples=rounds(150), deadline=None)
@given(drawing=drawings())
def test_all_is_within_the_picture_with_start_on_top_and_end_at_the_bottom(
    drawing: tuple[Layout, dict[str, Size], list[Line]],
) -> None:
    layout, sizes, _ = drawing
    for id, (x, y) in layout.centers.items():
        assert sizes[id].width / 2 - 0.01 <= x <= layout.size.width - sizes[id].width / 2 + 0.01
        assert sizes[id].height / 2 - 0.01 <= y <= layout.size.height - sizes[id].height / 2 + 0.01
    heights = {id: y for id, (_, y) in layout.centers.items()}
    assert heights["start"] == min(heights.values())
    assert all(y < heights["stop"] for id, y in heights.items() if id != "stop")


@settings(max_examples=rounds(150), deadline=None)
@given(drawing=drawings())
def test_each_line_leads_from_its_source_to_its_target(drawing: tuple[Layout, dict[str, Size], list[Line]]) -> None:
    layout, sizes, lines = drawing
    for line, path in zip(lines, layout.paths, strict=True):
        for id, (x, y) in ((line.source, path[0]), (line.target, path[-1])):
            u, v = layout.centers[id]
            assert abs(x - u) <= sizes[id].width / 2
            assert abs(abs(y - v) - sizes[id].height / 2) < 0.01


@settings(max_examples=rounds(150), deadline=None)
@given(drawing=drawings())
def test_each_label_has_a_place_of_its_own(drawing: tuple[Layout, dict[str, Size], list[Line]]) -> None:
    layout, sizes, lines = drawing
    boxes = [(*place, 40.0, 18.0) for place in layout.labels if place is not None]
    assert len(boxes) == sum(line.label is not None for line in lines)
    boxes += [(*center, *sizes[id]) for id, center in layout.centers.items()]
    for (x, y, width, height), (u, v, wide, high) in combinations(boxes, 2):
        assert abs(x - u) >= (width + wide) / 2 - 0.01 or abs(y - v) >= (height + high) / 2 - 0.01


def test_a_chain_is_a_straight_line() -> None:
    layout, _, _ = placed(4, [(0, 1), (1, 2), (2, 3)])

    assert len({round(x, 3) for x, _ in layout.centers.values()}) == 1


def test_branches_stand_side_by_side_and_their_ends_in_the_middle() -> None:
    layout, _, _ = placed(4, [(0, 1), (0, 2), (1, 3), (2, 3)], every=9)
    (left, level), (right, other) = layout.centers["n1"], layout.centers["n2"]

    assert level == other
    assert min(left, right) < layout.centers["n0"][0] < max(left, right)


def test_a_line_back_leads_upward() -> None:
    layout, _, lines = placed(2, [(0, 1), (1, 0)])
    path = layout.paths[lines.index(Line("n1", "n0"))]

    assert path[0][1] > path[-1][1]


def test_two_lines_between_the_same_shapes_lie_apart() -> None:
    layout, _, lines = placed(2, [(0, 1), (1, 0)])
    down, up = (layout.paths[index] for index, line in enumerate(lines) if "n0" in line and "n1" in line)

    assert abs(down[0][0] - up[-1][0]) > 5
    assert abs(down[-1][0] - up[0][0]) > 5
