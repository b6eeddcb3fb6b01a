"""Drawings: Mermaid text and SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taf.graph import END, START, CompiledGraph, StateGraph
from tests.graph.trail import Trail, graph_of, visit
from tests.rounds import rounds

SVG = "{http://www.w3.org/2000/svg}"


async def node(state: Trail) -> None:
    return None


def lines(app: CompiledGraph, at: Any = None) -> list[str]:
    return [line.strip() for line in app.draw_mermaid(at).splitlines()]


def picture(app: CompiledGraph, at: Any = None) -> ET.Element:
    return ET.fromstring(app.draw_svg(at))


def words(shape: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in shape.iter(f"{SVG}text")]


def shapes(drawn: ET.Element) -> dict[str, ET.Element]:
    """Every shape by the name in its title."""
    found = {group.find(f"{SVG}title"): group for group in drawn.iter(f"{SVG}g")}
    return {title.text or "": group for title, group in found.items() if title is not None}


def review() -> StateGraph:
    graph = graph_of("draft", "review", "publish").set_entry_point("draft").add_edge("draft", "review")
    ways = {"ok": "publish", "again": "draft", "rewrite": "draft", "drop": END}
    return graph.add_conditional_edges("review", node, ways).set_finish_point("publish")


# -- Mermaid ---------------------------------------------------------------------------------------


def test_a_chain_reads_from_start_to_end() -> None:
    assert lines(graph_of("a", "b").compile())[:9] == [
        "flowchart TD",
        'start(["START"])',
        'n0["a"]',
        'n1["b"]',
        'stop(["END"])',
        "start --> n0",
        "n0 --> n1",
        "n1 --> stop",
        "classDef edge fill:#334155,stroke:#334155,color:#ffffff",
    ]


def test_conditional_edges_are_dashed_and_labelled_with_the_answers() -> None:
    drawn = lines(review().compile())

    assert 'n1 -.->|"ok"| n2' in drawn
    assert 'n1 -.->|"again#44; rewrite"| n0' in drawn
    assert 'n1 -.->|"drop"| stop' in drawn
    assert "n1 --> stop" not in drawn


def test_an_answer_that_is_the_nodes_name_needs_no_label() -> None:
    graph = graph_of("a", "b").set_entry_point("a").add_conditional_edges("a", node, ["b", END])

    assert {"n0 -.-> n1", "n0 -.-> stop"} <= set(lines(graph.compile()))


def test_a_router_that_does_not_say_where_leads_to_any_node_and_on_to_what_nothing_else_reaches() -> None:
    graph = graph_of("a", "b", "c").set_entry_point("a").add_edge("a", "b").add_conditional_edges("a", node)
    drawn = lines(graph.compile())

    assert {'any("any node")', "n0 -.-> any", "any -.-> n2"} <= set(drawn)
    assert "any -.-> n1" not in drawn


def test_a_router_at_start_is_drawn() -> None:
    graph = graph_of("a", "b").add_conditional_edges(START, node, {"x": "a", "y": "b"})

    assert {'start -.->|"x"| n0', 'start -.->|"y"| n1'} <= set(lines(graph.compile()))


def test_a_join_is_a_shape_of_its_own() -> None:
    graph = graph_of("a", "b", "c").set_entry_point("a").set_entry_point("b").add_edge(["a", "b"], "c")
    drawn = lines(graph.compile())

    assert {'j0{{"all of them"}}', "n0 --> j0", "n1 --> j0", "j0 --> n2"} <= set(drawn)


def test_a_subgraph_has_a_shape_that_says_so() -> None:
    app = StateGraph(Trail).add_node("inner", graph_of("x").compile()).compile()

    assert 'n0[["inner"]]' in lines(app)
    assert len(list(shapes(picture(app))["inner"].iter(f"{SVG}path"))) == 2


def test_breakpoints_are_marked() -> None:
    drawn = lines(review().compile(interrupt_before=["review", "publish"], interrupt_after=["publish"]))

    assert 'n1["review<br/>pauses before"]' in drawn
    assert 'n2["publish<br/>pauses before and after"]' in drawn
    assert "class n1,n2 breakpoint" in drawn


def test_without_a_snapshot_nothing_is_paused() -> None:
    app = review().compile(interrupt_before=["review"])

    assert "paused" not in app.draw_mermaid()
    assert "paused" not in "".join(words(picture(app)))


async def test_the_node_that_waits_is_marked_by_class_and_word() -> None:
    app = review().compile(interrupt_before=["review"])
    result = await app.ainvoke({}, {"thread_id": "t"})
    for at in (result, await app.aget_state({"thread_id": "t"})):
        drawn = lines(app, at)
        assert 'n1["review<br/>pauses before<br/>paused"]' in drawn
        assert "class n1 paused" in drawn

        group = shapes(picture(app, at))["review"]
        assert (group.get("class"), words(group)) == ("paused", ["review", "pauses before", "paused"])


async def test_all_nodes_that_wait_are_marked_and_a_subgraph_for_what_waits_inside() -> None:
    inner = graph_of("x").compile(interrupt_before=["x"])
    graph = (
        graph_of("a", "b").add_node("inner", inner).set_entry_point("a").set_entry_point("b").set_entry_point("inner")
    )
    app = graph.compile(interrupt_before=["a", "b"])
    config = {"thread_id": "t"}
    assert "class n0,n1 paused" in lines(app, await app.ainvoke({}, config))

    assert "class n2 paused" in lines(app, await app.ainvoke(None, config))


async def test_a_run_that_is_over_marks_nothing() -> None:
    app = graph_of("a").compile()

    assert "paused" not in app.draw_mermaid(await app.ainvoke({}))


NAMES = [
    *("end", "graph", "1. one", "- two", "# x;", "`c`", "_i_", "**b**", "a\nb", "\x00", "名前", "🙂", " "),
    *('say "hi"', "a[b](c){d}", "<b>&amp;</b>"),
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_can_break_a_drawing(name: str) -> None:
    app = StateGraph(Trail).add_node(name, node).compile()
    label = next(line for line in lines(app) if line.startswith("n0["))

    assert re.fullmatch(r'n0\["(?:[^\W_]|[ _-]|#\d+;|[^\x00-\x7f])+"\]', label), label
    assert len(shapes(picture(app))) == 3


@settings(max_examples=rounds(60), deadline=None)
@given(name=st.text(min_size=1, max_size=200).filter(lambda name: name not in (START, END)))
def test_any_text_renders(name: str) -> None:
    app = StateGraph(Trail).add_node(name, node).compile()

    assert all('"' not in line.removesuffix('"]')[4:] for line in lines(app) if line.startswith("n0["))
    assert len(shapes(picture(app))) == 3


def test_a_name_that_is_words_stays_readable() -> None:
    app = StateGraph(Trail).add_node("fetch_customer-records 2", node).compile()

    assert 'n0["fetch_customer-records 2"]' in lines(app)


# -- SVG -------------------------------------------------------------------------------------------


def test_an_svg_stands_for_itself() -> None:
    text = review().compile().draw_svg()

    assert text.startswith("<svg ")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in text


def test_every_node_and_both_ends_are_shown_with_their_names() -> None:
    drawn = shapes(picture(review().compile()))

    assert {name: words(shape) for name, shape in drawn.items()} == {
        name: [name] for name in ("START", "draft", "review", "publish", "END")
    }


def test_every_edge_is_an_arrow_and_conditional_ones_are_dashed_with_their_label() -> None:
    drawn = picture(review().compile())
    ways = [path.get("class") for path in drawn.iter(f"{SVG}path") if "way" in (path.get("class") or "")]
    labels = ["".join(text.itertext()) for text in drawn.iter(f"{SVG}text") if text.get("class") == "label"]

    assert sorted(ways) == ["way"] * 3 + ["way dashed"] * 3
    assert sorted(labels) == ["again, rewrite", "drop", "ok"]


def test_a_long_name_is_broken_into_lines_and_kept_whole_in_its_title() -> None:
    name = "fetch_the_customer_records_from_the_warehouse_and_then_some_more_of_them_until_it_is_enough_for_anybody"
    shape = shapes(picture(StateGraph(Trail).add_node(name, node).compile()))[name]

    assert len(words(shape)) == 4
    assert all(len(line) <= 24 for line in words(shape))
    assert words(shape)[-1].endswith("…")


def test_a_node_that_leads_to_itself_has_a_loop_at_its_side() -> None:
    graph = graph_of("a").set_entry_point("a").add_conditional_edges("a", node, {"again": "a", "done": END})
    labels = [text for text in picture(graph.compile()).iter(f"{SVG}text") if text.get("class") == "label"]

    assert ["".join(label.itertext()) for label in labels] == ["again", "done"]


def test_a_wide_and_a_long_graph_are_drawn_in_no_time() -> None:
    wide = graph_of("plan", "gather")
    for number in range(60):
        wide.add_node(f"w{number}", visit(f"w{number}")).add_edge("plan", f"w{number}").add_edge(f"w{number}", "gather")
    long = graph_of(*[f"n{number}" for number in range(300)])

    assert len(shapes(picture(wide.set_entry_point("plan").compile()))) == 64
    assert len(shapes(picture(long.compile()))) == 302
