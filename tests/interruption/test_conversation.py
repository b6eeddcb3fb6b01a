"""Messages to an agent that is at work: the cases of the document, and what the strategies give beyond it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from taf import BaseCheckpointer, ConfigError, InvalidInputError, NothingToResumeError
from taf.interruption import Conversation, FunctionAdapter, Pending, Reply, combined_prompt
from taf.interruption.adapter import Show
from tests.interruption.agents import Scripted, Stubborn, Tooled
from tests.stopping.slow import until

DOCUMENT = Path(__file__).parents[1] / "seeds" / "data" / "002_smart_interrupt.md"


def documented_prompt() -> str:
    """Return the text of the document, as it is indented there."""
    found = re.search(
        r"Constructs combined prompt with context:\n     ```\n(.*?)\n     ```", DOCUMENT.read_text(), re.DOTALL
    )
    assert found
    return "\n".join(line.removeprefix("     ") for line in found[1].split("\n"))


def test_the_combined_prompt_is_that_of_the_document_word_for_word() -> None:
    wanted = documented_prompt().replace("original task", "Write a poem").replace("{new_message}", "Make it short")

    assert combined_prompt("Write a poem", "Make it short") == wanted


def test_braces_in_what_people_say_are_nothing_special() -> None:
    prompt = combined_prompt("{message} {0} {task}", "{task}")

    assert 'working on: "{message} {0} {task}"' in prompt
    assert "\n\n{task}\n\n" in prompt


async def said(talk: Conversation) -> list[str]:
    return [message.text() for message in await talk.messages()]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("Analyze this dataset", "What is the capital of France?"),  # 1: unrelated
        ("Debug this error", "I just noticed it only happens on Windows"),  # 2: a clarification
        ("Write a long blog post", "Actually, make it short instead"),  # 3: another priority
    ],
)
async def test_1_2_3_an_interruption_is_answered_with_the_context(
    store: BaseCheckpointer, task: str, message: str
) -> None:
    agent = Scripted()
    async with asyncio.timeout(10), Conversation(agent, checkpointer=store) as talk:
        first = await talk.send(task)
        assert (first.outcome, first.notice) == ("started", "")
        await agent.until_prompted(1)
        second = await talk.send(message)
        assert (second.text, second.notice) == (message, "⚡ Interrupting agent with new message...")
        await agent.until_prompted(2)
        assert agent.prompts == [task, combined_prompt(task, message)]
        assert (agent.cancels, agent.most_at_once) == (1, 1)
        assert await said(talk) == [task, message]
        agent.let_go.set()
        assert await talk.reply(second.run_id) == Reply("answer 2", "end_turn")
        assert await talk.reply(first.run_id) == Reply("Let me see. ", "cancelled", second.run_id)
        assert await said(talk) == [task, message, "answer 2"]


async def test_4_rapid_interruptions_never_nest_the_text() -> None:
    agent = Scripted()
    async with asyncio.timeout(20), Conversation(agent) as talk:
        for number in range(8):
            last = await talk.send(f"message {number}")
            await until(lambda number=number: agent.prompts[-1:] != [] and f"message {number}" in agent.prompts[-1])
        agent.let_go.set()
        assert (await talk.reply(last.run_id)).stop_reason == "end_turn"
        assert agent.prompts == [
            "message 0",
            *(combined_prompt(f"message {number}", f"message {number + 1}") for number in range(7)),
        ]
        assert agent.most_at_once == 1
        assert await said(talk) == [*(f"message {number}" for number in range(8)), "answer 8"]


async def test_4_messages_all_at_once_leave_one_answer_and_no_second_prompt_at_a_time() -> None:
    agent = Scripted()
    async with asyncio.timeout(20), Conversation(agent) as talk:
        sent = await asyncio.gather(*(talk.send(f"message {number}") for number in range(12)))
        agent.let_go.set()
        replies = [await talk.reply(one.run_id) for one in sent]
        assert agent.most_at_once == 1
        assert [reply.stop_reason for reply in replies].count("end_turn") >= 1
        assert {text for text in await said(talk) if text.startswith("message")} <= {one.text for one in sent}
        assert all(prompt.count("[INTERRUPTION]") <= 1 for prompt in agent.prompts)


async def test_5_an_interruption_during_a_tool_ends_its_use() -> None:
    agent = Tooled()
    async with asyncio.timeout(10), Conversation(agent) as talk:
        await talk.send("Use the tool")
        await until(lambda: len(agent.side_effects) >= 3)
        await talk.send("Stop that")
        await agent.until_prompted(2)
        count = agent.side_effects.count(1)
        await until(lambda: agent.side_effects.count(2) >= 3)
        assert agent.side_effects.count(1) == count
        assert agent.side_effects == sorted(agent.side_effects)


async def test_6_an_agent_that_cannot_be_told_to_stop_has_messages_wait_in_sight() -> None:
    agent = Stubborn()
    async with asyncio.timeout(10), Conversation(agent) as talk:
        first = await talk.send("one")
        await agent.until_prompted(1)
        second, third = await talk.send("two"), await talk.send("three", mode="interrupt")
        assert (second.outcome, second.position, second.notice) == ("queued", 0, "1 message pending")
        assert (third.outcome, third.position, third.notice) == ("queued", 1, "2 messages pending")
        assert await talk.pending() == (Pending("two", second.run_id, 0), Pending("three", third.run_id, 1))
        assert await said(talk) == ["one"]
        agent.let_go.set()
        replies = [await talk.reply(one.run_id) for one in (first, second, third)]
        assert replies == [Reply(f"answer {number}", "end_turn") for number in (1, 2, 3)]
        assert agent.prompts == ["one", "two", "three"]
        assert await said(talk) == ["one", "answer 1", "two", "answer 2", "three", "answer 3"]
        assert await talk.pending() == ()


async def test_a_message_may_wait_though_the_agent_could_be_interrupted() -> None:
    agent = Scripted()
    async with asyncio.timeout(10), Conversation(agent) as talk:
        await talk.send("one")
        await agent.until_prompted(1)
        second = await talk.send("two", mode="queue")
        assert second.outcome == "queued"
        agent.let_go.set()
        assert await talk.reply(second.run_id) == Reply("answer 2", "end_turn")
        assert (agent.cancels, agent.prompts) == (0, ["one", "two"])


async def test_a_message_that_waits_can_be_changed_and_taken_back() -> None:
    agent = Stubborn()
    async with asyncio.timeout(10), Conversation(agent) as talk:
        await talk.send("one")
        await agent.until_prompted(1)
        second, third = await talk.send("two"), await talk.send("three")
        assert await talk.edit(second.run_id, "TWO")
        assert await talk.withdraw(third.run_id) == 1
        assert [one.text for one in await talk.pending()] == ["TWO"]
        agent.let_go.set()
        await talk.reply(second.run_id)
        assert await said(talk) == ["one", "answer 1", "TWO", "answer 2"]
        assert not await talk.edit(second.run_id, "late")
        assert await talk.withdraw() == 0


async def test_a_rollback_undoes_the_task_and_what_was_said_for_it() -> None:
    agent = Scripted()
    async with asyncio.timeout(10), Conversation(agent) as talk:
        await talk.send("one")
        await agent.until_prompted(1)
        second = await talk.send("two", mode="rollback")
        await agent.until_prompted(2)
        assert agent.prompts == ["one", "two"]
        agent.let_go.set()
        await talk.reply(second.run_id)
        assert await said(talk) == ["two", "answer 2"]


async def test_a_task_that_was_interrupted_or_stopped_can_be_taken_up_again() -> None:
    agent = Scripted()
    async with asyncio.timeout(10), Conversation(agent) as talk:
        with pytest.raises(NothingToResumeError):
            await talk.resume()
        await talk.send("one")
        await agent.until_prompted(1)
        assert await talk.stop()
        again = await talk.resume()
        assert again.text == "one"
        await agent.until_prompted(2)
        second = await talk.send("two")
        await agent.until_prompted(3)
        agent.let_go.set()
        await talk.reply(second.run_id)
        third = await talk.resume()
        assert third.text == "one"
        await talk.reply(third.run_id)
        assert agent.prompts == ["one", "one", combined_prompt("one", "two"), "one"]


async def test_what_the_agent_had_shown_is_kept(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    agent = Scripted()
    async with asyncio.timeout(10), Conversation(agent, checkpointer=store, thread_id="t") as talk:
        await talk.send("one")
        await agent.until_prompted(1)
        await talk.send("two")
        await agent.until_prompted(2)
    async with asyncio.timeout(10), Conversation(agent, checkpointer=reopen(), thread_id="t") as talk:
        (left,) = await talk.interrupted()
        assert (left.input["context"][0].text(), left.partial_results) == ("one", {"agent": "Let me see. "})
        assert await said(talk) == ["one", "two"]


async def test_the_queue_is_there_after_a_restart(
    store: BaseCheckpointer, reopen: Callable[[], BaseCheckpointer]
) -> None:
    agent = Stubborn()
    async with asyncio.timeout(20):
        async with Conversation(agent, checkpointer=store, thread_id="t", grace=0.05) as talk:
            await talk.send("one")
            await agent.until_prompted(1)
            await talk.send("two")
        other = Stubborn()
        other.let_go.set()
        async with Conversation(other, checkpointer=reopen(), thread_id="t") as talk:
            assert [one.text for one in await talk.pending()] == ["two"]
            last = await talk.send("three")
            await talk.reply(last.run_id)
            assert other.prompts == ["two", "three"]


async def test_an_agent_that_is_slow_to_stop_is_never_prompted_twice_at_once() -> None:
    agent = Scripted()
    agent.is_deaf = True
    async with asyncio.timeout(10), Conversation(agent, grace=0.02) as talk:
        await talk.send("one")
        await agent.until_prompted(1)
        second = await talk.send("two")
        await until(lambda: agent.cancels == 1 and talk.is_unwinding)
        await asyncio.sleep(0.05)
        assert agent.prompts == ["one"]
        agent.is_deaf = False
        await agent.until_prompted(2)
        agent.let_go.set()
        assert (await talk.reply(second.run_id)).text == "answer 2"
        assert (agent.most_at_once, talk.is_unwinding) == (1, False)


async def test_an_agent_that_fails_ends_the_reply_and_not_the_conversation() -> None:
    async def moody(text: str, show: Show) -> str:
        if text == "one":
            raise ValueError("not today")
        return text.upper()

    async with asyncio.timeout(10), Conversation(FunctionAdapter(moody)) as talk:
        first = await talk.send("one")
        assert (await talk.reply(first.run_id)).stop_reason == "error"
        second = await talk.send("two")
        assert await talk.reply(second.run_id) == Reply("TWO", "end_turn")


async def test_what_makes_no_sense_is_refused() -> None:
    async with asyncio.timeout(10), Conversation(Stubborn()) as talk:
        with pytest.raises(InvalidInputError, match="empty"):
            await talk.send(" ")
        with pytest.raises(ConfigError, match="no mode"):
            await talk.send("one", mode="shout")
        with pytest.raises(ConfigError, match="rollback"):
            await talk.send("one", mode="rollback")
        assert (await talk.messages(), await talk.interrupted(), await talk.pending()) == ([], (), ())
    with pytest.raises(ConfigError, match="grace"):
        Conversation(Stubborn(), grace=0)


async def test_a_function_is_an_agent_that_can_be_interrupted() -> None:
    entered = asyncio.Event()

    async def answer(text: str, show: Show) -> str:
        show("so far")
        entered.set()
        if text == "one":
            await asyncio.Event().wait()
        return "done"

    async with asyncio.timeout(10), Conversation(FunctionAdapter(answer)) as talk:
        first = await talk.send("one")
        await entered.wait()
        second = await talk.send("two")
        assert await talk.reply(second.run_id) == Reply("done", "end_turn")
        assert await talk.reply(first.run_id) == Reply("so far", "cancelled", second.run_id)


async def test_a_function_that_may_not_be_cancelled_is_not() -> None:
    async def answer(text: str, show: Show) -> str:
        return text

    adapter = FunctionAdapter(answer, supports_cancel=False)
    with pytest.raises(NotImplementedError, match="cannot cancel"):
        await adapter.cancel()
    async with asyncio.timeout(10), Conversation(adapter) as talk:
        assert await talk.reply((await talk.send("one")).run_id) == Reply("one", "end_turn")
