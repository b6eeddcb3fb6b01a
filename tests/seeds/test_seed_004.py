"""Every Python block of the document runs as it is written, and does what the text around it says."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from taf import AgentState, CompiledGraph, ExecutionStatus, Message, UnknownThreadError
from taf.checkpointer import BaseCheckpointer
from tests.seeds.conftest import HANG, Human, Nodes, forever, sequence, texts
from tests.seeds.document import NAMES, PATH, blocks, run, snippet

# -- the document itself ---------------------------------------------------------------------------


def test_the_data_is_the_document() -> None:
    assert (
        hashlib.sha256(PATH.read_bytes()).hexdigest()
        == "a19fccb8a5d792b972eba281de9720085e89724ee88f5c20b4f7fce09f015459"
    )
    assert len(blocks()) == len(NAMES) == 14


def test_every_block_is_run_here() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))

    assert set(NAMES) <= set(re.findall(r'(?:run|snippet)\(\s*"(\w+)"', source))


# -- interrupts and stops --------------------------------------------------------------------------


def test_interrupts_named_at_compile_time_pause_after_and_before(nodes: Nodes) -> None:
    found = run(
        "compile_time_interrupts",
        analyze_data=nodes("ANALYZE"),
        execute_sensitive_tool=nodes("EXECUTE_TOOL"),
        cleanup_resources=nodes("CLEANUP"),
    )
    config = {"thread_id": "t"}
    with found["app"] as app:
        first = app.invoke({"messages": [Message.text_message("go")]}, config)
        assert (first["status"], first["current_node"]) == (ExecutionStatus.INTERRUPTED_AFTER, "ANALYZE")
        assert nodes.ran == ["ANALYZE"]

        second = app.invoke({}, config)
        assert (second["status"], second["current_node"]) == (ExecutionStatus.INTERRUPTED_BEFORE, "EXECUTE_TOOL")
        assert nodes.ran == ["ANALYZE"]

        last = app.invoke({}, config)
        assert last["status"] == ExecutionStatus.COMPLETED
        assert nodes.ran == ["ANALYZE", "EXECUTE_TOOL", "CLEANUP"]


def test_a_stream_in_a_thread_is_stopped_from_outside(
    store: BaseCheckpointer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_working, sleep = threading.Event(), time.sleep

    async def work(state: AgentState) -> None:
        is_working.set()
        await forever()

    app = sequence(("WORK", work), ("NEVER", lambda state: None)).compile(checkpointer=store)
    monkeypatch.setattr(time, "sleep", lambda s: is_working.wait(HANG) if s == 2.0 else sleep(s))
    with app:
        found = run("runtime_stop", app=app, input_data={"messages": [Message.text_message("go")]})
        found["agent_thread"].join(HANG)

        assert not found["agent_thread"].is_alive()
        assert found["status"]["ok"]
        assert found["status"]["was_running"]
        assert found["status"]["status"] == ExecutionStatus.STOPPED
        assert app.get_state({"thread_id": "my-session"}).next == ("WORK",)
    shown = capsys.readouterr().out
    assert "Stop status: {'ok': True" in shown
    assert shown.count("EventType.STOPPED") == 1


# -- state while interrupted -----------------------------------------------------------------------


def test_the_state_says_where_and_why_it_is_paused(
    store: BaseCheckpointer, nodes: Nodes, capsys: pytest.CaptureFixture[str]
) -> None:
    app = sequence(("LOOK", nodes("LOOK")), ("ACT", nodes("ACT")))
    with app.compile(checkpointer=store, interrupt_before=["ACT"]) as app:
        paused = app.invoke({}, {"thread_id": "t"})
        run("state_tracking", state=paused.state)
        assert capsys.readouterr().out.splitlines() == [
            "Paused at: ACT",
            'Reason: Paused before node "ACT".',
            "Status: interrupted_before",
        ]

        run("state_tracking", state=app.get_state({"thread_id": "t"}).state)
        assert capsys.readouterr().out.startswith("Paused at: ACT")

        run("state_tracking", state=app.invoke({}, {"thread_id": "t"}).state)
        assert capsys.readouterr().out == ""


def test_a_node_sets_an_interrupt_and_is_not_asked_again_once_answered(
    store: BaseCheckpointer, nodes: Nodes, names: dict[str, Any]
) -> None:
    found = run("manual_interrupt", requires_human_approval=lambda state: True, **names)
    graph = sequence(("approval_node", found["approval_node"]), ("PAY", nodes("PAY")))
    with graph.compile(checkpointer=store) as app:
        paused = app.invoke({}, {"thread_id": "t"})
        assert paused.status is ExecutionStatus.INTERRUPTED_BEFORE
        assert paused.interrupt_reason == "Requires human approval for high-value transaction"
        assert paused.interrupts[0].data == {"transaction_amount": 10000, "requires_approval": True}
        assert nodes.ran == []

        assert app.invoke({}, {"thread_id": "t"}).status is ExecutionStatus.COMPLETED
        assert nodes.ran == ["PAY"]


def test_a_node_that_needs_no_approval_does_not_pause(store: BaseCheckpointer, names: dict[str, Any]) -> None:
    found = run("manual_interrupt", requires_human_approval=lambda state: False, **names)
    with sequence(("approval_node", found["approval_node"])).compile(checkpointer=store) as app:
        assert app.invoke({}).status is ExecutionStatus.COMPLETED


# -- resuming --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decision", "ran"), [("y", ["CHECK", "TRANSFER"]), ("n", ["CHECK"])])
def test_a_run_goes_on_when_the_human_says_yes(
    transaction: CompiledGraph, nodes: Nodes, names: dict[str, Any], decision: str, ran: list[str]
) -> None:
    human = Human(decision)
    found = run("basic_resume", app=transaction, input=human, **names)

    assert human.asked == ["Approve transaction? (y/n): "]
    assert nodes.ran == ran
    assert found["result"]["interrupted"] == (decision == "n")
    assert ("Approved by human" in texts(found["result"])) == (decision == "y")


def test_a_resume_merges_its_messages_and_clears_the_interrupt(
    transaction: CompiledGraph, nodes: Nodes, names: dict[str, Any]
) -> None:
    transaction.invoke({"messages": [Message.text_message("start")]}, {"thread_id": "session-123"})
    result = run("resume_with_input", app=transaction, **names)["resumed_result"]

    assert texts(result) == [
        "start",
        "CHECK done",
        "Transaction approved",
        "Use enhanced security protocols",
        "TRANSFER done",
    ]
    assert nodes.ran == ["CHECK", "TRANSFER"]
    assert (result["interrupted"], result["interrupt_reason"]) == (False, None)


# -- errors and tests ------------------------------------------------------------------------------


def error_handling(app: CompiledGraph, config: dict[str, Any]) -> Any:
    found = run(
        "error_handling",
        app=app,
        input_data={"messages": [Message.text_message("go")]},
        config=config,
        handle_interrupt=lambda result: ("handled", result["interrupt_reason"]),
    )
    return found["robust_interrupt_handling"]


async def test_an_interrupt_is_handled_gracefully(transaction: CompiledGraph) -> None:
    with pytest.warns(RuntimeWarning, match="Use ainvoke"):
        handled = await error_handling(transaction, {"thread_id": "t"})()

    assert handled == ("handled", 'Paused before node "TRANSFER".')


async def test_a_nodes_exception_carries_its_thread_id_and_the_thread_is_left_in_error(store: BaseCheckpointer) -> None:
    def fail(state: AgentState) -> None:
        raise ValueError("the tool broke")

    async with sequence(("FAIL", fail)).compile(checkpointer=store) as app:
        with pytest.warns(RuntimeWarning, match="Use ainvoke"), pytest.raises(ValueError, match="tool broke") as raised:
            await error_handling(app, {"thread_id": "t"})()

        assert vars(raised.value)["thread_id"] == "t"
        assert (await app.aget_state({"thread_id": "t"})).status is ExecutionStatus.ERROR


async def test_the_handler_stops_the_thread_that_the_exception_names(transaction: CompiledGraph) -> None:
    await transaction.ainvoke({}, {"thread_id": "other"})

    class Refusing:
        """An app that cannot run, as when a caller's own code around it raises."""

        astop = transaction.astop

        def invoke(self, *_: Any, **__: Any) -> None:
            raise UnknownThreadError("other")

    with pytest.raises(UnknownThreadError):
        await error_handling(Refusing(), {"thread_id": "t"})()

    assert (await transaction.aget_state({"thread_id": "other"})).status is ExecutionStatus.STOPPED


PREAMBLE = """
from taf import END, START, InMemoryCheckpointer, Message, StateGraph

def analyze_user_request(state): return Message.text_message("analysed")
def execute_user_action(state): return Message.text_message("executed")
def finalize_action(state): return None
"""


def test_the_pytest_block_is_collected_and_passes(tmp_path: Path) -> None:
    file = tmp_path / "test_interrupts.py"
    file.write_text(PREAMBLE + snippet("approval_workflow") + snippet("testing_interrupts"), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", file.name]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 passed" in found.stdout
