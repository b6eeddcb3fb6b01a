"""The document's practical patterns, its monitor and its streaming example, as they are written."""

from __future__ import annotations

import pdb
import threading
from typing import Any

import pytest

from taf import AgentState, Event, ExecutionStatus, Message
from taf.checkpointer import BaseCheckpointer
from tests.seeds.conftest import HANG, Human, Nodes, approval_names, forever, last_result, sequence, texts
from tests.seeds.document import run

# -- the patterns ----------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["yes", "no"])
async def test_the_approval_workflow_pauses_and_then_any_message_approves(
    store: BaseCheckpointer, nodes: Nodes, names: dict[str, Any], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []

    class Watching(Human):
        def __call__(self, question: str = "") -> str:
            seen.append(list(nodes.ran))
            return super().__call__(question)

    found = run("approval_workflow", input=Watching(answer), **approval_names(nodes), **names)
    with pytest.warns(RuntimeWarning, match="Use ainvoke") as warned:
        await found["approval_workflow"]()

    assert len(warned) == 2
    assert seen == [["ANALYZE_REQUEST"]]
    assert nodes.ran == ["ANALYZE_REQUEST", "EXECUTE_ACTION", "FINALIZE"]
    assert capsys.readouterr().out == "Request analysis: ANALYZE_REQUEST done\n"


@pytest.mark.parametrize("answer", ["yes", "no"])
async def test_the_approval_workflow_keeps_what_the_human_said(
    store: BaseCheckpointer, nodes: Nodes, names: dict[str, Any], answer: str
) -> None:
    found = run("approval_workflow", input=Human(answer), **approval_names(nodes), **names)
    with pytest.warns(RuntimeWarning):
        await found["approval_workflow"]()
    result = await last_result(store, "dangerous-operation")

    said = {"yes": "APPROVED: Proceed with deletion", "no": "DENIED: Operation cancelled"}[answer]
    assert result.status is ExecutionStatus.COMPLETED
    assert texts(result)[:3] == ["Delete all production data", "ANALYZE_REQUEST done", said]


def test_the_debug_loop_stops_after_each_step_and_ends(
    nodes: Nodes, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(pdb, "set_trace", lambda: seen.append(list(nodes.ran)))
    found = run(
        "debug_session",
        preprocess_data=nodes("PREPROCESS"),
        run_ml_model=nodes("MODEL_INFERENCE"),
        postprocess_results=nodes("POSTPROCESS"),
        raw_data=[1, 2, 3],
        **names,
    )
    found["debug_session"]()

    assert seen == [["PREPROCESS"], ["PREPROCESS", "MODEL_INFERENCE"]]
    assert nodes.ran == ["PREPROCESS", "MODEL_INFERENCE", "POSTPROCESS"]
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("Paused")] == [
        "Paused after: PREPROCESS",
        "Paused after: MODEL_INFERENCE",
    ]
    assert "input_data=[1, 2, 3]" in shown


def test_the_flask_endpoints_start_a_run_in_a_thread_and_stop_it(
    store: BaseCheckpointer, names: dict[str, Any]
) -> None:
    sent: list[Event] = []
    is_working, has_ended = threading.Event(), threading.Event()

    async def work(state: AgentState) -> None:
        is_working.set()
        await forever()

    def send_to_frontend(chunk: Event) -> None:
        sent.append(chunk)
        if chunk.event_type == "stopped":
            has_ended.set()

    with sequence(("WORK", work)).compile(checkpointer=store) as app:
        found = run(
            "flask_stop_control",
            build_streaming_agent=lambda: app,
            send_to_frontend=send_to_frontend,
            threading=threading,
            **names,
        )
        client = found["app_flask"].test_client()
        started = client.post("/agent/start", json={"thread_id": "web", "messages": ["hello", "world"]})
        assert started.get_json() == {"status": "started", "thread_id": "web"}
        assert is_working.wait(HANG)

        stopped = client.post("/agent/stop", json={"thread_id": "web"}).get_json()
        assert stopped["status"] == "stopped"
        assert stopped["details"]["ok"] is True
        assert stopped["details"]["status"] == "stopped"
        assert stopped["details"]["node"] == "WORK"
        assert has_ended.wait(HANG)
        assert [event.event_type for event in sent] == ["started", "stopped"]
        assert [m.text() for m in app.get_state({"thread_id": "web"}).state.messages] == ["hello", "world"]


@pytest.mark.parametrize(("confidence", "complexity"), [(0.5, 0.1), (0.9, 0.95)])
def test_the_escalation_pauses_once_and_ends_after_a_human_answered(
    store: BaseCheckpointer, nodes: Nodes, names: dict[str, Any], confidence: float, complexity: float
) -> None:
    seen: list[list[Message]] = []

    def calculate_confidence(context: list[Message]) -> float:
        seen.append(context)
        return confidence

    found = run(
        "conditional_escalation",
        calculate_confidence=calculate_confidence,
        assess_complexity=lambda context: complexity,
        **names,
    )
    graph = sequence(("smart_escalation_node", found["smart_escalation_node"]), ("ACT", nodes("ACT")))
    with graph.compile(checkpointer=store) as app:
        paused = app.invoke({"messages": [Message.text_message("hard")]}, {"thread_id": "t"})
        assert paused.interrupt_reason == f"Low confidence ({confidence:.2f}) or high complexity ({complexity:.2f})"
        assert paused.interrupts[0].data["escalation_reason"] == "Requires human expertise"

        ended = app.invoke({"messages": [Message.text_message("do it")]}, {"thread_id": "t"})
        assert ended.status is ExecutionStatus.COMPLETED
        assert nodes.ran == ["ACT"]
        assert [len(context) for context in seen] == [1, 2]


def test_a_simple_case_is_not_escalated(store: BaseCheckpointer, names: dict[str, Any]) -> None:
    found = run(
        "conditional_escalation",
        calculate_confidence=lambda context: 0.9,
        assess_complexity=lambda context: 0.1,
        **names,
    )
    with sequence(("smart_escalation_node", found["smart_escalation_node"])).compile(checkpointer=store) as app:
        assert app.invoke({}).status is ExecutionStatus.COMPLETED


# -- events and streams ----------------------------------------------------------------------------


def test_the_monitor_prints_each_pause_once(nodes: Nodes, capsys: pytest.CaptureFixture[str]) -> None:
    graph = sequence(("LOOK", nodes("LOOK")), ("SENSITIVE_ACTION", nodes("SENSITIVE_ACTION")))
    with run("interrupt_monitor", graph=graph)["app"] as app:
        app.invoke({}, {"thread_id": "t"})

    shown = capsys.readouterr().out
    own = [line for line in shown.splitlines() if not line.startswith("[t]")]
    assert own == [
        "🛑 Execution paused at SENSITIVE_ACTION",
        '   Reason: Paused before node "SENSITIVE_ACTION".',
        "   Interrupt type: before",
    ]
    assert shown.count("interrupted SENSITIVE_ACTION") == 1


@pytest.mark.parametrize("answer", ["y", "n"])
async def test_a_stream_is_resumed_or_cancelled_inside_its_own_loop(
    store: BaseCheckpointer, nodes: Nodes, names: dict[str, Any], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    build = run("approval_workflow", **approval_names(nodes), **names)["build_approval_agent"]
    human = Human(answer)
    found = run("streaming_with_interrupts", build_approval_agent=build, input=human, **names)
    await found["streaming_with_interrupts"]()

    shown = capsys.readouterr().out
    assert human.asked == ["Approve? (y/n): "]
    assert shown.count('Execution paused: Paused before node "EXECUTE_ACTION".') == 1
    if answer == "y":
        assert nodes.ran == ["ANALYZE_REQUEST", "EXECUTE_ACTION", "FINALIZE"]
        assert "📤 FINALIZE done" in shown
    else:
        assert nodes.ran == ["ANALYZE_REQUEST"]
        assert "Operation cancelled" in shown
    status = ExecutionStatus.COMPLETED if answer == "y" else ExecutionStatus.STOPPED
    assert (await last_result(store, "stream-interrupt-demo")).status is status
