"""The real textual-chat widget talks with ``taf acp``: both are processes of their own, each in its environment."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from taf import AgentState, SqliteCheckpointer, StateGraph
from tests.acp.client import ROOT, TAF, records

pytestmark = pytest.mark.e2e

PYTHON = ROOT / ".venvs" / "textual-chat" / "bin" / "python"
SECONDS = 240
PACE = "0.05"
"""Seconds for a word: quick enough for a person, and the widget has time to draw it."""


class Home:
    """A person's home folder, in which the widget keeps its sessions; the agent's store lies beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder / "threads.db"

    async def drive(self, scenario: str, graph: str) -> dict[str, Any]:
        """Run the widget through a scenario of ``widget.py``, and return what was seen."""
        env = {
            **os.environ,
            "HOME": str(self.folder),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "PYTHONPATH": str(ROOT),
            "TAF_ACP_DB": str(self.place),
            "TAF_ACP_PACE": PACE,
        }
        program = str(ROOT / "tests" / "e2e" / "widget.py")
        agent = f"{TAF} acp tests.acp.graphs:{graph}"
        process = await asyncio.create_subprocess_exec(
            *(str(PYTHON), program, scenario, agent),
            env=env,
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, err.decode()[-4000:]
        seen: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
        assert seen["failures"] == [], seen
        assert "timeout" not in seen, seen
        return seen


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def words(name: str, count: int) -> str:
    return "".join(f"{name}{number} " for number in range(count))


async def test_an_answer_is_streamed(home: Home) -> None:
    seen = await home.drive("streaming", "talking")

    assert seen["agent"] == "talker"
    assert seen["answer"] == words("word", 30)
    assert 0 < len(seen["first"]) < len(seen["answer"])


async def test_a_breakpoint_is_approved_in_its_permission_prompt(home: Home) -> None:
    seen = await home.drive("approving", "approving")

    assert seen["answer"] == "I would delete 3 files.\n\nDeleted."


async def test_a_breakpoint_is_rejected_in_its_permission_prompt(home: Home) -> None:
    seen = await home.drive("rejecting", "approving")

    assert seen["labels"] == ["Reject", "Approve"]
    assert seen["answer"] == "I would delete 3 files."


async def test_twenty_interrupted_answers_are_followed_by_twenty_that_are_not_empty(home: Home) -> None:
    seen = await home.drive("interrupting", "talking")

    assert [answer.split()[-3:] for answer in seen["answers"]] == [words(f"new{n}x", 3).split() for n in range(20)]
    assert seen["said"] == [text for n in range(20) for text in ("old 500", f"new{n}x 3")]  # the person's own words


async def test_an_agent_that_hears_of_an_interruption_late_gives_no_empty_answer(home: Home) -> None:
    seen = await home.drive("interrupting_thrice", "sluggish")

    assert [answer.split()[-3:] for answer in seen["answers"]] == [words(f"new{n}x", 3).split() for n in range(3)]


async def test_no_words_are_mixed_after_ctrl_c_and_another_message(home: Home) -> None:
    seen = await home.drive("leaving", "talking")

    for number, answer in enumerate(seen["answers"]):
        old, new = answer.split()[:-5], answer.split()[-5:]
        assert new == words(f"new{number}x", 5).split()
        assert all(word.startswith("old") for word in old)


async def test_a_message_at_an_open_question_goes_on_though_the_widget_never_answers(home: Home) -> None:
    seen = await home.drive("unanswered", "approving")

    assert seen["asked"] == 1
    assert seen["answer"] == "I would delete 3 files."
    [thread_id] = await threads(home.place)
    assert [record.status for record in await records(home.place, thread_id)] == ["rejected", "withdrawn"]


async def test_the_session_is_taken_up_again_by_a_new_process(home: Home) -> None:
    first = await home.drive("beginning", "remembering")
    second = await home.drive("coming_back", "remembering")

    assert second["session"] == first["session"]
    assert first["answer"] == "You have said: first 2"
    assert second["answer"] == "You have said: first 2, second 2"


async def test_without_the_name_of_an_adapter_that_can_cancel_messages_wait_visibly(home: Home) -> None:
    seen = await home.drive("waiting", "talking")

    assert seen["pending"] == ["behind-one 3", "behind-two 3"]
    assert seen["status"] == ["Message queued (1 pending)..."] * 2
    assert seen["answers"] == [
        words("one", 30),
        words("behind-one", 3),
        words("two", 30),
        words("behind-two", 3),
    ]
    assert seen["left"] == 0


async def threads(place: Path) -> list[str]:
    async with SqliteCheckpointer(place) as store:
        app = StateGraph(AgentState).add_node("any", lambda state: None).compile(checkpointer=store)
        return [row.thread_id for row in await app.athreads()]
