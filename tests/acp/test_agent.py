"""A graph as an agent, with the SDK's own client on the other end of a socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from acp.exceptions import RequestError

from taf import AgentState, Message, SqliteCheckpointer, StateGraph, interrupt
from taf.acp import turn
from tests.acp.client import FORMS, pending, records, talking_to

# -- a plain answer ------------------------------------------------------------------------------------


async def test_an_answer_is_streamed_and_its_node_is_a_tool_call_in_a_plan(place: Path) -> None:
    async with talking_to("talking", place) as talk:
        session = await talk.new()
        assert await talk.prompt(session, "word 4") == "end_turn"

        assert talk.client.text() == "word0 word1 word2 word3 "
        assert len(talk.client.told("agent_message_chunk")) == 4  # the message itself is not told once more
        assert [plan.entries[0].status for plan in talk.client.told("plan")] == ["in_progress", "completed"]
        [call], [done] = talk.client.told("tool_call"), talk.client.told("tool_call_update")
        assert (call.title, call.status, done.status) == ("talk", "in_progress", "completed")
        assert call.tool_call_id == done.tool_call_id


async def test_a_session_is_remembered_from_prompt_to_prompt(place: Path) -> None:
    async with talking_to("talking", place) as talk:
        session = await talk.new()
        await talk.prompt(session, "one 1")
        await talk.prompt(session, "two 1")
        listed = await talk.conn.list_sessions()

        assert [(info.session_id, info.title) for info in listed.sessions] == [(session, "one 1")]


async def test_two_sessions_run_side_by_side(place: Path) -> None:
    async with talking_to("talking", place) as talk:
        sessions = [await talk.new() for _ in range(2)]
        await asyncio.gather(*(talk.prompt(session, f"s{n} 5") for n, session in enumerate(sessions)))

        for n, session in enumerate(sessions):
            said = [u for s, u in talk.client.updates if s == session and u.session_update == "agent_message_chunk"]
            assert "".join(u.content.text for u in said) == "".join(f"s{n}{i} " for i in range(5))


async def test_an_error_of_a_node_is_the_answer_to_the_prompt(place: Path) -> None:
    async with talking_to("failing", place) as talk:
        session = await talk.new()
        with pytest.raises(RequestError) as told:
            await talk.prompt(session, "fail")
        assert told.value.data == {"details": "OSError: no network"}
        assert talk.client.told("tool_call_update")[-1].status == "failed"


async def test_what_a_second_attempt_streams_again_is_said_once(place: Path) -> None:
    async with talking_to("failing", place) as talk:
        assert await talk.prompt(await talk.new(), "try") == "end_turn"
        assert talk.client.text() == "half of it"


async def test_unknown_sessions_are_refused(place: Path) -> None:
    async with talking_to("talking", place) as talk:
        with pytest.raises(RequestError, match="Resource not found"):
            await talk.prompt("no-such-session", "hello 1")
        with pytest.raises(RequestError, match="Resource not found"):
            await talk.load("no-such-session")


# -- breakpoints ---------------------------------------------------------------------------------------


async def test_a_breakpoint_is_approved_by_permission(place: Path) -> None:
    async with talking_to("approving", place) as talk:
        talk.client.chooses = ["Approve"]
        session = await talk.new()
        assert await talk.prompt(session, "clean up") == "end_turn"

        [(call, options)] = talk.client.permissions
        assert [(option.name, option.kind) for option in options] == [
            ("Reject", "reject_once"),  # first: some clients take the first when nobody answers
            ("Approve", "allow_once"),
        ]
        assert [shown.tool_call_id for shown in pending(talk.client)] == [call.tool_call_id]
        assert talk.client.text() == "I would delete 3 files.\n\nDeleted."
        [record] = await records(place, session)
        assert (record.id, record.status, record.answered_by) == (call.tool_call_id, "answered", "tester")


async def test_a_breakpoint_is_rejected_by_permission(place: Path) -> None:
    async with talking_to("approving", place) as talk:
        talk.client.chooses = ["Reject"]
        session = await talk.new()
        assert await talk.prompt(session, "clean up") == "end_turn"

        assert talk.client.text() == "I would delete 3 files."
        assert [record.status for record in await records(place, session)] == ["rejected"]


async def test_a_question_is_on_record_before_it_is_asked(place: Path) -> None:
    async with talking_to("approving", place) as talk:
        session = await talk.new()
        prompt = asyncio.create_task(talk.prompt(session, "clean up"))
        await talk.client.until(lambda: talk.client.permissions)

        assert [record.status for record in await records(place, session)] == ["open"]
        await talk.conn.cancel(session_id=session)
        assert await prompt == "cancelled"


# -- questions -----------------------------------------------------------------------------------------


async def test_a_question_with_a_schema_is_a_form_where_the_client_has_them(place: Path) -> None:
    async with talking_to("ordering", place, capabilities=FORMS) as talk:
        talk.client.fills = [{"item": "tea", "count": 2, "gift": True}]
        assert await talk.prompt(await talk.new(), "order") == "end_turn"

        [(message, mode)] = talk.client.forms
        fields = mode.requested_schema.properties
        assert message == "What do you order?"
        assert {name: part.type for name, part in fields.items()} == {
            "item": "string",
            "count": "integer",
            "gift": "boolean",
        }
        assert mode.requested_schema.required == ["item"]
        assert talk.client.text() == "2 x tea, gift: True"


async def test_a_form_that_does_not_fit_is_asked_again(place: Path) -> None:
    async with talking_to("ordering", place, capabilities=FORMS) as talk:
        talk.client.fills = [{"item": "tea", "count": "many"}, {"item": "tea", "count": 3}]
        assert await talk.prompt(await talk.new(), "order") == "end_turn"

        assert len(talk.client.forms) == 2
        assert "count: Input should be a valid integer" in talk.client.text()
        assert talk.client.text().endswith("3 x tea, gift: False")


async def test_a_declined_form_rejects_the_question(place: Path) -> None:
    async with talking_to("ordering", place, capabilities=FORMS) as talk:
        talk.client.fills = [None]
        session = await talk.new()
        assert await talk.prompt(session, "order") == "end_turn"
        assert [record.status for record in await records(place, session)] == ["rejected"]


async def test_a_question_with_few_answers_is_a_choice_of_options(place: Path) -> None:
    async with talking_to("choosing", place) as talk:
        talk.client.chooses = ["large", "Yes"]
        assert await talk.prompt(await talk.new(), "one, please") == "end_turn"

        offered = [[(option.name, option.kind[:6]) for option in options] for _, options in talk.client.permissions]
        assert offered == [
            [("Reject", "reject"), ("small", "allow_"), ("large", "allow_")],
            [("No", "reject"), ("Yes", "allow_")],
        ]
        assert talk.client.text() == "One large.\n\nSure."


async def test_an_open_question_is_answered_by_the_next_message(place: Path) -> None:
    async with talking_to("naming", place) as talk:
        talk.client.chooses = ["Answer in the next message"]
        session = await talk.new()
        assert await talk.prompt(session, "hello") == "end_turn"
        assert "Who are you?" in talk.client.text()
        assert await talk.prompt(session, "Ada") == "end_turn"
        assert talk.client.text().endswith("Hello Ada.")


# -- cancelling ----------------------------------------------------------------------------------------


async def test_a_cancel_in_mid_answer_answers_the_prompt_and_nothing_follows(place: Path) -> None:
    async with talking_to("talking", place) as talk:
        session = await talk.new()
        prompt = asyncio.create_task(talk.prompt(session, "word 500"))
        await talk.client.until(lambda: "word3" in talk.client.text())
        await talk.conn.cancel(session_id=session)
        assert await prompt == "cancelled"
        seen = len(talk.client.updates)

        assert await talk.prompt(session, "next 3") == "end_turn"
        assert talk.client.text(seen) == "next0 next1 next2 "


async def test_a_prompt_right_behind_a_cancel_is_answered_though_the_old_run_unwinds(place: Path) -> None:
    async with talking_to("unwilling", place) as talk:
        session = await talk.new()
        prompt = asyncio.create_task(talk.prompt(session, "go"))
        await talk.client.until(lambda: "still still" in talk.client.text())
        await talk.conn.cancel(session_id=session)
        after = asyncio.create_task(talk.prompt(session, "next"))
        assert await prompt == "cancelled"
        seen = len(talk.client.updates)

        assert await after == "end_turn"
        assert talk.client.text(seen) == "The next answer."


async def test_a_cancel_right_behind_a_prompt_finds_it(place: Path) -> None:
    async with talking_to("talking", place) as talk:
        session = await talk.new()
        for _ in range(20):
            prompt = asyncio.create_task(talk.prompt(session, "word 500"))
            await asyncio.sleep(0)
            await talk.conn.cancel(session_id=session)
            assert await prompt == "cancelled"
        assert await talk.prompt(session, "last 2") == "end_turn"
        assert talk.client.text().endswith("last0 last1 ")


async def test_a_client_that_goes_by_order_has_the_answer_to_what_it_cancelled_with_the_next_one(place: Path) -> None:
    async with talking_to("talking", place, name="textual-chat") as talk:
        session = await talk.new()
        answers: list[str] = []

        async def prompt(text: str) -> None:
            answers.append(f"{text}: {await talk.prompt(session, text)}")

        first = asyncio.create_task(prompt("old 500"))
        await talk.client.until(lambda: "old3" in talk.client.text())
        for _ in range(2):
            await talk.conn.cancel(session_id=session)
        await talk.conn.list_sessions()  # answered behind the cancels
        seen = len(talk.client.updates)
        assert answers == []

        await asyncio.gather(first, prompt("new 3"))
        assert answers == ["old 500: cancelled", "new 3: end_turn"]
        assert talk.client.text(seen) == "new0 new1 new2 "


async def test_a_client_that_goes_by_order_and_says_no_more_has_its_answer_too(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "HEIR_SECONDS", 0.05)
    async with talking_to("talking", place, name="textual-chat") as talk:
        session = await talk.new()
        prompt = asyncio.create_task(talk.prompt(session, "word 500"))
        await talk.client.until(lambda: "word3" in talk.client.text())
        await talk.conn.cancel(session_id=session)
        assert await prompt == "cancelled"
        assert await talk.prompt(session, "next 3") == "end_turn"


async def test_a_message_behind_a_cancelled_question_takes_priority_over_it(place: Path) -> None:
    async with talking_to("approving", place) as talk:
        session = await talk.new()
        prompt = asyncio.create_task(talk.prompt(session, "clean up"))
        await talk.client.until(lambda: talk.client.permissions)
        await talk.conn.cancel(session_id=session)
        assert await prompt == "cancelled"
        talk.client.chooses = ["Approve"]
        assert await talk.prompt(session, "only the old ones") == "end_turn"

        assert [record.status for record in await records(place, session)] == ["answered", "withdrawn"]
        assert "Deleted." in talk.client.text()


async def test_a_question_that_nobody_answers_in_time_ends_the_turn_and_is_asked_again(place: Path) -> None:
    async with talking_to("approving", place, deadline=0.2) as talk:
        session = await talk.new()
        assert await talk.prompt(session, "clean up") == "end_turn"
        assert "stays open" in talk.client.text()
        assert [record.status for record in await records(place, session)] == ["open"]
        talk.client.chooses = ["Approve", "Reject"]
        assert await talk.prompt(session, "and now?") == "end_turn"

        asked = [call.tool_call_id for call, _ in talk.client.permissions]
        assert asked[0] == asked[1]  # the same question again, then the one that the new message led to
        assert [record.status for record in await records(place, session)] == ["rejected", "answered"]


# -- two prompts ---------------------------------------------------------------------------------------


async def test_a_second_prompt_supersedes_the_first_without_mixing_their_words(place: Path) -> None:
    async with talking_to("talking", place) as talk:
        session = await talk.new()
        first = asyncio.create_task(talk.prompt(session, "old 500"))
        await talk.client.until(lambda: "old3" in talk.client.text())
        second = await talk.prompt(session, "new 5")

        assert (await first, second) == ("cancelled", "end_turn")
        words = talk.client.text().split()
        assert [word for word in words if word.startswith("new")] == [f"new{n}" for n in range(5)]
        assert words[-5:] == [f"new{n}" for n in range(5)]


async def test_the_run_that_takes_over_knows_what_the_other_one_left(place: Path) -> None:
    async with talking_to("knowing", place) as talk:
        session = await talk.new()
        first = asyncio.create_task(talk.prompt(session, "a long story"))
        await talk.client.until(lambda: talk.client.text() == "half")
        assert await talk.prompt(session, "a short one") == "end_turn"

        assert await first == "cancelled"
        assert talk.client.text().endswith("Instead of 'a long story': {'aware': 'half'}")


async def test_of_many_prompts_at_once_the_last_one_answers(place: Path) -> None:
    async with talking_to("talking", place) as talk:
        session = await talk.new()
        prompts = [asyncio.create_task(talk.prompt(session, f"p{n} 3")) for n in range(6)]

        assert [await prompt for prompt in prompts] == ["cancelled"] * 5 + ["end_turn"]
        assert talk.client.text().endswith("p50 p51 p52 ")


async def test_a_cancel_answers_the_superseded_prompt_too(place: Path) -> None:
    async with talking_to("talking", place) as talk:
        session = await talk.new()
        first = asyncio.create_task(talk.prompt(session, "old 500"))
        await talk.client.until(lambda: "old3" in talk.client.text())
        second = asyncio.create_task(talk.prompt(session, "new 500"))
        await talk.client.until(lambda: "new3" in talk.client.text())
        await talk.conn.cancel(session_id=session)

        assert (await first, await second) == ("cancelled", "cancelled")


# -- answered elsewhere --------------------------------------------------------------------------------


async def test_a_question_that_somebody_else_answers_goes_on_here(place: Path) -> None:
    async with talking_to("naming", place) as talk:
        session = await talk.new()
        prompt = asyncio.create_task(talk.prompt(session, "hello"))
        await talk.client.until(lambda: talk.client.permissions)
        await _answer_elsewhere(place, session, "Grace")

        assert await prompt == "end_turn"
        assert talk.client.text().endswith("Hello Grace.")


async def _answer_elsewhere(place: Path, session: str, name: str) -> None:
    async def ask_name(state: AgentState) -> Message:
        return Message.text_message(f"Hello {await interrupt('Who are you?', answer=str)}.", role="assistant")

    async with SqliteCheckpointer(place) as store:
        app = StateGraph().add_node(ask_name).compile(checkpointer=store, name="naming")
        await app.aresume({"thread_id": session}, name)
