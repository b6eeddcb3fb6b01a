"""A task is a fold over the events of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from taf import Event, EventType, Message
from taf.graph.handover import DROPPED
from taf.interruption.task import TaskContext, TaskStatus, advance, query_of, show
from taf.state.superseded import Superseded

AT = datetime(2026, 1, 1, tzinfo=UTC)


def told(*events: tuple[EventType, str, str | None, dict[str, Any]]) -> TaskContext:
    context: TaskContext | None = None
    for sequence, (kind, run_id, node, data) in enumerate(events, 1):
        context = advance(context, Event(kind, "u", run_id, sequence, 0, AT, node, "why", data))
    assert context is not None
    return context


def started(run_id: str, text: str) -> tuple[EventType, str, str | None, dict[str, Any]]:
    update = {"context": [Message.text_message(text)]}
    return EventType.STARTED, run_id, None, {"update": update, "next": ["router"]}


def ran(
    run_id: str, node: str, following: list[str], **update: Any
) -> tuple[EventType, str, str | None, dict[str, Any]]:
    return EventType.NODE_COMPLETED, run_id, node, {"update": update, "next": following}


def test_a_task_that_begins_is_running_and_has_its_query() -> None:
    task = told(started("r1", "flights"))

    assert (task.task_id, task.user_id, task.query, task.status) == ("r1", "u", "flights", TaskStatus.RUNNING)
    assert (task.current_agent, task.agents_completed, task.created_at, task.sequence) == ("router", [], AT, 1)


def test_agents_that_are_done_are_listed_with_what_they_returned() -> None:
    answer = Message.text_message("Here.", role="assistant")
    task = told(
        started("r1", "flights"),
        ran("r1", "router", ["flight"], intent="flight"),
        ran("r1", "flight", ["response"], flights=[1, 2]),
        ran("r1", "response", [], context=[answer]),
        (EventType.COMPLETED, "r1", None, {}),
    )

    assert task.agents_completed == ["router", "flight", "response"]
    assert (task.intent, task.status, task.response) == ("flight", TaskStatus.COMPLETED, "Here.")
    assert task.final_results == {"router": {"intent": "flight"}, "flight": {"flights": [1, 2]}, "response": "Here."}


def test_a_task_that_was_stopped_has_what_it_had_shown() -> None:
    partials = [{"node": "flight", "attempt": 1, "key": "flights", "value": [1]}]
    stopped = EventType.STOPPED, "r1", "flight", {"reason": "x", "partials": partials, "superseded_by": "r2"}
    task = told(started("r1", "flights"), stopped)

    assert (task.status, task.partial_results) == (TaskStatus.INTERRUPTED, {"flight": {"flights": [1]}})
    assert (task.superseded_by, task.status.is_over) == ("r2", True)


def test_a_task_whose_process_died_ends_when_another_one_takes_its_place() -> None:
    handed = EventType.HANDED_OVER, "r1", None, {"superseded": Superseded("r1", "r2")}
    task = told(started("r1", "flights"), handed)
    assert (task.status, task.superseded_by) == (TaskStatus.INTERRUPTED, "r2")

    done = told(started("r1", "flights"), (EventType.COMPLETED, "r1", None, {}), handed)
    assert (done.status, done.superseded_by) == (TaskStatus.COMPLETED, None)


def test_a_stop_that_keeps_nothing_is_a_cancellation() -> None:
    assert told(started("r", "x"), (EventType.STOPPED, "r", None, {"reason": DROPPED})).status is TaskStatus.CANCELLED


def test_a_pause_for_a_human_is_no_end() -> None:
    paused = EventType.INTERRUPTED, "r1", "pay", {"reason": "why"}
    task = told(started("r1", "x"), paused)

    assert (task.status, task.question, task.current_agent) == (TaskStatus.RUNNING, "why", "pay")
    assert told(started("r1", "x"), paused, (EventType.ANSWERED, "r2", "pay", {})).task_id == "r1"


def test_a_run_that_goes_on_has_the_query_of_the_one_before() -> None:
    task = told(
        started("r1", "flights"),
        (EventType.STOPPED, "r1", None, {"reason": "x"}),
        (EventType.RESUMED, "r2", None, {"update": {}}),
    )

    assert (task.task_id, task.query, task.status) == ("r2", "flights", TaskStatus.RUNNING)


def test_the_next_task_begins_with_nothing_of_the_one_before() -> None:
    task = told(started("r1", "flights"), ran("r1", "flight", [], flights=[1]), started("r2", "hotels"))

    assert (task.task_id, task.query, task.agents_completed, task.partial_results) == ("r2", "hotels", [], {})


def test_an_error_is_told() -> None:
    task = told(started("r1", "x"), (EventType.ERROR, "r1", "flight", {"error": "E", "message": "m"}))

    assert (task.status, task.error, task.current_agent) == (TaskStatus.FAILED, "why", "flight")


def test_what_is_about_the_thread_begins_no_task() -> None:
    updated = EventType.STATE_UPDATED, "", None, {"update": {"context": [Message.text_message("x")]}}

    assert advance(None, Event(updated[0], "u", "", 1, 0, AT, None, "", updated[3])) is None
    task = told(started("r1", "x"), (EventType.COMPLETED, "r1", None, {}), updated)
    assert (task.task_id, task.status, task.sequence) == ("r1", TaskStatus.COMPLETED, 3)


def test_the_last_partial_of_a_key_is_the_last_in_the_row() -> None:
    results: dict[str, Any] = {}
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        show(results, "n", key, value)
    show(results, "m", None, "x")
    show(results, "m", "k", "y")

    assert results == {"n": {"b": 2, "a": 3}, "m": {"k": "y"}}
    assert list(results["n"]) == ["b", "a"]


def test_a_query_is_what_the_user_said_last_or_the_field_of_that_name() -> None:
    said = [Message.text_message("one"), Message.text_message("two"), Message.text_message("no", role="assistant")]

    assert query_of({"context": said}) == "two"
    assert query_of({"query": "three"}) == "three"
    assert query_of({"other": 1}) == ""


def test_a_task_can_be_told_in_plain_values() -> None:
    plain = told(started("r1", "x")).as_dict()

    assert (plain["status"], plain["created_at"], plain["partial_results"]) == ("running", AT.isoformat(), {})
