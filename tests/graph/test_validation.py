"""The faults of a graph: all in one error, each with what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taf.errors import ConfigError, GraphValidationError
from taf.graph import END, START, StateGraph

Build = Callable[[StateGraph], Any]


async def node(state: Any) -> None:
    return None


def chain() -> StateGraph:
    """A sound graph: fetch → review → publish."""
    graph = StateGraph().add_sequence([("fetch", node), ("review", node), ("publish", node)])
    return graph.set_entry_point("fetch").set_finish_point("publish")


def faults(graph: StateGraph, **options: Any) -> tuple[str, ...]:
    with pytest.raises(GraphValidationError) as caught:
        graph.compile(**options)
    assert all(fault in str(caught.value) for fault in caught.value.faults)
    return caught.value.faults


def test_a_sound_graph_has_no_faults() -> None:
    assert chain().compile(interrupt_before=["review"], interrupt_after={"fetch"})


def map_to(*targets: str) -> Build:
    return lambda graph: graph.add_conditional_edges("review", node, dict(enumerate(targets)))


MEANT = 'leads to "publsh", which is no node. Did you mean "publish"? The nodes: fetch, review, publish.'
SINGLE: list[tuple[Build, str]] = [
    (lambda g: g.add_edge("review", "publsh"), f"The edge from 'review' {MEANT}"),
    (lambda g: g.add_edge("fetsh", "review"), 'An edge starts at "fetsh", which is no node. Did you mean "fetch"?'),
    (lambda g: g.add_edge(END, "fetch"), "An edge starts at END. Name a node there."),
    (lambda g: g.add_edge("review", START), "The edge from 'review' leads to START. Name a node there."),
    (
        lambda g: g.add_edge(["fetch", "reviw"], "publish"),
        'waits for "reviw", which is no node. Did you mean "review"?',
    ),
    (lambda g: g.add_edge(["fetch", "review"], "publsh"), 'A join leads to "publsh", which is no node.'),
    (lambda g: g.add_edge([], "publish"), "A join to 'publish' waits for no node"),
    (lambda g: g.add_edge([START, "fetch"], "publish"), "waits for START"),
    (lambda g: g.add_edge([END, "fetch"], "publish"), "waits for END"),
    (lambda g: g.add_conditional_edges("reviews", node), 'A conditional edge starts at "reviews", which is no node.'),
    (lambda g: g.add_conditional_edges(END, node), "A conditional edge starts at END"),
    (map_to("publsh"), f"The path_map of the conditional edge from 'review' {MEANT}"),
    (map_to("fetch", END, "publsh"), f"The path_map of the conditional edge from 'review' {MEANT}"),
    (map_to(START), "leads to START. Name a node there."),
    (lambda g: g.add_conditional_edges("review", node, ["publsh"]), MEANT),
    (lambda g: g.add_node("review", node), 'Two nodes are called "review"'),
    (lambda g: g.add_node(START, node), "cannot be the name of a node"),
    (lambda g: g.add_node(END, node), "cannot be the name of a node"),
    (lambda g: g.add_node("", node), "cannot be the name of a node"),
]


@pytest.mark.parametrize(("build", "sentence"), SINGLE, ids=[sentence[:50] for _, sentence in SINGLE])
def test_a_fault_is_named_with_its_cure(build: Build, sentence: str) -> None:
    graph = chain()
    build(graph)

    found = faults(graph)

    assert len(found) == 1, found
    assert sentence in found[0]


@pytest.mark.parametrize("word", ["interrupt_before", "interrupt_after"])
def test_an_unknown_name_in_a_breakpoint_is_told_the_nearest(word: str) -> None:
    (fault,) = faults(chain(), **{word: ["reviwe"]})

    assert fault.startswith(f'{word} names "reviwe", which is no node. Did you mean "review"?')
    assert "fetch, review, publish" in fault


@pytest.mark.parametrize("name", [START, END])
def test_a_breakpoint_at_an_end_is_a_fault(name: str) -> None:
    assert len(faults(chain(), interrupt_before=[name])) == 1


def test_a_name_far_from_all_gets_no_guess_but_the_list() -> None:
    (fault,) = faults(chain(), interrupt_before=["zzzzzz"])

    assert "Did you mean" not in fault
    assert "The nodes: fetch, review, publish." in fault


def test_all_faults_are_told_in_one_error() -> None:
    graph = StateGraph().add_node("fetch", node).add_node("fetch", node).add_node("review", node)
    graph.add_edge("fetch", "reviw").add_edge(END, "fetch").add_edge(["fetch", "ghost"], "review")
    graph.add_conditional_edges("review", node, {"x": "fetchh"})

    found = faults(graph, interrupt_before=["fetc"], interrupt_after=["revie"])

    words = ["Two nodes", "reviw", "starts at END", "ghost", "fetchh", "Nothing starts", "fetc", "revie"]
    assert len(found) == len(words)
    assert all(any(word in fault for fault in found) for word in words)


def test_an_empty_graph_says_how_to_begin() -> None:
    assert faults(StateGraph()) == ("It has no nodes. Add some with add_node().",)


def test_a_graph_with_edges_and_no_beginning_says_how_to_begin() -> None:
    graph = StateGraph().add_sequence([("fetch", node), ("review", node)])

    assert faults(graph) == ("Nothing starts: add_edge(START, 'fetch') or set_entry_point('fetch').",)


def test_an_edge_from_start_to_end_alone_starts_nothing() -> None:
    graph = StateGraph().add_node("fetch", node).add_edge(START, END)

    assert "Nothing starts" in faults(graph)[0]


@pytest.mark.parametrize("names", [["review"], ("review",), {"review"}, {"review": 1}, iter(["review"]), "review"])
def test_breakpoints_are_any_iterable_of_names_or_one_name(names: Any) -> None:
    assert chain().compile(interrupt_before=names).runtime.spec.before == {"review"}


OPTIONS: list[dict[str, Any]] = [
    {"checkpointer": "memory"},
    {"max_concurrency": 0},
    {"max_threads": 1.5},
    {"lease_seconds": 0},
    {"stop_grace": "1"},
    {"while_paused": "ignore"},
    {"multitask_strategy": "panic"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda found: next(iter(found)))
def test_an_option_that_makes_no_sense_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        chain().compile(**options)
