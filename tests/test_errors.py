"""The error tree is drawn as it is; each error says one sentence, and keeps its facts as attributes."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from taf import errors
from taf.errors import TafError, nearest

CLASSES = {
    name: found
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, BaseException) and found.__module__ == errors.__name__
}
AT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
MADE: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "GraphValidationError": ((["a has no way in"],), {}),
    "UpdateConflictError": (("total", "a", "b"), {"has_reducer": False}),
    "NotStorableError": (("data['a']", "it is a function."), {}),
    "RecursionLimitError": ((2, ["a", "b"]), {}),
    "NodeTimeoutError": (("a", 1.5), {}),
    "NonDeterministicReplayError": (("a", 0, 'task "x"', 'task "y"'), {}),
    "PauseSwallowedError": (("a", "Sure?"), {}),
    "InterruptRejectedError": (("too dear", "alice", "end"), {}),
    "WorkLostError": (("r1",), {}),
    "AgentError": ((("agent", "--acp"), "it went away"), {}),
    "InvalidTransitionError": (("idle", "stopped"), {}),
    "ThreadBusyError": (("t", "r"), {}),
    "ThreadPausedError": (("t", ["Sure?"]), {}),
    "NothingToResumeError": (("t", "completed"), {}),
    "UnknownThreadError": (("t",), {}),
    "UnknownCheckpointError": (("t", "7"), {}),
    "QueueWithdrawnError": (("t", "r"), {}),
    "StaleOwnerError": (("t", 3), {}),
    "GraphChangedError": (("t", "it is at node b", "Give it back."), {}),
    "AlreadyAnsweredError": (("t", "i", "answered", "alice", AT), {}),
    "AmbiguousResumeError": (("t", [("i", "Sure?"), ("j", "Really?")]), {}),
    "UnknownInterruptError": (("t", "i"), {}),
    "InvalidAnswerError": (("t", "i", "no number"), {}),
    "InterruptExpiredError": (("t", "i", AT), {}),
    "StoreUnavailableError": (("append", "the disk is full"), {}),
    "StoreCorruptError": (("t", 4, "no JSON"), {}),
    "CheckpointerClosedError": ((), {}),
    "OutsideNodeError": (("interrupt",), {}),
    "AppClosedError": ((), {}),
}
"""How an error that builds its own sentence is made. Names of the arguments are those of the attributes."""

OTHER_NAMES = {
    "open_interrupts": "interrupt_ids",
    "next_nodes": "next",
    "first": "nodes",
    "second": "nodes",
}


def drawn() -> dict[str, str | None]:
    """Return each class of the drawing in the module's docstring with the one that it hangs on, as drawn first."""
    found: dict[str, str | None] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^((?:│   |├── |└── |    )*)([A-Z]\w+)(?:\s{2,}.*)?$", line)
        if match:
            depth, name = len(match[1]) // 4, match[2]
            above[depth] = name
            found.setdefault(name, above[depth - 1] if depth else None)
    return found


def test_every_error_has_its_place_in_the_drawing_and_the_drawing_has_no_other() -> None:
    assert set(drawn()) == set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_error_hangs_where_it_is_drawn(name: str) -> None:
    above = drawn()[name]

    assert (above is None) is (CLASSES[name] is TafError)
    assert above is None or CLASSES[above] in CLASSES[name].__bases__


def test_every_error_says_what_it_is_for() -> None:
    assert [name for name, found in CLASSES.items() if not (found.__doc__ or "").strip().endswith(".")] == []


def test_every_error_with_a_constructor_of_its_own_is_tried_here() -> None:
    assert {name for name, found in CLASSES.items() if "__init__" in vars(found)} == set(MADE)


@pytest.mark.parametrize("name", sorted(MADE))
def test_an_error_says_one_sentence_and_keeps_its_facts(name: str) -> None:
    args, options = MADE[name]
    made = CLASSES[name](*args, **options)
    text = str(made)

    assert text[0].isupper() or text.startswith(('"a"', "data[", "interrupt()"))
    assert text == text.strip()
    assert "  " not in text.replace("\n  -", "")
    signature = inspect.signature(CLASSES[name])
    for argument in signature.bind(*args, **options).arguments:
        assert hasattr(made, OTHER_NAMES.get(argument, argument)), f"{name} forgets {argument}"


def test_an_error_knows_the_thread_run_and_node_when_it_was_told() -> None:
    plain = TafError("x")

    assert (plain.thread_id, plain.run_id, plain.node) == (None, None, None)
    assert errors.ThreadBusyError("t", "r").run_id == "r"
    assert errors.NodeTimeoutError("a", 1).node == "a"


def test_an_answer_that_came_twice_is_both_a_wrong_answer_and_nothing_to_resume() -> None:
    error = errors.AlreadyAnsweredError("t", "i", "answered", "alice", AT)

    assert isinstance(error, errors.AnswerError)
    assert isinstance(error, errors.NothingToResumeError)
    assert str(error) == "Interrupt i was already answered by alice at 2024-01-02T03:04:05+00:00."
    assert str(errors.AlreadyAnsweredError("t", "i", "withdrawn", None, None)) == "Interrupt i was already withdrawn."


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (errors.RecursionLimitError(1, ["a"]), "The run made 1 step, its recursion_limit, and would go on with a. "),
        (errors.AgentError(["agent", "--acp"], "it went away"), 'The agent "agent --acp": it went away.'),
        (errors.GraphValidationError(["x", "y"]), "The graph has 2 faults:\n  - x\n  - y"),
        (errors.InterruptRejectedError("", None), "The question was rejected."),
        (errors.InterruptRejectedError("too dear", "bo"), "The question was rejected by bo: too dear."),
        (errors.ThreadBusyError("t", None), 'Thread "t" is running. Wait for it'),
        (errors.StoreCorruptError("t", None, "no JSON"), 'What is stored of thread "t" cannot be read: no JSON'),
        (errors.UpdateConflictError("x", "a", "b", has_reducer=True), '"a" and "b" ran in one step and both wrote'),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_sentence_fits_what_happened(made: TafError, sentence: str) -> None:
    assert str(made).startswith(sentence)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("anwser", ["question", "answer"], ' Did you mean "answer"?'),
        ("zzz", ["question", "answer"], ""),
        ("x", [], ""),
    ],
)
def test_the_nearest_known_name_is_suggested(name: str, known: list[str], expected: str) -> None:
    assert nearest(name, known) == expected
