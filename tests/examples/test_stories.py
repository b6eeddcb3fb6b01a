"""Each example tells its story."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from examples import (
    conditional_escalation,
    custom_monitor,
    debug_session,
    flask_stop_control,
    fork_from_history,
    parallel_review,
    streaming_with_interrupts,
    subgraph_approval,
)

FOLDER = Path(__file__).resolve().parents[2] / "examples"


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_every_example_is_run_here_or_next_door() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))

    assert [path.stem for path in FOLDER.glob("*.py") if path.stem not in tests] == []


def test_the_debug_session_repairs_a_value_between_two_steps(capsys: pytest.CaptureFixture[str]) -> None:
    debug_session.main()

    assert lines(capsys) == [
        "paused after preprocess: clean=[1.0, 2.0, 9000.0] mean=None",
        "  9000 is a typing error: take it out, then go on",
        "paused after infer: clean=[1.0, 2.0] mean=1.5",
        "completed: mean=1.5",
    ]


def test_the_flask_app_starts_and_stops_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    flask_stop_control.main()

    assert lines(capsys) == [
        "start: {'status': 'started', 'thread_id': 'web-1'}",
        "stop:  {'ok': True, 'status': 'stopped', 'was_running': True, 'node': 'research', "
        "'reason': 'the user pressed stop'}",
        "state: {'next': ['research'], 'status': 'stopped'}",
        "again: stopped",
    ]


def test_the_flask_app_knows_an_unknown_thread() -> None:
    with flask_stop_control.build() as agent:
        client = flask_stop_control.create_app(agent).test_client()
        assert client.get("/agent/state/nobody").status_code == 404
        assert client.post("/agent/stop", json={"thread_id": "nobody"}).get_json()["reason"] == "unknown-thread"


async def test_the_escalation_asks_only_when_it_is_not_sure(capsys: pytest.CaptureFixture[str]) -> None:
    await conditional_escalation.main()

    assert lines(capsys) == [
        "clear ticket:   completed, billing",
        "unclear ticket: Low confidence (0.40), guess: technical",
        "then it asks:   Which department?",
        "wrong answer:   department: Input should be 'billing' or 'technical'.",
        "right answer:   completed, billing",
        "on record:      'Which department?' answered by alice",
        "on record:      'Low confidence (0.40)' answered by alice",
    ]


async def test_the_stream_is_answered_and_cancelled_in_its_loop(capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter(["y", "n"])
    await streaming_with_interrupts.main(lambda question: next(answers))

    shown = lines(capsys)
    second = shown.index("thread second:")
    assert shown[second - 1] == "  now it is completed"
    assert "  node_completed: The letter is sent." in shown[:second]
    assert shown[-2:] == ["  stopped: a person said no", "  now it is stopped"]
    assert shown.count("  ... Dear") == 2


def test_the_stream_without_a_terminal_is_a_no(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    asyncio.run(streaming_with_interrupts.main())

    assert lines(capsys).count("  now it is stopped") == 2


def test_the_monitor_tells_the_pause_and_survives_a_broken_observer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(RuntimeWarning, match="this observer is broken"):
        custom_monitor.main()

    shown = lines(capsys)
    waits = [line for line in shown if line.startswith("!!")]
    assert waits == ['!! SENSITIVE_ACTION waits: Paused before node "SENSITIVE_ACTION". (kind: before)']
    assert shown[-1] == (
        "counted: {'started': 1, 'node_completed': 2, 'interrupted': 1, 'answered': 1, 'resumed': 1, 'completed': 1}"
    )


async def test_two_reviewers_answer_in_any_order_and_a_task_runs_once(capsys: pytest.CaptureFixture[str]) -> None:
    await parallel_review.main()

    shown = lines(capsys)
    assert shown.count("  (the words are counted)") == 1
    assert shown[-3:] == [
        "an answer has to name one of 2",
        "bob answered; still open: ['Style: are 3 words fine?']",
        "completed: ['style: True nice', 'facts: True'], published: True",
    ]


def test_a_subgraph_is_approved_and_denied_from_outside(capsys: pytest.CaptureFixture[str]) -> None:
    subgraph_approval.main()

    assert lines(capsys) == [
        'waits at payment > pay: Paused before node "pay".',
        "waits at payment > pay: Which account pays 80?",
        "completed: paid by savings; A chair is on its way.",
        "completed: paid by nobody; A boat costs 90000.",
    ]


def test_a_fork_leaves_the_original_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    fork_from_history.main()

    shown = lines(capsys)
    assert shown[-2:] == [
        "original: ['Ada left home.', 'Ada met a dragon.', 'Ada came home.']",
        "what-if:  ['Ada left home.', 'Grace met a dragon.', 'Grace came home.']",
    ]
    assert "checkpoint 2: 1 lines, next ('meet',)" in shown
